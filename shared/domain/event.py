"""One change in the one ordered log, and the ids by which every transport names it (docs/design.md, idea 2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import takewhile
from typing import ClassVar

from shared.domain.job import Job, JobStatus, to_iso

LOG_NAME = "main"
LONGEST_TURN = timedelta(seconds=10)
"""A committer's turn that would last longer was written by a clock that is ahead, and counts as none."""


class EventType(StrEnum):
    STATUS_CHANGED = "job_status_changed"
    DELETED = "job_deleted"


Body = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatusChanged:
    """A job has entered `status`. `previous_status` None: it was not known before."""

    type: ClassVar = EventType.STATUS_CHANGED

    job_id: str
    provider: str
    at: datetime
    status: JobStatus
    previous_status: JobStatus | None = None
    config_name: str | None = None
    cost_usd: Decimal | None = None
    error_message: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None

    def frames(self) -> tuple[Body, Body]:
        """In order: the change itself, then what SimpleTuner's own page hears."""
        cost = float(self.cost_usd) if self.cost_usd is not None else None
        change = {
            "type": self.type.value,
            "job_id": self.job_id,
            "status": self.status.value,
            "previous_status": self.previous_status.value if self.previous_status else None,
            "provider": self.provider,
            "at": to_iso(self.at),
        }
        updates = {
            "status": self.status.value,
            "started_at": to_iso(self.started_at) if self.started_at else None,
            "completed_at": to_iso(self.completed_at) if self.completed_at else None,
            "cost_usd": cost,
            "error_message": self.error_message,
        }
        return change, _job_update(self, updates, cost_usd=cost, error_message=self.error_message)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDeleted:
    """A job was deleted, so that every page forgets it."""

    type: ClassVar = EventType.DELETED

    job_id: str
    provider: str
    at: datetime
    previous_status: JobStatus
    config_name: str | None = None

    def frames(self) -> tuple[Body, Body]:
        """In order: the change itself, then what SimpleTuner's own page hears."""
        return {"type": self.type.value, "job_id": self.job_id}, _job_update(self, {"status": "deleted"})


JobEvent = JobStatusChanged | JobDeleted
"""A change before it has its number."""


def _job_update(
    event: JobEvent, updates: Body, *, cost_usd: float | None = None, error_message: str | None = None
) -> Body:
    return {
        "type": "cloud_job_update",
        "job_id": event.job_id,
        "status": updates["status"],
        "config_name": event.config_name,
        "cost_usd": cost_usd,
        "error_message": error_message,
        "updates": updates,
    }


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """A change with its number: 1, 2, 3 … without gap within an epoch (I11)."""

    seq: int
    event: JobEvent

    def frames(self, epoch: str) -> tuple[Frame, Frame]:
        first, last = self.event.frames()
        whole = EventId.of_change(epoch, self.seq)
        return Frame(EventId(epoch, whole.n - 1), first), Frame(whole, last)


def consecutive(after: int, logged: Iterable[LoggedEvent]) -> tuple[LoggedEvent, ...]:
    """The changes from `after` + 1 up to the first hole (I14); `logged` comes in the order of its numbers."""
    numbered = enumerate(logged, start=after + 1)
    return tuple(one for _, one in takewhile(lambda pair: pair[0] == pair[1].seq, numbered))


@dataclass(frozen=True, slots=True)
class LogHead:
    """Item 0 of the log: `seq` the last number given, `first_kept` the first that can still be read.

    `counts` is the number of stored jobs by (provider, status); it moves in each change's own transaction.
    `turn_until` is when the committer's turn ends, in which everybody else hands over to it.
    """

    epoch: str
    seq: int = 0
    first_kept: int = 1
    counts: Mapping[tuple[str, JobStatus], int] = field(default_factory=dict)
    turn_until: datetime | None = None

    def is_committers_turn(self, now: datetime) -> bool:
        """A committer that died in its turn is waited for only until that ends by itself."""
        return self.turn_until is not None and now < self.turn_until <= now + LONGEST_TURN

    def count(self, *, provider: str | None = None, statuses: frozenset[JobStatus] | None = None) -> int:
        return sum(
            number
            for (name, status), number in self.counts.items()
            if (provider is None or name == provider) and (statuses is None or status in statuses)
        )


def status_event(job: Job, previous: JobStatus | None) -> JobStatusChanged:
    """The event of a job that has just entered its status."""
    return JobStatusChanged(
        job_id=job.job_id,
        provider=job.provider,
        at=job.transitions[-1].at if job.transitions else job.created_at,
        status=job.status,
        previous_status=previous,
        config_name=job.config_name,
        cost_usd=job.cost_usd,
        error_message=job.error_message,
        started_at=job.started_at,
        completed_at=job.completed_at,
    )


def deletion_event(job: Job, at: datetime) -> JobDeleted:
    return JobDeleted(
        job_id=job.job_id,
        provider=job.provider,
        at=at,
        previous_status=job.status,
        config_name=job.config_name,
    )


_EVENT_ID = re.compile(r"([A-Za-z0-9]{1,32})-(0|[1-9][0-9]{0,17})", re.ASCII)
MAX_EVENT_ID_LENGTH = 128


@dataclass(frozen=True, slots=True)
class EventId:
    """`<epoch>-<n>`: change `seq` has n = 2·seq − 1 and 2·seq, one for each of its two frames."""

    epoch: str
    n: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.n}"

    @classmethod
    def parse(cls, text: str) -> EventId | None:
        """None for anything that is not an id, whatever its length or characters (I20)."""
        if len(text) > MAX_EVENT_ID_LENGTH:
            return None
        match = _EVENT_ID.fullmatch(text)
        return cls(match[1], int(match[2])) if match else None

    @classmethod
    def of_change(cls, epoch: str, seq: int) -> EventId:
        """The id of a change's last frame: who has it, has the whole change."""
        return cls(epoch, 2 * seq)

    @classmethod
    def of_head(cls, head: LogHead) -> EventId:
        return cls.of_change(head.epoch, head.seq)

    @property
    def seq(self) -> int:
        """The last change that who stands here has whole; one of which it has only the first frame is not."""
        return self.n // 2


@dataclass(frozen=True, slots=True)
class Frame:
    """One message to a client: its id and its JSON body."""

    id: EventId
    body: Body
