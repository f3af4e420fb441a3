"""Gathers the counters of a log, as they are found: its main bar, the steps and the epochs that its lines tell."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto

from shared.progress.bars import Bar, BarKind
from shared.progress.counters import Counts, Scope, epoch_of
from shared.progress.progress import Progress

_ALMOST = 0.9
"""From this part of its total on, a counter that starts anew has come to its end; before it, the run was restarted."""

_FEW_EPOCHS = 10
_SHORT_EPOCH = 1000
"""Up to these figures "Epoch 3/10, step 140/500" is taken for the 140th step of that epoch."""


class Course(Enum):
    """How the steps that lines tell were seen to go from one epoch to the next."""

    UNSEEN = auto()
    GOES_ON = auto()
    """Through the whole job."""
    STARTS_ANEW = auto()
    """With each epoch, or they are not where the epochs are."""


@dataclass(slots=True)
class Epochs:
    """What the log tells of its epochs. `earlier`, which an earlier reading saw, holds until another is told.

    `bar` is the newest bar of epochs done. `part` is that of `Counts`. `is_recorded`: told by a record of what is done.
    `is_over`: the result of `number` was told, and what is counted now is the next one. `are_told`: bars without a
    name count one epoch.
    """

    number: float | None = None
    earlier: float | None = None
    total: int | None = None
    bar: Bar | None = None
    part: float | None = None
    from_zero: bool = False
    is_recorded: bool = False
    is_over: bool = False
    are_told: bool = False

    def note(self, number: float | None, total: int | None) -> None:
        """Takes over the epoch that a line or a bar's title names."""
        if number is not None:
            self.number = number
            self.is_over = False
            self.from_zero = self.from_zero or number == 0
        if total is not None:
            self.total = total

    def before(self, bar: Bar | None = None) -> tuple[int | None, int | None]:
        """How many epochs were done before the one that is counted, by `bar` or by lines, and how many there are."""
        if self.bar is not None:
            return self.bar.done, self.bar.total
        number = self.number if self.number is not None else self.earlier
        if number is None:
            return (0 if self.total == 1 else None), self.total
        is_from_zero = self.from_zero or (bar is not None and ("v_num" in bar.tail or "━" in bar.tail))
        return max(int(number) - (0 if is_from_zero or self.is_over else 1), 0), self.total

    @property
    def are_named(self) -> bool:
        """Whether anything at all was told of epochs."""
        return self.bar is not None or self.number is not None or self.total is not None


@dataclass(slots=True)
class Steps:
    """What the lines tell of the steps. `counts` were told in `epoch`, and `first` is the first step in it."""

    counts: Counts | None = None
    epoch: float | None = None
    first: int | None = None
    course: Course = Course.UNSEEN
    total: int | None = None
    left: int | None = None


@dataclass(slots=True)
class MainBar:
    """The newest bar of the training. `is_of_job`: its total is the whole job's, not one epoch's.

    `is_sure`: it is certainly no preparation. `restarts`: it was seen to start anew, and so counts one epoch.
    `result_was_told`: a line told the result of the epoch when the bar was at its end, or before there was one.
    """

    bar: Bar | None = None
    is_of_job: bool = True
    is_sure: bool = True
    restarts: bool = False
    result_was_told: bool = False

    @property
    def is_at_end(self) -> bool:
        """Whether there is no bar, or it has come to its end."""
        return self.bar is None or is_near_end(self.bar.done, self.bar.total)


@dataclass(slots=True)
class Evidence:
    """The newest counters of a log. `percent` and `time_left` are told as such; `finished`: it came to its end."""

    main: MainBar = field(default_factory=MainBar)
    steps: Steps = field(default_factory=Steps)
    epochs: Epochs = field(default_factory=Epochs)
    percent: float | None = None
    time_left: float | None = None
    finished: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether no counter of the training was found at all."""
        found = (self.main.bar, self.epochs.bar, self.steps.counts, self.epochs.number, self.percent)
        return not self.finished and all(evidence is None for evidence in found)

    def announce(self, found: Counts) -> None:
        """Takes over the totals that a line announces."""
        self.epochs.total = found.total_epochs or self.epochs.total
        if found.steps_left is not None:
            self.steps.left = found.steps_left
        if found.total_steps is not None and not found.is_pair:
            self.steps.total = found.total_steps

    def take(self, bar: Bar, *, is_of_job: bool, is_sure: bool) -> None:
        """Takes over a new state of the training's bar."""
        main, before = self.main, self.main.bar
        self.epochs.note(*epoch_of(bar.name))
        self._see_restart(before, bar)
        main.bar = bar
        main.is_of_job = is_of_job and not main.restarts
        main.is_sure = is_sure
        self.steps.counts = None
        self.finished = self.finished and bar.done in {bar.total, before.done if before else None}

    def _see_restart(self, before: Bar | None, bar: Bar) -> None:
        """A bare bar that came to its end and starts anew counts one epoch; the epoch whose result was told is over."""
        is_back = before is not None and _is_same(before, bar) and bar.done < before.done
        if is_back and self.main.is_at_end:
            self.main.restarts = self.main.restarts or bar.kind in {BarKind.UNNAMED, BarKind.STEPS}
        if is_back or before is None:
            self.epochs.is_over = self.main.result_was_told
            self.main.result_was_told = False

    def trust_bar(self) -> None:
        """A line shows that the training has begun: a bar that could be a preparation is its own."""
        if self.main.bar is not None and not self.main.is_sure:
            self.main.is_sure = True
            self.steps.total = self.main.bar.total if self.main.is_of_job else self.steps.total

    def count_epoch(self, found: Counts, *, is_record: bool, tells_result: bool) -> None:
        """Takes over the epoch that a line names; what was counted within the one before starts anew."""
        epochs, main, counts = self.epochs, self.main, self.steps.counts
        is_new = epochs.number not in {None, found.epoch}
        if main.bar is not None and not main.is_of_job and is_new:
            main.bar = replace(main.bar, done=0)
        if counts is not None and found.step is None and self.counts_one_epoch(counts):
            if is_new and not tells_result:
                self.steps.counts = replace(counts, step=0)
            elif found.epoch_part is None:
                self.steps.counts = None
        is_summary = found.step is None and found.epoch_part is None and tells_result
        main.result_was_told = is_summary and main.is_at_end
        if is_summary and not is_record and _is_bare_and_done(main.bar):
            main.is_of_job = main.is_of_job and found.epoch == found.total_epochs
        self.finished = self.finished and not is_new
        epochs.note(found.epoch, found.total_epochs)
        epochs.is_recorded = is_record
        epochs.part = found.epoch_part
        epochs.are_told = epochs.are_told or not is_record

    def count_steps(self, found: Counts, *, is_of_training: bool) -> None:
        """Takes over the step that a line tells, unless it is a lower one without a total."""
        steps, before, main = self.steps, self.steps.counts, self.main
        if found.step is None or (before and before.total_steps and not found.total_steps and _is_back(found, before)):
            return
        if main.bar is not None and is_of_training and _is_too_short(main.bar, found.step):
            main.is_of_job = False
        self._see_course(found, before)
        if steps.first is None or steps.epoch != self.epochs.number:
            steps.first = found.step
        self.finished = self.finished and before is not None and found.step == before.step
        steps.counts = found
        steps.epoch = self.epochs.number

    def _see_course(self, found: Counts, before: Counts | None) -> None:
        """Sees whether the steps start anew with an epoch, or go on through the whole job."""
        steps, number = self.steps, self.epochs.number
        if found.scope is Scope.BESIDE_EPOCH and self.is_out_of_epoch(found):
            steps.course = Course.STARTS_ANEW
        if before is None or before.step is None or found.step is None or found.total_steps != before.total_steps:
            return
        is_new_epoch = number is not None and number != steps.epoch
        if found.step < before.step:
            starts_anew = number is not None or is_near_end(before.step, before.total_steps)
        else:
            starts_anew = is_new_epoch and found.step == before.step and found.total_steps is not None
        if starts_anew:
            steps.course = Course.STARTS_ANEW
        elif is_new_epoch and found.step > before.step and found.total_steps and steps.course is Course.UNSEEN:
            is_elsewhere = bool(found.epoch) and self.is_out_of_epoch(found)
            steps.course = steps.course if is_elsewhere else Course.GOES_ON

    def compare(self, previous: Progress) -> None:
        """A counter that was near its end at the earlier reading and is lower now counts one epoch."""
        if previous.step is None or not is_near_end(previous.step, previous.total_steps):
            return
        bar, counts = self.main.bar, self.steps.counts
        if bar is not None:
            is_plain = bar.kind in {BarKind.UNNAMED, BarKind.STEPS}
            if is_plain and bar.total == previous.total_steps and bar.done < previous.step:
                self.main.is_of_job = False
        elif counts is not None and counts.step is not None and counts.total_steps == previous.total_steps:
            self.steps.course = Course.STARTS_ANEW if counts.step < previous.step else self.steps.course

    def counts_one_epoch(self, counts: Counts) -> bool:
        """Whether steps are one epoch's: they start anew, or are not where the epochs are; some say so themselves.

        Steps beside an epoch are taken for it where the number of epochs is unknown, but for the very first one.
        """
        if not counts.total_steps or counts.scope is Scope.JOB:
            return False
        course, epochs = self.steps.course, self.epochs
        if counts.scope is Scope.EPOCH:
            return course is Course.STARTS_ANEW or epochs.are_named
        if course is not Course.UNSEEN:
            return course is Course.STARTS_ANEW
        if not epochs.total or epochs.number is None:
            return counts.scope is not Scope.UNKNOWN and bool(epochs.number)
        return counts.scope is Scope.TUTORIAL or self.is_out_of_epoch(counts) or self._is_there_by_chance(counts)

    def is_out_of_epoch(self, counts: Counts) -> bool:
        """Whether the step is not where it would be in the whole job, in the epoch that is told."""
        step, total, number, epochs = counts.step, counts.total_steps, self.epochs.number, self.epochs.total
        if step is None or not total or not epochs or number is None:
            return False
        before = number - (0 if self.epochs.from_zero else 1)
        return not before / epochs - 0.01 <= step / total <= (before + 1) / epochs + 0.01

    def _is_there_by_chance(self, counts: Counts) -> bool:
        """A single short counter told within one of few epochs counts that epoch, though it fits the job as well."""
        step, total, first = counts.step, counts.total_steps, self.steps.first
        number, epochs = self.epochs.number, self.epochs.total
        if counts.scope is not Scope.BESIDE_EPOCH or step is None or not total or not number or not epochs:
            return False
        if epochs > _FEW_EPOCHS or total >= _SHORT_EPOCH or step * epochs == total * number:
            return False
        return first is None or (step - first) * 2 * epochs < total

    def begins_longer_total(self, total: int, previous: Progress) -> bool:
        """Whether `total`, read at the end of a half-written line, is the beginning of a known total of steps."""
        counts, bar = self.steps.counts, self.main.bar
        known = (
            counts.total_steps if counts else None,
            bar.total if bar else None,
            self.steps.total,
            previous.total_steps,
        )
        return any(begins(total, other) for other in known)


def is_near_end(done: int | None, total: int | None) -> bool:
    """Whether a counter has all but come to its end."""
    return done is not None and total is not None and done >= _ALMOST * total


def begins(beginning: int, whole: int | None) -> bool:
    """Whether a number's digits are the first ones of another: 2 of 200."""
    return whole is not None and whole != beginning and str(whole).startswith(str(beginning))


def _is_same(one: Bar, other: Bar) -> bool:
    return one.name == other.name and one.total == other.total


def _is_bare_and_done(bar: Bar | None) -> bool:
    return bar is not None and bar.kind is BarKind.UNNAMED and bar.done == bar.total


def _is_back(found: Counts, before: Counts) -> bool:
    return found.step is not None and found.step < (before.step or 0)


def _is_too_short(bar: Bar, step: int) -> bool:
    """Whether the job is at a step beyond a bare bar's end: then the bar counts one epoch."""
    return bar.kind is BarKind.UNNAMED and bar.total is not None and step > bar.total
