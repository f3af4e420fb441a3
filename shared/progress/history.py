"""The loss curve of a training: points read from its log, thinned evenly as it grows."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from shared.domain.text import LINE_LIMIT, clean_text
from shared.progress import counters, rules
from shared.progress.bars import Bar, BarKind, find_bar
from shared.progress.numbers import seconds_of_clock, training_loss
from shared.progress.progress import HistoryPoint
from shared.progress.shapes import is_noise

HISTORY_LIMIT = 500

_CHUNK = 262_144
_PACE_POINTS = 20
_TRAINING_BARS = frozenset({BarKind.JOB_STEPS, BarKind.STEPS, BarKind.EPOCH_STEPS, BarKind.UNNAMED})
_ELAPSED = re.compile(r"\s?([\d:]{4,12})\s?<", re.ASCII)


def loss_history(log: str, limit: int = HISTORY_LIMIT) -> tuple[HistoryPoint, ...]:
    """The loss curve of a whole log, at most `limit` points; `t` is the training's own clock (its bars), in seconds."""
    return extend_history((), _Curve().points(log), limit)


def extend_history(
    points: Iterable[HistoryPoint], new_points: Iterable[HistoryPoint], limit: int = HISTORY_LIMIT
) -> tuple[HistoryPoint, ...]:
    """Both as one curve in the order of steps, a newer point replacing an older one of its step, thinned to `limit`.

    Thinning keeps the first point and the last one of each stretch of steps. How long a stretch is follows from the
    first and last step alone, so that a curve that grew point by point is the same as one read at once.
    """
    by_step = {point.step: point for point in points}
    by_step.update((point.step, point) for point in new_points)
    return _thinned([by_step[step] for step in sorted(by_step)], limit)


def _thinned(points: list[HistoryPoint], limit: int) -> tuple[HistoryPoint, ...]:
    if limit < 2 or not points:
        return tuple(points[-1:]) if limit == 1 else ()
    first, last = points[0], points[-1]
    stretch = 1
    while last.step // stretch - first.step // stretch + 2 > limit:
        stretch *= 2
    ends = [this for this, following in pairwise(points) if this.step // stretch != following.step // stretch]
    kept = [*ends, last]
    return tuple(kept if kept[0] is first else [first, *kept])


def history_pace(points: Sequence[HistoryPoint]) -> float | None:
    """Steps a second over the newest points that have a time; `None` if they show no advance."""
    timed = [(point.t, point.step) for point in points[-_PACE_POINTS:] if point.t is not None]
    if len(timed) < 2:
        return None
    seconds, steps = timed[-1][0] - timed[0][0], timed[-1][1] - timed[0][1]
    return steps / seconds if seconds > 0 and steps > 0 else None


def pace_eta(
    *, step: int | None, total_steps: int | None, seen_step: int | None, seconds_between: float
) -> float | None:
    """Seconds left at the measured pace: `step` now, `seen_step` some `seconds_between` ago; `None` if unknown."""
    if step is None or seen_step is None or not total_steps or seconds_between <= 0 or step <= seen_step:
        return None
    eta = max(total_steps - step, 0) * seconds_between / (step - seen_step)
    return round(eta, 1) if math.isfinite(eta) else None


class _Curve:
    """Reads points from a log, oldest first."""

    def __init__(self) -> None:
        self._step: int | None = None
        self._t: float | None = None
        self._offset = 0.0
        self._records = 0

    def points(self, log: str) -> Iterator[HistoryPoint]:
        for line in _lines(log):
            if "oss" in line or "%|" in line:
                yield from self._points_of(line)

    def _points_of(self, line: str) -> Iterator[HistoryPoint]:
        bar = find_bar(line)
        if bar is not None and bar.kind in _TRAINING_BARS:
            self._advance(bar)
            text = f"{bar.name} {bar.tail}"
        elif bar is None:
            text = line.lower()
            if is_noise(text) or not rules.TRAINED.says(text):
                return
            step = counters.counts_of(text).step
            self._records += 1
            self._step = step if step is not None else self._step
        else:
            return
        loss = training_loss(text) if "oss" in text else None
        if loss is not None and math.isfinite(loss):
            yield HistoryPoint(self._t, self._records if self._step is None else self._step, loss)

    def _advance(self, bar: Bar) -> None:
        """Takes over the bar's step and clock; a clock that starts anew (resumed, next epoch) goes on where it was."""
        elapsed = _ELAPSED.match(bar.tail)
        seconds = seconds_of_clock(elapsed[1]) if elapsed else None
        if seconds is not None:
            if self._t is not None and seconds + self._offset < self._t:
                self._offset = self._t
            self._t = seconds + self._offset
        self._step = self._steps_before(bar) + bar.done

    @staticmethod
    def _steps_before(bar: Bar) -> int:
        """The steps of the epochs before the one that the bar counts."""
        if bar.kind is not BarKind.EPOCH_STEPS or bar.total is None:
            return 0
        epoch, epochs = counters.epoch_of(bar.name)
        counts_from_one = epochs is not None or "|" in bar.name
        return bar.total * max(int(epoch) - counts_from_one, 0) if epoch is not None else 0


def _lines(log: str) -> Iterator[str]:
    """The lines of a log of any size, cleaned piece by piece; of a longer line only its end (LINE_LIMIT) is read."""
    rest = ""
    for start in range(0, len(log), _CHUNK):
        pieces = clean_text(rest + log[start : start + _CHUNK]).split("\n")
        rest = pieces.pop()[-LINE_LIMIT:]
        yield from (piece[-LINE_LIMIT:] for piece in pieces)
    yield rest
