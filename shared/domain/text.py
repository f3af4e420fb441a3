"""Makes untrusted log text safe to show, and finds its newest lines."""

from __future__ import annotations

import re

LAST_LOG_LIMIT = 80
LINE_LIMIT = 4096

_ESCAPES = re.compile(
    r"(?:\x1b\[|#033\[)[0-?]{0,64}[ -/]{0,8}[@-~]"  # CSI: colours, cursor moves; `#033` is how syslog writes it
    r"|\x1b[\]PX^_][^\x07\x1b\r\n]{0,512}(?:\x07|\x1b\\)?"  # OSC, DCS, SOS, PM, APC: titles, links
    r"|\x1b[ -/]{0,8}[0-~]?"
)
_WRITTEN_RETURNS = re.compile(r"#015|\^M(?=\s|$)")
_LINE_BREAKS = re.compile("[\x08\u2028\u2029]+")
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_BLANKS = re.compile("[\x0b\x0c]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_SUSPECT = re.compile(
    "[^\t\n -~\u00a0-\u00ac\u00ae-\u061b\u061d-\u180d\u180f-\u200a\u200c\u200d\u2010-\u2027\u202f-\u205f\u2070-\ud7ff"
    "\ue000-\ufefe\uff00-\ufff8\ufffc-\U000dffff\U000e0080-\U0010ffff]|#0|\\^M"
)


def clean_text(text: str) -> str:
    """The text without terminal escapes, control, bidi and invisible characters; every kind of line end becomes `\\n`.

    Each state of a line that was redrawn (`\\r`) is a line of its own. The joiners of emoji and of Persian stay. Lone
    surrogates become U+FFFD. Idempotent for text without `#015`, and linear in its length.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _SUSPECT.search(text) is None:
        return text
    text = _WRITTEN_RETURNS.sub("\n", _ESCAPES.sub("", text))
    return _without_hidden(_LINE_BREAKS.sub("\n", text))


def shown_text(text: str) -> str:
    """The text cleaned, as a terminal leaves it: of a line that was redrawn only its last state, which shows something.

    A line of which only the beginning is known is shown as far as that goes. Linear in the text's length.
    """
    text = _WRITTEN_RETURNS.sub("\r", _ESCAPES.sub("", text))
    if "\r" in text or "\b" in text:
        lines = text.split("\n")
        text = "\n".join(_last_state(line) if "\r" in line or "\b" in line else line for line in lines)
    return clean_text(text)


def _last_state(line: str) -> str:
    line = line.rstrip().rpartition("\r")[2]
    first, *typed_over = line.split("\b")
    shown = list(first)
    for piece in typed_over:
        del shown[-1:]
        shown.extend(piece)
    return "".join(shown)


def _without_hidden(text: str) -> str:
    return _SURROGATES.sub("\ufffd", _HIDDEN.sub("", _BLANKS.sub(" ", text)))


def shorten_line(line: str, limit: int = LAST_LOG_LIMIT) -> str:
    """The line as it may be shown: cleaned, on one line, cut to `limit` characters that then end in `...`."""
    line = clean_text(line[: 16 * limit + LINE_LIMIT]).replace("\n", " ").strip()
    return line if len(line) <= limit else line[: limit - 3] + "..."


def newest_lines(text: str, *, characters: int, lines: int) -> tuple[str, list[str]]:
    """The last lines of `text`, oldest first, cleaned; of a longer line its newest end (LINE_LIMIT) is kept.

    Before them what else the last `characters` hold, cleaned: empty if those are no more lines.
    """
    before, *window = f"\n{clean_text(text[-characters:])}".rsplit("\n", lines)
    return before[1:], [line if len(line) <= LINE_LIMIT else line[-LINE_LIMIT:] for line in window]
