"""Tells lines that say something of the job from settings, printed objects, warnings and tracebacks."""

from __future__ import annotations

import re
from functools import lru_cache

_SETTING = re.compile(r"\W{0,6}(?:export )?(?P<key>[\w.\-/]{1,60})['\"]?\s{0,3}[:=](?![:=])\s{0,3}\S{0,200}\s{0,3}$")
_MEMBER = re.compile(r"\s{0,40}(['\"])(?!loss|train_loss)[\w.\-/ ]{1,60}\1: [^,{}]{0,200},?\s{0,8}$")
_ASSIGNS = frozenset({"", ":", "="})
_SETTING_HEAD = 12
_COUNTER_KEYS = frozenset({"step", "steps", "global_step", "iter", "iteration", "epoch", "loss", "iter_num"})
_NOISE = ("warning", "error", "exception", 'file "')
_FRAME = re.compile(r"file \"[^\"]{1,300}\", line \d", re.ASCII)
_PREFIX = 40
_WRAPPED = " " * 20
_EXCEPTION = re.compile(r"(?:^|[\w.])(?:error|exception)\b|warning|file \"", re.ASCII)
_BOXES = "│╭╰❱"
_DUMP = 3
"""Settings in a row that make a dumped configuration."""
_RANK = re.compile(r"\[rank ?\d{1,4}\]:? ?")


def is_noise(line: str) -> bool:
    """Whether a line in small letters is a warning, an exception, part of a traceback or a tracker's own talk."""
    if (line[:1] in _BOXES and line) or "wandb: " in line[:_PREFIX]:
        return True
    for word in _NOISE:
        if word in line:
            return _EXCEPTION.search(line) is not None
    return False


def is_wrapped(line: str) -> bool:
    """Whether a line stands so far to the right that it goes on with the message before it, as rich wraps them."""
    return line.startswith(_WRAPPED)


def is_member(line: str) -> bool:
    """Whether a line in small letters is one member of a printed JSON object: a setting, whatever its name."""
    return (line.lstrip()[:1] in {"'", '"'}) and _MEMBER.match(line) is not None


def without_options(line: str) -> str:
    """The line up to its first `--option`: what a command line sets is no activity."""
    start = line.find("--")
    while start >= 0:
        if line[start + 2 : start + 3].isalpha() and (start == 0 or line[start - 1] in " \t'\""):
            return line[:start]
        start = line.find("--", start + 2)
    return line


def is_setting(line: str) -> bool:
    """Whether a line in small letters is nothing but a name and its value: "lr_warmup_steps = 80"."""
    key = _key_of_setting(line)
    return key is not None and key not in _COUNTER_KEYS and not key.endswith("ing")


def is_counter_alone(line: str) -> bool:
    """Whether a line in small letters is nothing but a counter's name and value: "epoch = 100"."""
    return _key_of_setting(line) in _COUNTER_KEYS


@lru_cache(maxsize=2)  # several rules ask this of one line in turn
def _key_of_setting(line: str) -> str | None:
    head = line.rstrip().rpartition(" ")[0].rstrip()
    if head[-1:] not in _ASSIGNS and len(head) > _SETTING_HEAD:
        return None  # a value is one word: most lines need no closer look
    setting = _SETTING.match(line)
    return setting["key"] if setting else None


class NoiseFilter:
    """Lets pass what the program says, line by line; a traceback and a dumped configuration span several lines."""

    def __init__(self) -> None:
        self._in_traceback = False
        self._settings = 0

    def end_traceback(self) -> None:
        """A bar was drawn: the program runs on."""
        self._in_traceback = False

    def passes(self, line: str) -> bool:
        """Whether a line in small letters is none of a traceback, a warning or a dump's counters."""
        return not (self._is_traceback(line) or is_noise(line) or self._is_in_dump(line))

    def _is_traceback(self, line: str) -> bool:
        if "traceback (most recent call last)" in line or _is_frame(line):
            self._in_traceback = True
            return True
        if self._in_traceback:
            plain = _RANK.sub("", line, count=1)
            self._in_traceback = not plain or plain[0] in " \t"
            return True
        return False

    def _is_in_dump(self, line: str) -> bool:
        """Whether a counter alone on its line is a setting among settings: "epoch = 100" in a dumped configuration."""
        if is_counter_alone(line):
            return self._settings >= _DUMP
        self._settings = self._settings + 1 if is_setting(line) else 0
        return False


def _is_frame(line: str) -> bool:
    """Whether the line names a place in a traceback, also in one whose head has scrolled by."""
    return 'file "' in line and _FRAME.search(line) is not None
