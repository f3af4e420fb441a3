"""Reads stage, progress and loss curve of a training from its log. Pure, total, and linear in the log's length.

The rules were learned from logs of SimpleTuner, kohya's scripts, ai-toolkit, diffusers, Hugging Face's Trainer and its
family, OneTrainer, Lightning, Keras and others; a log is untrusted text, so that no line of it can raise an error.
"""

from __future__ import annotations

import re
from dataclasses import asdict, replace

from shared.domain.text import clean_text, newest_lines, shorten_line
from shared.progress.history import HISTORY_LIMIT, extend_history, history_pace, loss_history, pace_eta
from shared.progress.progress import Progress, Stage
from shared.progress.reader import Reader

__all__ = [
    "HISTORY_LIMIT",
    "extend_history",
    "history_pace",
    "loss_history",
    "pace_eta",
    "read_progress",
]

_WINDOW = 65_536
_LINES = 400
_FURTHER_BACK = 1_048_576
_FINDS = 16
_TRIES = 2_000
_DIGIT_WITHIN = 16
_DIGIT_BEFORE = 3
_BEFORE_ANCHOR = 512
_BEHIND_ANCHOR = 1_024
_ANCHORS = ("%|", "tep", "poch", "TEP", "POCH", "iter", "Iter", "atch", "][")
_DIGITS = frozenset("0123456789")
_BANNERS = ("otal optimization steps", "um Epochs", "otal steps", "num_train_epochs")


def read_progress(tail: str, previous: Progress | None = None) -> Progress:
    """What the newest end of a log tells of the job, in the light of the `previous` reading of the same job.

    Any text is safe. Its last 400 lines, at most 64 kB, are read whole; only if they hold no counter, what stands
    further back (1 MB) is searched for one. A number that the tail no longer shows is kept from `previous`.
    """
    before, window = newest_lines(tail, characters=_WINDOW, lines=_LINES)
    before = tail[-_FURTHER_BACK:-_WINDOW] + before
    reader = Reader(previous)
    for line in _lines_with(before, _BANNERS, 1):
        reader.announce(line)
    reader.read(window)
    progress = reader.progress
    if not reader.has_numbers and (earlier := _lines_with(before, _ANCHORS, _FINDS)):
        progress = _joined(_read([*earlier, ""], previous), progress, previous or Progress())
    newest = next((line for line in reversed(window) if line and not line.isspace()), None)
    last_log = shorten_line(newest) if newest else previous.last_log if previous else None
    return replace(progress, last_log=last_log)


def _read(lines: list[str], previous: Progress | None) -> Progress:
    reader = Reader(previous)
    reader.read(lines)
    return reader.progress


def _joined(earlier: Progress, later: Progress, previous: Progress) -> Progress:
    """Counters from further back with what the end of the log tells: its stage, unless that is only loading."""
    stage = earlier.stage if later.stage in {None, Stage.PREPROCESSING} else later.stage
    told = {name: value for name, value in asdict(later).items() if value not in {None, getattr(previous, name)}}
    return replace(earlier, **{**told, "stage": stage or later.stage})


def _lines_with(text: str, anchors: tuple[str, ...], finds: int) -> list[str]:
    """Lines that hold one of the anchors beside a digit, the last `finds` for each, oldest first."""
    places: dict[int, str] = {}
    for anchor in anchors:
        position, found_lines = len(text), 0
        for _ in range(_TRIES):
            found = text.rfind(anchor, 0, position)
            if found < 0 or found_lines == finds:
                break
            position = found
            if not _has_digit(text[max(0, found - _DIGIT_BEFORE) : found + len(anchor) + _DIGIT_WITHIN]):
                continue
            left = max(0, found - _BEFORE_ANCHOR)
            left = max(left, text.rfind("\n", left, found) + 1, text.rfind("\r", left, found) + 1)
            right = found + _BEHIND_ANCHOR
            places[left] = clean_text(re.split(r"[\r\n]", text[left:right], maxsplit=1)[0])
            position = left
            found_lines += 1
    return [places[place] for place in sorted(places)]


def _has_digit(text: str) -> bool:
    return not _DIGITS.isdisjoint(text)
