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
    "clean_text",
    "extend_history",
    "history_pace",
    "loss_history",
    "pace_eta",
    "read_progress",
    "shorten_line",
]

_WINDOW = 65_536
_LINES = 800
_FURTHER_BACK = 1_048_576
_FINDS = 32
_BEFORE_ANCHOR = 512
_BEHIND_ANCHOR = 1_024
_ANCHORS = ("%|", "tep ", "poch ", "tep:", "poch:")
_BANNERS = ("otal optimization steps", "um Epochs", "otal steps", "num_train_epochs")


def read_progress(tail: str, previous: Progress | None = None) -> Progress:
    """What the newest end of a log tells of the job, in the light of the `previous` reading of the same job.

    Any text is safe. Its last 64 kB are read whole; only if they hold no counter, what stands further back (1 MB) is
    searched for one. A number that the tail no longer shows is kept from `previous`.
    """
    window = newest_lines(tail, characters=_WINDOW, lines=_LINES)
    reader = Reader(previous)
    if len(tail) > _WINDOW:
        for line in _earlier(tail, _BANNERS, 1):
            reader.announce(line)
    reader.read(window)
    progress = reader.progress
    if len(tail) > _WINDOW and not reader.has_numbers and (earlier := _earlier(tail, _ANCHORS, _FINDS)):
        progress = _joined(_read(earlier, previous), progress, previous or Progress())
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


def _earlier(text: str, anchors: tuple[str, ...], finds: int) -> list[str]:
    """Lines before the window that hold one of the anchors, at most `finds` for each, oldest first."""
    start, end = max(0, len(text) - _FURTHER_BACK), len(text) - _WINDOW
    places: dict[int, str] = {}
    for anchor in anchors:
        position = end
        for _ in range(finds):
            found = text.rfind(anchor, start, position)
            if found < 0:
                break
            left, right = max(start, found - _BEFORE_ANCHOR), min(end, found + _BEHIND_ANCHOR)
            left = max(left, text.rfind("\n", left, found) + 1, text.rfind("\r", left, found) + 1)
            places[left] = clean_text(re.split(r"[\r\n]", text[left:right], maxsplit=1)[0])
            position = left
    return [places[place] for place in sorted(places)]
