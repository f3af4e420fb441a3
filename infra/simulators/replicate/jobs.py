"""A job as its parameters, and what it looks like at a given time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from .clock import NANOSECONDS

SHORTEST_RUN_NS = 3_000  # the recorded cancel of a job that had not started: predict_time 3e-06


class SimulatedKind(StrEnum):
    PREDICTION = "prediction"
    TRAINING = "training"


class Status(StrEnum):
    STARTING = "starting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    ABORTED = "aborted"


TERMINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.ABORTED})


class LogStyle(StrEnum):
    """Which program writes the job's log."""

    SIMPLETUNER = "simpletuner"
    FLUX = "flux"
    INFERENCE = "inference"


class Shape(StrEnum):
    """Which of the provider's two back ends answers (`auto`: as the real one chooses)."""

    AUTO = "auto"
    HOT = "hot"
    COLD = "cold"


@dataclass(frozen=True, slots=True)
class Ending:
    """An end that came from outside the job's own course."""

    at_ns: int
    status: Status
    error: str | None = None


@dataclass(frozen=True, slots=True)
class SimulatedJob:
    """Everything a job will ever do. Durations are seconds of the wire's clock, not of the trainer's log."""

    id: str
    kind: SimulatedKind
    model: str
    version: str
    created_ns: int
    boot_seconds: float
    run_seconds: float
    outcome: Status = Status.SUCCEEDED
    error: str | None = None
    has_metrics: bool = True
    input: Mapping[str, object] = field(default_factory=dict)
    output: object = None
    steps: int = 2000
    epochs: int = 10
    reaches: float = 1.0
    """The part of the log that is written before the natural end: 1.0, or less for a job that fails."""
    log_style: LogStyle = LogStyle.SIMPLETUNER
    log_lines: int = 400
    seed: int = 0
    source: str = "api"
    webhook: str | None = None
    webhook_events: tuple[str, ...] | None = None
    deadline_ns: int | None = None
    ending: Ending | None = None
    shape: Shape = Shape.AUTO
    status_word: str | None = None
    """A word that stands on the wire instead of the status, for clients that meet an unknown one."""
    raw_controls: bool = False
    """Whether raw control characters stand inside the JSON string of its log."""

    @property
    def started_ns(self) -> int:
        """When it would start running; before `created_ns` if the provider's clocks disagree."""
        return self.created_ns + int(self.boot_seconds * NANOSECONDS)


@dataclass(frozen=True, slots=True)
class JobView:
    """A job at one moment."""

    status: Status
    started_ns: int | None
    completed_ns: int | None
    error: str | None
    written: float
    """The part of the whole log that is written, 0 to 1."""

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL


def view(job: SimulatedJob, now_ns: int) -> JobView:
    """What `job` is at `now_ns`: the earliest of its natural end, its deadline and an end from outside counts."""
    end = _first_ending(job)
    if now_ns >= end.at_ns:
        return _ended(job, end)
    if now_ns < job.started_ns:
        return JobView(Status.STARTING, None, None, None, 0.0)
    return JobView(Status.PROCESSING, job.started_ns, None, None, _written(job, now_ns))


def _first_ending(job: SimulatedJob) -> Ending:
    endings = [_natural_ending(job)]
    if job.deadline_ns is not None:
        queued = job.deadline_ns < job.started_ns
        endings.append(Ending(job.deadline_ns, Status.ABORTED if queued else Status.CANCELED))
    if job.ending is not None:
        endings.append(job.ending)
    return min(endings, key=lambda ending: ending.at_ns)


def _natural_ending(job: SimulatedJob) -> Ending:
    if job.outcome is Status.ABORTED:
        return Ending(job.started_ns, Status.ABORTED, job.error)
    return Ending(job.started_ns + int(job.run_seconds * NANOSECONDS), job.outcome, job.error)


def _ended(job: SimulatedJob, end: Ending) -> JobView:
    if end.status is Status.ABORTED:
        return JobView(Status.ABORTED, None, end.at_ns, end.error, 0.0)
    started = min(job.started_ns, end.at_ns - SHORTEST_RUN_NS)
    return JobView(end.status, started, end.at_ns, end.error, _written(job, end.at_ns))


def _written(job: SimulatedJob, at_ns: int) -> float:
    run_ns = max(1, int(job.run_seconds * NANOSECONDS))
    return job.reaches * min(1.0, max(0.0, (at_ns - job.started_ns) / run_ns))
