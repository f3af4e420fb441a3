"""What a log tells about a running job: its stage, its numbers, and the course of its loss."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """The five stages that the inline progress can name; no signal in the log is `None`, never a guess."""

    PREPROCESSING = "Preprocessing"
    WARMUP = "Warmup"
    TRAINING = "Training"
    VALIDATION = "Validation"
    SAVING_CHECKPOINT = "Saving checkpoint"


@dataclass(frozen=True, slots=True)
class Progress:
    """One reading of a log. Every field is `None` where the log does not show it; all numbers are finite.

    `percent` is 0–100 with one decimal. `last_log` is the newest line, safe to show, at most 80 characters.
    `epoch` is a whole number for "epoch 3/10" and a fraction where the trainer logs one (`'epoch': 0.52`).
    `eta_seconds` is what the log itself shows or its own rate implies; `pace_eta` is the measured fallback.
    """

    stage: Stage | None = None
    last_log: str | None = None
    percent: float | None = None
    step: int | None = None
    total_steps: int | None = None
    epoch: float | None = None
    total_epochs: int | None = None
    loss: float | None = None
    learning_rate: float | None = None
    eta_seconds: float | None = None
    steps_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """A point of the loss curve: `t` is seconds of training, `None` where the log has no clock."""

    t: float | None
    step: int
    loss: float
