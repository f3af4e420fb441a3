"""Reckons how far a job is from what its log shows: step bars first, epochs only where nothing better is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.progress.bars import Bar
from shared.progress.lines import Counts
from shared.progress.numbers import seconds_of_clock, steps_a_second
from shared.progress.progress import Progress

_FINE_ENOUGH = 100
"""Epochs from which on a bar of epochs alone is precise enough: it moves by a percent or less."""

_FEW_EPOCHS = 10
_SHORT_EPOCH = 1000
"""Up to these figures "Epoch 3/10, step 140/500" is taken for the 140th step of that epoch."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a job is. `percent` is 0–100 with one decimal, or `None` if the log names no total."""

    percent: float | None = None
    step: int | None = None
    total_steps: int | None = None
    eta_seconds: float | None = None
    steps_per_second: float | None = None


@dataclass(slots=True)
class Evidence:
    """The newest counters of a log, as found. `bar_is_of_job`: its total is the whole job's, not one epoch's.

    `earlier_epoch` is the one that an earlier reading saw: it holds until the log names another.
    """

    bar: Bar | None = None
    bar_is_of_job: bool = True
    epochs_bar: Bar | None = None
    counts: Counts | None = None
    percent: float | None = None
    steps_restart: bool = False
    steps_go_on: bool = False
    first_step: int | None = None
    counts_epoch: float | None = None
    steps_left: int | None = None
    total_steps: int | None = None
    epoch: float | None = None
    earlier_epoch: float | None = None
    total_epochs: int | None = None
    epochs_from_zero: bool = False
    epoch_is_done: bool = False
    finished: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether no counter of the training was found at all."""
        found = (self.bar, self.epochs_bar, self.counts, self.epoch, self.percent)
        return all(evidence is None for evidence in found)


def percent_of(done: float, total: float | None) -> float | None:
    """`done` of `total` in percent, 0–100 with one decimal; `None` without a total."""
    return round(min(max(100.0 * done / total, 0.0), 100.0), 1) if total else None


def position_of(evidence: Evidence, previous: Progress) -> Position:
    """The position that the evidence shows; what it does not show stays as it was before."""
    if evidence.finished:
        return replace(_reckon(evidence, previous), percent=100.0, eta_seconds=0.0)
    return _reckon(evidence, previous)


def _reckon(evidence: Evidence, previous: Progress) -> Position:
    if evidence.bar is not None and evidence.bar.total is not None:
        return _of_bar(evidence, evidence.bar, evidence.bar.total)
    if evidence.counts is not None and (position := _of_counts(evidence, evidence.counts)):
        return position
    if evidence.percent is not None:
        return Position(percent_of(evidence.percent, 100))
    if evidence.epochs_bar is not None:
        bar = evidence.epochs_bar
        return Position(percent_of(bar.done, bar.total), eta_seconds=_eta(bar))
    if evidence.bar is not None:
        return _finished(Position(step=evidence.bar.done, total_steps=evidence.total_steps), evidence.bar)
    if evidence.steps_left is not None and evidence.total_steps:
        step = max(evidence.total_steps - evidence.steps_left, 0)
        return Position(percent_of(step, evidence.total_steps), step, evidence.total_steps)
    return _of_epoch(evidence, previous)


def _of_bar(evidence: Evidence, bar: Bar, total: int) -> Position:
    is_of_job = evidence.bar_is_of_job and not _is_of_round(evidence, bar, total)
    if is_of_job:
        newer = evidence.counts
        step = newer.step if newer and newer.step and newer.total_steps == total else bar.done
        told = _step_of_record(evidence, total)
        eta = _eta(bar) if told <= bar.done else None
        return _finished(Position(step=max(step, told, bar.done), total_steps=total, eta_seconds=eta), bar)
    before, epochs = _epochs_before(evidence, bar)
    if before is None or not epochs or not total:
        return Position(eta_seconds=_eta(bar), steps_per_second=steps_a_second(bar.tail))
    position = _finished(Position(step=before * total + min(bar.done, total), total_steps=epochs * total), bar)
    if epochs >= _FINE_ENOUGH and (evidence.epochs_bar is not None or "smooth loss" in bar.tail):
        return replace(position, percent=percent_of(before, epochs))
    return position


def _step_of_record(evidence: Evidence, total: int) -> int:
    """The step that a trainer's record of epochs stands for; 0 unless it is clearly ahead of a bar that stopped."""
    bar, epoch, epochs = evidence.bar, evidence.epoch, evidence.total_epochs
    if bar is None or not evidence.epoch_is_done or epoch is None or not epochs:
        return 0
    step = round(min(epoch / epochs, 1.0) * total)
    return step if step > bar.done + max(1, total // 50) else 0


def _is_of_round(evidence: Evidence, bar: Bar, total: int) -> bool:
    """Beside a bar of epochs, a bar of steps that is not where the epochs are counts within one epoch."""
    outer = evidence.epochs_bar
    if outer is None or not outer.total or not total:
        return False
    done = bar.done / total
    return not outer.done / outer.total - 0.02 <= done <= (outer.done + 1) / outer.total + 0.02


def _epochs_before(evidence: Evidence, bar: Bar) -> tuple[int | None, int | None]:
    """How many epochs were done before the one that the bar counts, and how many there are."""
    if evidence.epochs_bar is not None:
        return evidence.epochs_bar.done, evidence.epochs_bar.total
    epoch = evidence.epoch if evidence.epoch is not None else evidence.earlier_epoch
    if epoch is None:
        return None, evidence.total_epochs
    is_from_zero = evidence.epochs_from_zero or "v_num" in bar.tail or "━" in bar.tail
    before = int(epoch) - (0 if is_from_zero else 1)
    return max(before, 0), evidence.total_epochs


def _of_counts(evidence: Evidence, counts: Counts) -> Position | None:
    step, total = counts.step, counts.total_steps or evidence.total_steps
    if step is None or total is None:
        return (
            Position(step=step)
            if step is not None and evidence.epochs_bar is None and not evidence.total_epochs
            else None
        )
    epoch, epochs = evidence.epoch, evidence.total_epochs
    if (
        counts.total_steps
        and not counts.is_of_job
        and epoch is not None
        and epochs
        and _counts_within_epoch(evidence, counts)
    ):
        before = max(int(epoch) - (0 if evidence.epochs_from_zero else 1), 0)
        step, total = before * total + min(step, total), epochs * total
    return Position(percent_of(step, total), min(step, total), total)


def _counts_within_epoch(evidence: Evidence, counts: Counts) -> bool:
    """Steps that start anew, or are not where the epochs are, are steps of one epoch; those that go on are not."""
    if evidence.steps_restart or evidence.steps_go_on:
        return evidence.steps_restart
    return counts.is_of_epoch or is_out_of_epoch(counts, evidence) or _is_there_by_chance(evidence, counts)


def is_out_of_epoch(counts: Counts, evidence: Evidence) -> bool:
    """Whether the step is not where it would be in the whole job, in the epoch that is told."""
    step, total, epochs = counts.step, counts.total_steps, evidence.total_epochs
    if step is None or not total or not epochs or evidence.epoch is None:
        return False
    before = evidence.epoch - (0 if evidence.epochs_from_zero else 1)
    return not before / epochs - 0.01 <= step / total <= (before + 1) / epochs + 0.01


def _is_there_by_chance(evidence: Evidence, counts: Counts) -> bool:
    """A single short counter told within one of few epochs counts that epoch, though it fits the whole job as well."""
    step, total, first = counts.step, counts.total_steps, evidence.first_step
    epoch, epochs = evidence.epoch, evidence.total_epochs
    if not counts.is_after_epoch or step is None or not total or not epoch or not epochs:
        return False
    if epochs > _FEW_EPOCHS or total >= _SHORT_EPOCH or step * epochs == total * epoch:
        return False
    return first is None or (step - first) * 2 * epochs < total


def _of_epoch(evidence: Evidence, previous: Progress) -> Position:
    kept = Position(
        previous.percent, previous.step, previous.total_steps, previous.eta_seconds, previous.steps_per_second
    )
    if evidence.epoch is None or not evidence.total_epochs:
        return kept
    if previous.total_steps and previous.percent is not None:
        begun = percent_of(evidence.epoch - 1, evidence.total_epochs) or 0.0
        return replace(kept, percent=max(begun, previous.percent))
    begins = evidence.total_steps is not None and not evidence.epoch_is_done and not evidence.epochs_from_zero
    return Position(percent_of(evidence.epoch - (1 if begins else 0), evidence.total_epochs))


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
