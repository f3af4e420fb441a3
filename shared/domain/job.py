"""The job: what a training is, which states it has, and what it has cost."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

JOB_ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
"""T18: nothing else is ever used in a key."""

MIN_PREFIX_LENGTH = 8
MAX_TRANSITIONS = 20
MAX_ERROR_LENGTH = 500
CUT_MARK = "..."
"""The end of a text that was too long for its field."""
MAX_URL_LENGTH = 300
MAX_NAME_LENGTH = 120
JOB_TYPE = "cloud"
"""The only kind here; SimpleTuner itself also has local ones."""

LONGEST_RUN = timedelta(days=366)
"""A longer one is the mistake of a clock and costs nothing that anybody knows."""

_SHORTEST_RUN = timedelta(milliseconds=1)
"""Providers give one that was cancelled while it waited a start some microseconds before its end."""

_CENT_FRACTION = Decimal("0.000001")


class JobStatus(StrEnum):
    """Status words of the wire contract; the order of `rank` is the order of life (I3)."""

    PENDING = "pending"
    UPLOADING = "uploading"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL_STATUSES

    @property
    def is_active(self) -> bool:
        return not self.is_terminal

    @property
    def rank(self) -> int:
        return _RANK[self]


TERMINAL_STATUSES = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})
ACTIVE_STATUSES = (JobStatus.PENDING, JobStatus.UPLOADING, JobStatus.QUEUED, JobStatus.RUNNING)
_RANK = {status: rank for rank, status in enumerate(ACTIVE_STATUSES)} | dict.fromkeys(TERMINAL_STATUSES, 4)


@dataclass(frozen=True, slots=True)
class Transition:
    """A status and the moment it began (UTC), by the provider's clock where that is known."""

    status: JobStatus
    at: datetime


@dataclass(frozen=True, slots=True)
class Absence:
    """How often and since when the provider has not known a job (docs/design.md, "Lost jobs").

    `misses` counts 404s that were spaced far enough apart, `unknown_since` the first look whose status word
    is unknown to us, `lost_at` the moment the job counted as lost.
    """

    misses: int = 0
    last_miss_at: datetime | None = None
    unknown_since: datetime | None = None
    lost_at: datetime | None = None


PRESENT = Absence()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training job as it is stored. Times are UTC, money US dollars, durations seconds.

    `kind` is the provider's word for the list it stands in (`ProviderProfile.kinds`).

    `version` is the store's guard: 0 for a job that was never stored, raised by one with each write.
    `cost_usd` is the final cost; what a running job has cost so far is computed on reading (`cost_at`).
    `is_cost_estimated`: nothing was told of what is billed, so it is the time from start to end × price (I46).
    """

    job_id: str
    provider: str
    status: JobStatus
    created_at: datetime
    hardware_type: str
    price_per_second: Decimal
    kind: str
    external_id: str | None = None
    job_type: str = JOB_TYPE
    version: int = 0
    config_name: str | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    billed_seconds: Decimal | None = None
    cost_usd: Decimal | None = None
    is_cost_estimated: bool = False
    error_message: str | None = None
    output_url: str | None = None
    user_id: str | None = None
    model: str | None = None
    provider_status: str | None = None
    webhook_covered: bool = False
    cancel_requested_at: datetime | None = None
    absence: Absence = PRESENT
    metadata: Mapping[str, object] = field(default_factory=dict)
    transitions: tuple[Transition, ...] = ()

    @property
    def is_lost(self) -> bool:
        return self.absence.lost_at is not None

    @property
    def is_error_cut(self) -> bool:
        """Whether the provider may have said more than the item holds."""
        return self.error_message is not None and self.error_message.endswith(CUT_MARK)

    @property
    def has_run(self) -> bool:
        """Whether it may have written a log: it was seen running, or ran for longer than a moment."""
        if any(transition.status is JobStatus.RUNNING for transition in self.transitions):
            return True
        if self.started_at is None:
            return False
        return self.completed_at is None or abs(self.completed_at - self.started_at) >= _SHORTEST_RUN

    def duration_seconds(self, now: datetime) -> float | None:
        """Seconds from start to end, or to `now` while it runs; null before the start; never negative."""
        if self.started_at is None:
            return None
        return max(0.0, ((self.completed_at or self._clock_stop(now)) - self.started_at).total_seconds())

    def cost_at(self, now: datetime) -> Decimal | None:
        """The final cost, or while it runs elapsed × price; null when neither is known."""
        if self.cost_usd is not None or self.status is not JobStatus.RUNNING or self.started_at is None:
            return self.cost_usd
        return self.cost_until(self._clock_stop(now))

    def cost_until(self, end: datetime) -> Decimal | None:
        """From its start to `end` × price, never negative; None without a start, or for longer than LONGEST_RUN."""
        if self.started_at is None or end - self.started_at > LONGEST_RUN:
            return None
        elapsed = max(0.0, (end - self.started_at).total_seconds())
        return to_money(Decimal(str(elapsed)) * self.price_per_second)

    def _clock_stop(self, now: datetime) -> datetime:
        """A lost job's cost and duration stand still at the moment it was lost."""
        return self.absence.lost_at or now


@dataclass(frozen=True, slots=True)
class IndexPage:
    """Job ids newest first, each with its sort key; `next_key` None: there are no more."""

    entries: tuple[tuple[str, str], ...]
    next_key: str | None


def to_money(amount: Decimal) -> Decimal:
    """US dollars with six decimals, so that a second of the cheapest hardware is not rounded away."""
    return amount.quantize(_CENT_FRACTION, rounding=ROUND_HALF_UP)


def to_iso(moment: datetime) -> str:
    """ISO 8601 UTC with six digits and `Z`; sorts as text in the order of time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_iso(text: str) -> datetime:
    """The reverse of `to_iso`. Raises ValueError on anything `datetime.fromisoformat` refuses."""
    return datetime.fromisoformat(text).astimezone(UTC)
