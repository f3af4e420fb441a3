"""Texts from outside, made fit to be shown and stored: without control characters, secrets, and bytes without end."""

from __future__ import annotations

import re

from shared.domain.text import clean_text, shorten_line

LOG_TAIL_BYTES = 64 * 1024
FULL_LOG_BYTES = 4_000_000
PROBLEM_CHARACTERS = 300

_CLOSING_LINE = "\n[The log goes on; only its first 4 MB are kept.]\n"
_SECRET = re.compile(r"\b(?:(hf|r8)_[A-Za-z0-9]{24,}|(whsec)_[A-Za-z0-9+/]{20,}=*)", re.ASCII)


def plain_text(value: object, limit: int) -> str | None:
    """A text as it may be shown anywhere, a terminal too: no escapes, control or bidi characters (T10)."""
    if not isinstance(value, str) or not value:
        return None
    # Lone surrogates, which JSON can spell and UTF-8 can not, become question marks.
    text = value[:limit].encode("utf-8", "replace").decode()
    if not text.isprintable():
        text = clean_text(text)
    return text or None


def one_line(value: object, *, secret: str) -> str | None:
    """A problem's sentence on one line, cleaned as `plain_text` (T10), without `secret`; None when there is none.

    It has at most PROBLEM_CHARACTERS.
    """
    if not isinstance(value, str):
        return None
    told = without_secrets(clean_text(value).replace(secret, "[token]"))
    return shorten_line(told, PROBLEM_CHARACTERS).removeprefix("- ") or None


def without_secrets(text: str) -> str:
    """Tokens that a program printed, or that a model's error repeats, are cut out (REP-13)."""
    return _SECRET.sub(lambda match: f"{match[1] or match[2]}_[removed]", text)


def log_tail(text: str) -> str | None:
    """The newest LOG_TAIL_BYTES of a log, from a whole line on; None for an empty one."""
    if not text:
        return None
    encoded = without_secrets(text[-LOG_TAIL_BYTES:]).encode("utf-8", "replace")
    if len(text) <= LOG_TAIL_BYTES and len(encoded) <= LOG_TAIL_BYTES:
        return encoded.decode()
    tail = encoded[-LOG_TAIL_BYTES:].decode("utf-8", "ignore")
    line_end = tail.find("\n", 0, 4096)
    return tail[line_end + 1 :]


def whole_log(text: str) -> str:
    """A log, beyond FULL_LOG_BYTES its beginning and one closing line."""
    encoded = without_secrets(text).encode("utf-8", "replace")
    if len(encoded) <= FULL_LOG_BYTES:
        return encoded.decode()
    return encoded[: FULL_LOG_BYTES - len(_CLOSING_LINE)].decode("utf-8", "ignore") + _CLOSING_LINE
