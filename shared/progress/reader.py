"""Reads a log line by line, as a user would: the newest state wins, and what is known is not forgotten."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.progress import rules
from shared.progress.bars import Bar, BarKind, find_bar, is_too_fast, prepares
from shared.progress.counters import Counts, Scope, counts_of
from shared.progress.evidence import Epochs, Evidence, Steps, begins
from shared.progress.numbers import finite_or_none, learning_rate, logged_rate, time_left, training_loss
from shared.progress.position import Position, position_of
from shared.progress.progress import Progress, Stage
from shared.progress.rules import Signal
from shared.progress.shapes import NoiseFilter, is_member, is_wrapped, without_options


@dataclass(frozen=True, slots=True)
class _Effect:
    """What a signal does to the reading: it is at `stage`, and its counters are those of the training.

    `begins_beside_bar`: a bar that was seen before it was the training's.
    """

    stage: Stage
    counts_pairs: bool = False
    begins_beside_bar: bool = False


_EFFECTS = {
    Signal.WARMUP: _Effect(Stage.WARMUP),
    Signal.BANNER: _Effect(Stage.TRAINING),
    Signal.TRAINING: _Effect(Stage.TRAINING),
    Signal.FINISHED: _Effect(Stage.TRAINING),
    Signal.VALIDATION: _Effect(Stage.VALIDATION, counts_pairs=True),
    Signal.RESULT: _Effect(Stage.VALIDATION, counts_pairs=True, begins_beside_bar=True),
    Signal.SAVING: _Effect(Stage.SAVING_CHECKPOINT, counts_pairs=True, begins_beside_bar=True),
}
_STAGES_OF_BARS = {
    BarKind.WARMUP: Stage.WARMUP,
    BarKind.SAVING: Stage.SAVING_CHECKPOINT,
    BarKind.VALIDATION: Stage.VALIDATION,
}
_AFTER_START = (Stage.TRAINING, Stage.VALIDATION, Stage.SAVING_CHECKPOINT)
_TITLE_WINDOW = 120
_TOTAL_AT_END = re.compile(r"(?:/|\bof )\s{0,3}(\d{1,15})$", re.ASCII)
_NUMBER_AT_END = re.compile(r"[-+]?\d[\d.]{0,24}(?:e[-+]?\d{0,3})?$", re.ASCII)


class Metrics:
    """The newest lines and bars that show metrics, and what they tell."""

    _KEPT = 4

    def __init__(self, previous: Progress) -> None:
        self._previous = previous
        self._texts: list[str] = []

    def note(self, text: str) -> None:
        self._texts.append(text)
        del self._texts[: -self._KEPT]

    @property
    def loss(self) -> float | None:
        """The newest loss; `None` also if that is no number."""
        losses = (training_loss(text) for text in reversed(self._texts))
        return finite_or_none(next((value for value in losses if value is not None), self._previous.loss))

    @property
    def learning_rate(self) -> float | None:
        rates = (learning_rate(text) for text in reversed(self._texts))
        return next((value for value in rates if value is not None), self._previous.learning_rate)

    @property
    def logged_rate(self) -> float | None:
        """The pace in the very newest record, in steps a second."""
        return logged_rate(self._texts[-1]) if self._texts else None


class Reader:
    """The state between two lines. Feed it lines, oldest first, then ask for the `progress`.

    Until the training has certainly begun (`_has_begun`) a bar or a word of it may turn out to be a preparation.
    `_context` is what the line before said; `_awaits_result`: an evaluation was announced, its result has not come.
    """

    def __init__(self, previous: Progress | None = None) -> None:
        self._previous = previous or Progress()
        self._stage = self._previous.stage
        is_weak = _is_weak(self._previous)
        self._has_begun = not is_weak and (self._stage in _AFTER_START or self._previous.percent is not None)
        self._context: Signal | None = None
        self._awaits_result = False
        self._is_cut = False
        self._evidence = Evidence(
            steps=Steps(total=None if is_weak else self._previous.total_steps),
            epochs=Epochs(
                earlier=self._previous.epoch,
                total=self._previous.total_epochs,
                from_zero=_counted_from_zero(self._previous),
                are_told=_told_epochs(self._previous),
            ),
        )
        self._metrics = Metrics(self._previous)
        self._noise = NoiseFilter()

    @property
    def has_numbers(self) -> bool:
        """Whether any counter of the training was found."""
        return not self._evidence.is_empty

    def read(self, texts: Sequence[str]) -> None:
        """Takes the lines in. A bar that the next line only moves on is passed over: its last state is enough.

        The last line may be half written: behind a whole one stands an empty text.
        """
        last = len(texts) - 1
        for index, text in enumerate(texts):
            if index < last and _moves_on(text, texts[index + 1]):
                continue
            self._is_cut = index == last and bool(text)
            self._read_line(text)
        self._evidence.compare(self._previous)

    def announce(self, text: str) -> None:
        """Takes only the totals from a line, as one reads a banner that has scrolled by."""
        self._evidence.announce(counts_of(text.lower()))

    @property
    def progress(self) -> Progress:
        """What all lines together tell; `last_log` is left to the caller."""
        evidence, epochs = self._evidence, self._evidence.epochs
        is_before_training = self._stage is Stage.PREPROCESSING and not self._has_begun
        position = Position() if is_before_training else position_of(evidence, self._previous)
        return Progress(
            stage=self._stage,
            percent=position.percent,
            step=position.step,
            total_steps=position.total_steps or evidence.steps.total,
            epoch=self._epoch(),
            total_epochs=epochs.bar.total if epochs.bar else epochs.total,
            loss=self._metrics.loss,
            learning_rate=self._metrics.learning_rate,
            eta_seconds=position.eta_seconds if position.eta_seconds is not None else evidence.time_left,
            steps_per_second=position.steps_per_second or self._metrics.logged_rate,
        )

    def _epoch(self) -> float | None:
        """The epoch that is being trained, counted from one beside a bar of epochs done."""
        epochs, outer = self._evidence.epochs, self._evidence.epochs.bar
        if epochs.number is not None:
            return epochs.number
        if outer is not None:
            return outer.done + 1 if outer.total is None else min(outer.done + 1, outer.total)
        return self._previous.epoch

    def _read_line(self, text: str) -> None:
        """Takes in one line: its last bar, then what is printed behind that bar and so is newer."""
        bar = find_bar(text)
        if bar is None:
            for record in text.split("} {"):
                self._read_text(record)
            return
        self._noise.end_traceback()
        if self._is_cut and bar.end == len(text) and not bar.tail and self._is_beginning(bar.total):
            return
        self._read_bar(bar)
        glued = text[bar.end :]
        if glued and not glued.isspace():
            self._read_text(glued)

    def _read_bar(self, bar: Bar) -> None:
        kind = bar.kind
        if kind is BarKind.VALIDATION and not self._has_begun and _prepares_validation(bar):
            kind = BarKind.PREPARING
        if kind is BarKind.PREPARING:
            self._prepare()
            self._context = None if self._context is Signal.PREPARING else self._context
        elif kind is BarKind.UNNAMED:
            self._read_unnamed(bar)
        elif kind is BarKind.JOB_STEPS:
            self._take(bar, is_of_job=True)
        elif kind is BarKind.STEPS:
            self._take(bar, is_of_job=not self._is_of_one_epoch(bar))
        elif kind is BarKind.EPOCH_STEPS:
            self._take(bar, is_of_job=False)
        elif kind is BarKind.EPOCHS:
            self._evidence.epochs.bar = bar
            self._has_begun = self._has_begun or bar.done > 0
            self._stage = Stage.TRAINING
        elif kind is not BarKind.OTHER:
            self._stage = _STAGES_OF_BARS[kind]

    def _take(self, bar: Bar, *, is_of_job: bool, is_sure: bool = True) -> None:
        self._evidence.take(bar, is_of_job=is_of_job, is_sure=is_sure)
        self._stage = Stage.TRAINING
        self._has_begun = self._has_begun or is_sure
        if "loss" in bar.tail or "lr" in bar.tail or "oss" in bar.name:
            self._metrics.note(f"{bar.name} {bar.tail}")

    def _read_unnamed(self, bar: Bar) -> None:
        """A bare bar is the training if its total is the known one; a small one beside a training is the evaluation."""
        main = self._evidence.main
        has_job_bar = main.bar is not None and main.is_of_job and main.is_sure
        if self._is_evaluation_of_same_size(bar):
            self._stage = Stage.VALIDATION
        elif bar.total is not None and bar.total == self._evidence.steps.total:
            self._take(bar, is_of_job=True)
        elif self._is_of_one_epoch(bar) and not has_job_bar:
            self._take(bar, is_of_job=False)
        elif self._is_evaluation(bar) or self._is_beside_training(bar):
            self._stage = Stage.VALIDATION
        elif not self._has_begun and (self._context is Signal.PREPARING or is_too_fast(bar)):
            if self._stage not in {Stage.VALIDATION, Stage.SAVING_CHECKPOINT}:
                self._prepare()
        else:
            self._take(bar, is_of_job=True, is_sure=self._has_begun)

    def _is_of_one_epoch(self, bar: Bar) -> bool:
        """Whether a bar without a clear name counts one epoch: epochs are told beside it, or were by an earlier log."""
        if self._evidence.epochs.bar is not None or self._evidence.epochs.are_told:
            return True
        epochs = self._previous.total_epochs
        return bool(epochs and epochs > 1 and bar.total and bar.total * epochs == self._previous.total_steps)

    def _is_evaluation_of_same_size(self, bar: Bar) -> bool:
        main = self._evidence.main.bar
        if main is None or self._stage is not Stage.VALIDATION or main.total != bar.total:
            return False
        if not self._awaits_result and bar.total != self._evidence.steps.total:
            return False
        return bar.done < main.done or main.done == main.total

    def _is_evaluation(self, bar: Bar) -> bool:
        """Whether the bar belongs to an evaluation that was told right before, or that waits for its result."""
        main = self._evidence.main.bar
        waits = self._awaits_result and self._stage is Stage.VALIDATION and (main is None or main.total != bar.total)
        return not bar.name and (waits or self._context is Signal.VALIDATION)

    def _is_beside_training(self, bar: Bar) -> bool:
        main = self._evidence.main.bar
        if main is None:
            known = self._evidence.steps.total
            return self._has_begun and known is not None and (bar.total is None or bar.total < known)
        if main.name == bar.name and main.total == bar.total:
            return False
        if self._evidence.main.is_sure:
            return True
        return main.total is not None and bar.total is not None and main.done < main.total and bar.total < main.total

    def _prepare(self) -> None:
        """Preparation counts until the training has begun; what looked like a bar of training before it was none."""
        if not self._has_begun:
            self._stage = Stage.PREPROCESSING
            self._evidence.main.bar = None

    def _read_text(self, text: str) -> None:
        line = text.lower()
        if not self._noise.passes(line):
            return
        if rules.MENTIONS.says(line):
            self._heed(without_options(line))
        elif line and not line.isspace() and not is_wrapped(line):
            self._context = None

    def _heed(self, line: str) -> None:
        if self._context is Signal.PREPARING and is_wrapped(line):
            return
        found = counts_of(line)
        if self._is_cut and self._is_half_counter(line, found):
            return
        if is_member(line):
            self._evidence.announce(found)
            return
        shows_loss = rules.TRAINED.says(line)
        signal = self._signal_of(line, found, shows_loss=shows_loss)
        self._evidence.announce(found)
        if signal is Signal.TRAINING:
            self._count_training(found, line, shows_loss=shows_loss)
        elif signal is None and rules.TIME_LEFT_ALONE.says(line):
            self._evidence.time_left = time_left(line)
        is_over = signal is Signal.PREPARING and rules.PREPARED.says(line)
        self._context = None if is_over else signal
        if signal is Signal.PREPARING:
            self._prepare()
        elif signal is not None:
            self._apply(signal, found, line)

    def _signal_of(self, line: str, found: Counts, *, shows_loss: bool) -> Signal | None:
        """What the line says; a word of preparation only where no counter and no loss of the training is beside it."""
        signal = rules.signal_of(line)
        if signal is not None or shows_loss:
            return signal or Signal.TRAINING
        is_counted = found.is_pair or self._evidence.main.bar is not None
        if not self._has_begun and rules.prepares(line, is_counted=is_counted):
            return Signal.PREPARING
        return Signal.TRAINING if found.has_counter or rules.names_training(line) else None

    def _apply(self, signal: Signal, found: Counts, line: str) -> None:
        effect = _EFFECTS[signal]
        is_announced = signal is Signal.VALIDATION and rules.BANNER_OF_EVALUATION.says(line)
        if signal is Signal.BANNER:
            self._has_begun = self._has_begun or rules.BANNER_OF_STEPS.says(line)
            if self._has_begun and self._stage is Stage.VALIDATION and found.total_steps is None:
                return
        if is_announced or (effect.begins_beside_bar and self._evidence.main.bar is not None):
            self._has_begun = True
        self._awaits_result = signal is Signal.VALIDATION and (self._awaits_result or is_announced)
        if effect.counts_pairs and found.is_pair:
            is_evaluated = effect.stage is Stage.VALIDATION and (
                found.scope is Scope.EPOCH or rules.EVALUATED_COUNTER.says(line)
            )
            counted = replace(found, step=None, total_steps=None) if is_evaluated else found
            self._count(counted, line, shows_loss=rules.TRAINED.says(line))
        self._stage = effect.stage
        self._evidence.finished = self._evidence.finished or signal is Signal.FINISHED

    def _count_training(self, found: Counts, line: str, *, shows_loss: bool) -> None:
        self._count(found, line, shows_loss=shows_loss)
        if found.has_counter or shows_loss:
            is_of_epoch = found.scope is Scope.EPOCH and rules.TIME_OF_COUNTER.says(line)
            self._evidence.time_left = None if is_of_epoch else time_left(line)
            self._metrics.note(self._whole_part(line))
        if found.is_pair or shows_loss:
            self._has_begun = True
            self._evidence.trust_bar()

    def _count(self, found: Counts, line: str, *, shows_loss: bool) -> None:
        if found.epoch is not None and (shows_loss or not self._looks_back(found)):
            self._evidence.count_epoch(
                found, is_record=rules.RECORD.says(line), tells_result=rules.EPOCH_RESULT.says(line)
            )
        if found.percent is not None:
            self._evidence.percent = found.percent
        if found.step is not None:
            self._evidence.count_steps(found, is_of_training=found.epoch is not None or shows_loss)

    def _looks_back(self, found: Counts) -> bool:
        """Whether an epoch is named in passing: it lies behind the one that is told, and has no total itself."""
        number, total = self._evidence.epochs.number, self._evidence.epochs.total
        if found.epoch is None or number is None or found.total_epochs is not None or not total:
            return False
        return found.epoch < number

    def _is_half_counter(self, line: str, found: Counts) -> bool:
        """Whether a half-written line ends within a total that is known to be longer: "Epoch 10/2" of 200."""
        at_end = _TOTAL_AT_END.search(line)
        total = int(at_end[1]) if at_end else None
        if total is not None and total == found.total_epochs:
            return begins(total, self._evidence.epochs.total)
        return total is not None and total == found.total_steps and self._is_beginning(total)

    def _is_beginning(self, total: int | None) -> bool:
        return total is not None and self._evidence.begins_longer_total(total, self._previous)

    def _whole_part(self, line: str) -> str:
        """The line without a number at its cut end that is shorter than the loss before it."""
        at_end = _NUMBER_AT_END.search(line) if self._is_cut else None
        loss = self._metrics.loss if at_end else None
        if at_end is None or loss is None:
            return line
        is_whole = at_end[0][-1].isdigit() and len(at_end[0]) >= len(str(loss))
        return line if is_whole else line[: at_end.start()]


def _is_weak(previous: Progress) -> bool:
    """Whether an earlier reading saw only a bare counter or a word of a training: a preparation has those as well."""
    measured = (previous.loss, previous.learning_rate, previous.epoch, previous.total_epochs)
    is_announced = previous.total_steps is not None and previous.step is None
    is_saved = previous.stage is Stage.SAVING_CHECKPOINT
    return not is_announced and not is_saved and all(value is None for value in measured)


def _told_epochs(previous: Progress) -> bool:
    """Whether an earlier reading saw a bar of one epoch: its pace is known, its place in the job is not."""
    epoch = previous.epoch
    is_whole = epoch is None or epoch == int(epoch)
    has_place = previous.percent is not None or previous.step is not None
    return is_whole and not has_place and bool(previous.steps_per_second)


def _counted_from_zero(previous: Progress) -> bool:
    """Whether an earlier reading was further than the end of its epoch, if epochs were counted from one."""
    epoch, epochs, percent = previous.epoch, previous.total_epochs, previous.percent
    if epoch == 0:
        return True
    return bool(epoch and epochs and percent is not None and percent > 100 * epoch / epochs + 0.1)


def _prepares_validation(bar: Bar) -> bool:
    """Whether a bar prepares what a validation needs: "Processing validation prompts"."""
    return bar.name.lower().startswith("proc") and prepares(bar.name)


def _moves_on(text: str, following: str) -> bool:
    """Whether the next line is the same bar a little later: same name, same total, and no lower percent."""
    percent = text.find("%|", 0, _TITLE_WINDOW)
    if percent <= 2 or text[-1] != "]" or following[percent : percent + 2] != "%|":
        return False
    bracket = text.find("[", percent)
    slash = text.rfind("/", percent, bracket)
    if bracket < 0 or slash < 0 or not following.startswith(text[: percent - 3]):
        return False
    if following[percent - 3 : percent] < text[percent - 3 : percent]:
        return False
    total = text[slash : bracket + 1]
    return following.startswith(total, slash) or total in following
