"""Reads a log line by line, as a user would: the newest state wins, and what is known is not forgotten."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from shared.progress import lines
from shared.progress.bars import Bar, BarKind, find_bar, is_too_fast, prepares
from shared.progress.lines import Counts, Signal
from shared.progress.numbers import (
    finite_or_none,
    learning_rate,
    logged_rate,
    remaining_time,
    training_loss,
)
from shared.progress.position import Evidence, Position, is_out_of_epoch, position_of
from shared.progress.progress import Progress, Stage

_STAGES = {
    Signal.PREPARING: Stage.PREPROCESSING,
    Signal.WARMUP: Stage.WARMUP,
    Signal.BANNER: Stage.TRAINING,
    Signal.TRAINING: Stage.TRAINING,
    Signal.VALIDATION: Stage.VALIDATION,
    Signal.RESULT: Stage.VALIDATION,
    Signal.SAVING: Stage.SAVING_CHECKPOINT,
}
_AFTER_START = frozenset({Stage.TRAINING, Stage.VALIDATION, Stage.SAVING_CHECKPOINT})
_SIDE_STAGES = {
    BarKind.WARMUP: Stage.WARMUP,
    BarKind.SAVING: Stage.SAVING_CHECKPOINT,
    BarKind.VALIDATION: Stage.VALIDATION,
}
_TITLE_WINDOW = 120
_METRICS_KEPT = 4
_DUMP = 3
"""Settings in a row that make a dumped configuration."""
_RANK = re.compile(r"\[rank ?\d{1,4}\]:? ?")


def _has_counter(found: Counts) -> bool:
    return any(counter is not None for counter in (found.step, found.epoch, found.percent))


def _is_weak(previous: Progress) -> bool:
    """Whether an earlier reading saw only a bare counter or a word of a training: a preparation has those as well."""
    measured = (previous.loss, previous.learning_rate, previous.epoch, previous.total_epochs)
    is_announced = previous.total_steps is not None and previous.step is None
    is_saved = previous.stage is Stage.SAVING_CHECKPOINT
    return not is_announced and not is_saved and all(value is None for value in measured)


def _told_epochs(previous: Progress) -> bool:
    """Whether an earlier reading saw a bar of one epoch: its pace is known, its place in the job is not."""
    epoch = previous.epoch
    return epoch is not None and epoch == int(epoch) and previous.percent is None and bool(previous.steps_per_second)


def _moves_on(text: str, following: str) -> bool:
    """Whether the next line is the same bar a little later: the same name before its percent, and the same total."""
    percent = text.find("%|", 0, _TITLE_WINDOW)
    if percent <= 2 or text[-1] != "]" or following[percent : percent + 2] != "%|":
        return False
    bracket = text.find("[", percent)
    slash = text.rfind("/", percent, bracket)
    if bracket < 0 or slash < 0 or not following.startswith(text[: percent - 3]):
        return False
    total = text[slash : bracket + 1]
    return following.startswith(total, slash) or total in following


class Reader:
    """The state between two lines. Feed it lines, oldest first, then ask for the `progress`."""

    def __init__(self, previous: Progress | None = None) -> None:
        self._previous = previous or Progress()
        self.stage = self._previous.stage
        is_weak = _is_weak(self._previous)
        self._started = not is_weak and (self.stage in _AFTER_START or self._previous.percent is not None)
        self._evidence = Evidence(
            earlier_epoch=self._previous.epoch,
            total_steps=None if is_weak else self._previous.total_steps,
            total_epochs=self._previous.total_epochs,
        )
        self._bar_is_sure = True
        self._epochs_are_told = _told_epochs(self._previous)
        self._metrics: list[str] = []
        self._context: Signal | None = None
        self._in_traceback = False
        self._settings = 0
        self._awaits_result = False

    @property
    def has_numbers(self) -> bool:
        """Whether any counter of the training was found."""
        return not self._evidence.is_empty

    def read(self, texts: Sequence[str]) -> None:
        """Takes the lines in. A bar that the next line only moves on is passed over: its last state is enough."""
        last = len(texts) - 1
        for index, text in enumerate(texts):
            if index == last or not _moves_on(text, texts[index + 1]):
                self.read_line(text)

    def read_line(self, text: str) -> None:
        """Takes in one line: its last bar, then what is printed behind that bar and so is newer."""
        bar = find_bar(text)
        if bar is None:
            for record in text.split("} {"):
                self._read_text(record)
            return
        self._in_traceback = False
        self._read_bar(bar)
        glued = text[bar.end :]
        if glued and not glued.isspace():
            self._read_text(glued)

    def announce(self, text: str) -> None:
        """Takes only the totals from a line, as one reads a banner that has scrolled by."""
        self._announce(lines.counts_of(text.lower()))

    @property
    def progress(self) -> Progress:
        """What all lines together tell; `last_log` is left to the caller."""
        evidence, previous = self._evidence, self._previous
        is_before_training = self.stage is Stage.PREPROCESSING and not self._started
        position = Position() if is_before_training else position_of(evidence, previous)
        loss, rate = self._newest_metrics()
        newest = self._metrics[-1] if self._metrics else ""
        eta = position.eta_seconds if position.eta_seconds is not None else remaining_time(newest)
        outer = evidence.epochs_bar
        return Progress(
            stage=self.stage,
            percent=position.percent,
            step=position.step,
            total_steps=position.total_steps or evidence.total_steps,
            epoch=self._epoch(),
            total_epochs=outer.total if outer else evidence.total_epochs,
            loss=loss,
            learning_rate=rate,
            eta_seconds=eta,
            steps_per_second=position.steps_per_second or logged_rate(newest),
        )

    def _epoch(self) -> float | None:
        """The epoch that is being trained, counted from one beside a bar of epochs done."""
        evidence, outer = self._evidence, self._evidence.epochs_bar
        if evidence.epoch is not None:
            return evidence.epoch
        if outer is not None:
            return outer.done + 1 if outer.total is None else min(outer.done + 1, outer.total)
        return self._previous.epoch

    def _newest_metrics(self) -> tuple[float | None, float | None]:
        losses = (training_loss(text) for text in reversed(self._metrics))
        loss = next((value for value in losses if value is not None), self._previous.loss)
        rates = (learning_rate(text) for text in reversed(self._metrics))
        rate = next((value for value in rates if value is not None), self._previous.learning_rate)
        return finite_or_none(loss), rate

    def _read_bar(self, bar: Bar) -> None:
        kind = bar.kind
        if (
            kind is BarKind.VALIDATION
            and not self._started
            and bar.name.lower().startswith("proc")
            and prepares(bar.name)
        ):
            kind = BarKind.PREPARING
        if kind is BarKind.PREPARING:
            self._prepare()
            self._context = None if self._context is Signal.PREPARING else self._context
        elif kind in _SIDE_STAGES:
            self.stage = _SIDE_STAGES[kind]
        elif kind is BarKind.EPOCHS:
            self._evidence.epochs_bar = bar
            self._started = self._started or bar.done > 0
            self.stage = Stage.TRAINING
        elif kind is BarKind.UNNAMED:
            self._read_unnamed(bar)
        elif kind is not BarKind.OTHER:
            self._take(
                bar, is_of_job=kind is BarKind.JOB_STEPS or (kind is BarKind.STEPS and not self._is_of_one_epoch(bar))
            )

    def _is_of_one_epoch(self, bar: Bar) -> bool:
        """Whether a bar without a clear name counts one epoch: epochs are told beside it, or were by an earlier log."""
        if self._evidence.epochs_bar is not None or self._epochs_are_told:
            return True
        epochs = self._previous.total_epochs
        return bool(epochs and epochs > 1 and bar.total and bar.total * epochs == self._previous.total_steps)

    def _read_unnamed(self, bar: Bar) -> None:
        """A bare bar is the training if its total is the known one; a small one beside a training is the evaluation."""
        if self._is_evaluation_of_same_size(bar):
            self.stage = Stage.VALIDATION
        elif bar.total is not None and bar.total == self._evidence.total_steps:
            self._take(bar, is_of_job=True)
        elif self._is_of_one_epoch(bar) and not self._has_job_bar():
            self._take(bar, is_of_job=False)
        elif self._is_evaluation(bar) or self._is_beside_training(bar):
            self.stage = Stage.VALIDATION
        elif not self._started and (self._context is Signal.PREPARING or is_too_fast(bar)):
            if self.stage not in {Stage.VALIDATION, Stage.SAVING_CHECKPOINT}:
                self._prepare()
        else:
            self._take(bar, is_of_job=True, is_sure=self._started)

    def _is_evaluation_of_same_size(self, bar: Bar) -> bool:
        main = self._evidence.bar
        if main is None or self.stage is not Stage.VALIDATION or main.total != bar.total:
            return False
        return bar.done < main.done or main.done == main.total

    def _is_evaluation(self, bar: Bar) -> bool:
        """Whether the bar belongs to an evaluation that was told right before, or that waits for its result."""
        main = self._evidence.bar
        waits = self._awaits_result and self.stage is Stage.VALIDATION and (main is None or main.total != bar.total)
        return not bar.name and (waits or self._context is Signal.VALIDATION)

    def _has_job_bar(self) -> bool:
        return self._evidence.bar is not None and self._evidence.bar_is_of_job and self._bar_is_sure

    def _is_beside_training(self, bar: Bar) -> bool:
        main = self._evidence.bar
        if main is None:
            known = self._evidence.total_steps
            return self._started and known is not None and (bar.total is None or bar.total < known)
        if main.name == bar.name and main.total == bar.total:
            return False
        if self._bar_is_sure:
            return True
        return main.total is not None and bar.total is not None and main.done < main.total and bar.total < main.total

    def _take(self, bar: Bar, *, is_of_job: bool, is_sure: bool = True) -> None:
        epoch, total_epochs = lines.epoch_of(bar.name)
        self._note_epoch(epoch, total_epochs)
        before = self._evidence.bar.done if self._evidence.bar is not None else None
        self._evidence.bar = bar
        self._evidence.bar_is_of_job = is_of_job
        self._evidence.counts = None
        self._evidence.finished = self._evidence.finished and bar.done in {bar.total, before}
        self._bar_is_sure = is_sure
        self.stage = Stage.TRAINING
        self._started = self._started or is_sure
        if "loss" in bar.tail or "lr" in bar.tail or "oss" in bar.name:
            self._note_metrics(f"{bar.name} {bar.tail}")

    def _note_metrics(self, text: str) -> None:
        self._metrics.append(text)
        del self._metrics[:-_METRICS_KEPT]

    def _note_epoch(self, epoch: float | None, total: int | None) -> None:
        if epoch is not None:
            self._evidence.epoch = epoch
            self._evidence.epochs_from_zero = self._evidence.epochs_from_zero or epoch == 0
        if total is not None:
            self._evidence.total_epochs = total

    def _prepare(self) -> None:
        """Preparation counts until the training has begun; what looked like a bar of training before it was none."""
        if not self._started:
            self.stage = Stage.PREPROCESSING
            self._evidence.bar = None

    def _read_text(self, text: str) -> None:
        line = text.lower()
        if self._is_traceback(line) or lines.is_noise(line) or self._is_in_dump(line):
            return
        if lines.is_worth_reading(line):
            self._heed(lines.without_options(line))
        elif line and not line.isspace() and not lines.is_wrapped(line):
            self._context = None

    def _is_traceback(self, line: str) -> bool:
        if "traceback (most recent call last)" in line or lines.is_frame(line):
            self._in_traceback = True
            return True
        if self._in_traceback:
            plain = _RANK.sub("", line, count=1)
            self._in_traceback = not plain or plain[0] in " \t"
            return True
        return False

    def _is_in_dump(self, line: str) -> bool:
        """Whether a counter alone on its line is a setting among settings: "epoch = 100" in a dumped configuration."""
        if lines.is_counter_alone(line):
            return self._settings >= _DUMP
        self._settings = self._settings + 1 if lines.is_setting(line) else 0
        return False

    def _heed(self, line: str) -> None:
        if self._context is Signal.PREPARING and lines.is_wrapped(line):
            return
        found = lines.counts_of(line)
        if lines.is_member(line):
            self._announce(found)
            return
        signal = lines.signal_of(line)
        is_training = signal is None and lines.shows_training(line)
        is_counted = found.is_pair or self._evidence.bar is not None
        self._announce(found)
        if signal is None and not is_training and not self._started and lines.prepares(line, is_counted=is_counted):
            signal = Signal.PREPARING
        elif signal is None and (is_training or found.is_pair or _has_counter(found)):
            signal = Signal.TRAINING
            self._heed_training(found, line, is_sure=is_training or found.is_pair)
        self._context = None if signal is Signal.PREPARING and lines.tells_of_the_past(line) else signal
        if signal is not None:
            self._apply(signal, found, line)

    def _apply(self, signal: Signal, found: Counts, line: str) -> None:
        if signal is Signal.PREPARING:
            self._prepare()
            return
        if signal is Signal.BANNER:
            self._started = self._started or lines.is_banner_of_steps(line)
            if self._started and self.stage is Stage.VALIDATION and found.total_steps is None:
                return
        if (signal in {Signal.SAVING, Signal.RESULT} and self._evidence.bar is not None) or (
            signal is Signal.VALIDATION and lines.is_banner_of_evaluation(line)
        ):
            self._started = True
        self._awaits_result = signal is Signal.VALIDATION and (
            self._awaits_result or lines.is_banner_of_evaluation(line)
        )
        if found.is_pair and signal in {Signal.SAVING, Signal.RESULT, Signal.VALIDATION}:
            self._count(found, line)
        self.stage = _STAGES[signal]
        self._evidence.finished = self._evidence.finished or lines.says_finished(line)

    def _heed_training(self, found: Counts, line: str, *, is_sure: bool) -> None:
        self._count(found, line)
        self._note_metrics(line)
        if is_sure:
            self._started = True
            if self._evidence.bar is not None and not self._bar_is_sure:
                self._bar_is_sure = True
                self._evidence.total_steps = self._evidence.bar.total

    def _count(self, found: Counts, line: str) -> None:
        evidence = self._evidence
        epoch_before = evidence.epoch
        if found.epoch is not None:
            if evidence.bar is not None and not evidence.bar_is_of_job and evidence.epoch not in {None, found.epoch}:
                evidence.bar = replace(evidence.bar, done=0)
            self._note_epoch(found.epoch, found.total_epochs)
            evidence.epoch_is_done = lines.is_record(line)
            self._epochs_are_told = self._epochs_are_told or not evidence.epoch_is_done
        evidence.percent = found.percent if found.percent is not None else evidence.percent
        if found.step is not None:
            before = evidence.counts
            if before and before.total_steps and found.total_steps is None and found.step < (before.step or 0):
                return
            is_of_training = found.epoch is not None or lines.shows_training(line)
            if evidence.bar is not None and is_of_training and self._bar_is_too_short(evidence.bar, found.step):
                evidence.bar_is_of_job = False
            self._see_where_steps_lead(before, found)
            if evidence.first_step is None or found.epoch != epoch_before:
                evidence.first_step = found.step
            evidence.counts = found
            evidence.counts_epoch = evidence.epoch

    def _see_where_steps_lead(self, before: Counts | None, found: Counts) -> None:
        """Notes whether the steps start anew with an epoch, or go on through the whole job."""
        evidence = self._evidence
        is_out = found.is_after_epoch and is_out_of_epoch(found, evidence)
        evidence.steps_restart = evidence.steps_restart or is_out
        if before is None or before.step is None or found.step is None or found.total_steps != before.total_steps:
            return
        is_new_epoch = evidence.epoch is not None and evidence.epoch != evidence.counts_epoch
        if found.step < before.step or (is_new_epoch and found.step == before.step and found.total_steps):
            evidence.steps_restart = True
        elif is_new_epoch and found.total_steps and not (found.epoch and is_out_of_epoch(found, evidence)):
            evidence.steps_go_on = True

    @staticmethod
    def _bar_is_too_short(bar: Bar, step: int) -> bool:
        """Whether the job is at a step beyond a bare bar's end: then the bar counts one epoch."""
        return bar.kind is BarKind.UNNAMED and bar.total is not None and step > bar.total

    def _announce(self, found: Counts) -> None:
        evidence = self._evidence
        evidence.total_epochs = found.total_epochs or evidence.total_epochs
        if found.steps_left is not None:
            evidence.steps_left = found.steps_left
        if found.total_steps is not None and not found.is_pair:
            evidence.total_steps = found.total_steps
