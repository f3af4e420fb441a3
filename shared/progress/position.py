"""Reckons how far a job is from what its log shows: step bars first, epochs only where nothing better is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.progress.bars import Bar
from shared.progress.counters import Counts
from shared.progress.evidence import Evidence
from shared.progress.numbers import seconds_of_clock, steps_a_second
from shared.progress.progress import Progress

_FINE_ENOUGH = 100
"""Epochs from which on a bar of epochs alone is precise enough: it moves by a percent or less."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a job is. `percent` is 0–100 with one decimal, or `None` if the log names no total."""

    percent: float | None = None
    step: int | None = None
    total_steps: int | None = None
    eta_seconds: float | None = None
    steps_per_second: float | None = None


def percent_of(done: float, total: float | None) -> float | None:
    """`done` of `total` in percent, 0–100 with one decimal; `None` without a total."""
    return round(min(max(100.0 * done / total, 0.0), 100.0), 1) if total else None


def position_of(evidence: Evidence, previous: Progress) -> Position:
    """The position that the evidence shows; what it does not show stays as it was before."""
    if evidence.finished:
        return replace(_reckon(evidence, previous), percent=100.0, eta_seconds=0.0)
    return _reckon(evidence, previous)


def _reckon(evidence: Evidence, previous: Progress) -> Position:
    if evidence.main.bar is not None and evidence.main.bar.total is not None:
        return _of_bar(evidence, evidence.main.bar, evidence.main.bar.total)
    if evidence.steps.counts is not None and (position := _of_counts(evidence, evidence.steps.counts)):
        return position
    if evidence.percent is not None:
        return Position(
            percent_of(evidence.percent, 100), evidence.steps.counts.step if evidence.steps.counts else None
        )
    if evidence.epochs.bar is not None:
        bar = evidence.epochs.bar
        return Position(percent_of(bar.done, bar.total), eta_seconds=_eta(bar))
    if evidence.main.bar is not None:
        return _finished(Position(step=evidence.main.bar.done, total_steps=evidence.steps.total), evidence.main.bar)
    if evidence.steps.left is not None and evidence.steps.total:
        step = max(evidence.steps.total - evidence.steps.left, 0)
        return Position(percent_of(step, evidence.steps.total), step, evidence.steps.total)
    return _of_epoch(evidence, previous)


def _of_bar(evidence: Evidence, bar: Bar, total: int) -> Position:
    is_of_job = evidence.main.is_of_job and not _is_of_round(evidence, bar, total)
    if is_of_job:
        newer = evidence.steps.counts
        step = newer.step if newer and newer.step and newer.total_steps == total else bar.done
        told = _step_of_record(evidence, total)
        eta = _eta(bar) if told <= bar.done else None
        return _finished(Position(step=max(step, told, bar.done), total_steps=total, eta_seconds=eta), bar)
    before, epochs = evidence.epochs.before(bar)
    if before is None or not epochs or not total:
        return Position(steps_per_second=steps_a_second(bar.tail))
    position = _finished(Position(step=before * total + min(bar.done, total), total_steps=epochs * total), bar)
    if epochs >= _FINE_ENOUGH and (evidence.epochs.bar is not None or "smooth loss" in bar.tail):
        return replace(position, percent=percent_of(before, epochs))
    return position


def _step_of_record(evidence: Evidence, total: int) -> int:
    """The step that a trainer's record of epochs stands for; 0 unless it is clearly ahead of a bar that stopped."""
    bar, epoch, epochs = evidence.main.bar, evidence.epochs.number, evidence.epochs.total
    if bar is None or not evidence.epochs.is_recorded or epoch is None or not epochs:
        return 0
    step = round(min(epoch / epochs, 1.0) * total)
    return step if step > bar.done + max(1, total // 50) else 0


def _is_of_round(evidence: Evidence, bar: Bar, total: int) -> bool:
    """Beside a bar of epochs, a bar of steps that is not where the epochs are counts within one epoch."""
    outer = evidence.epochs.bar
    if outer is None or not outer.total or not total:
        return False
    done = bar.done / total
    return not outer.done / outer.total - 0.02 <= done <= (outer.done + 1) / outer.total + 0.02


def _of_counts(evidence: Evidence, counts: Counts) -> Position | None:
    step, total = counts.step, counts.total_steps or evidence.steps.total
    if step is None or total is None:
        is_all = evidence.epochs.bar is None and not evidence.epochs.total and evidence.percent is None
        return Position(step=step) if step is not None and is_all else None
    if not evidence.counts_one_epoch(counts):
        return Position(percent_of(step, total), min(step, total), total)
    before, epochs = evidence.epochs.before()
    if before is None or not epochs:
        return Position()
    step, total = before * total + min(step, total), epochs * total
    return Position(percent_of(step, total), min(step, total), total)


def _of_epoch(evidence: Evidence, previous: Progress) -> Position:
    kept = Position(
        previous.percent, previous.step, previous.total_steps, previous.eta_seconds, previous.steps_per_second
    )
    if evidence.epochs.number is None or not evidence.epochs.total:
        return kept
    if previous.total_steps and previous.percent is not None:
        begun = percent_of(evidence.epochs.number - 1, evidence.epochs.total) or 0.0
        return replace(kept, percent=max(begun, previous.percent))
    is_announced = evidence.steps.total is not None and not evidence.epochs.is_recorded
    part = evidence.epochs.part if evidence.epochs.part is not None or not is_announced else 0.0
    begun = evidence.epochs.number if part is None or evidence.epochs.from_zero else evidence.epochs.number - 1
    return Position(percent_of(begun + (part or 0.0), evidence.epochs.total))


def _finished(position: Position, bar: Bar) -> Position:
    """The position with its percent, and with the bar's rate and the time that the rate implies."""
    step, total, rate = position.step, position.total_steps, steps_a_second(bar.tail)
    step = min(step, total) if step is not None and total else step
    percent = percent_of(step, total) if step is not None else None
    eta = position.eta_seconds
    if eta is None and rate and step is not None and total:
        eta = round((total - step) / rate, 1)
    return replace(position, percent=percent, step=step, eta_seconds=eta, steps_per_second=rate)


def _eta(bar: Bar) -> float | None:
    """The time left that a bar shows behind its `<`, in seconds."""
    _, _, rest = bar.tail.partition("<")
    return seconds_of_clock(rest.partition(",")[0]) if rest else None
