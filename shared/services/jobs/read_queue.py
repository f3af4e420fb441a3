"""The queue: a queue entry is the job itself, so nothing here can disagree with the jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from statistics import fmean

from pydantic import TypeAdapter

from shared.domain import state_keys
from shared.domain.job import Job, JobStatus
from shared.domain.stored import read_value
from shared.ports import Clock, EventLog, JobStore, Provider, StateStore

WAITING = frozenset({JobStatus.PENDING, JobStatus.UPLOADING, JobStatus.QUEUED})
WORDS: Mapping[str, frozenset[JobStatus]] = {
    **{status.value: frozenset({status}) for status in JobStatus},
    "pending": WAITING,
    "waiting": WAITING,
    "ready": WAITING,
}
"""What clients call the states of a queue entry; any other word (`blocked`, …) fits no entry."""
RECENT_DAYS = 30
WAITS_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How many jobs may run at once: in all, of one user, of one team."""

    max_concurrent: int = 5
    user_max_concurrent: int = 2
    team_max_concurrent: int = 10
    enable_fair_share: bool = False


_STORED_LIMITS = TypeAdapter(QueueLimits)


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """`position` counts the waiting from 1; 0: it waits no more. `estimated_cost` in US dollars."""

    job: Job
    position: int
    estimated_cost: Decimal


@dataclass(frozen=True, slots=True)
class QueueStats:
    """`avg_wait_seconds` of the jobs that run now, None when none does."""

    by_status: Mapping[JobStatus, int]
    avg_wait_seconds: float | None
    limits: QueueLimits

    @property
    def depth(self) -> int:
        return sum(self.by_status[status] for status in WAITING)


@dataclass(frozen=True, kw_only=True)
class ReadQueue:
    jobs: JobStore
    events: EventLog
    state: StateStore
    clock: Clock
    providers: Mapping[str, Provider]

    def entries(self, word: str | None, *, limit: int) -> list[QueueEntry]:
        """Without a word: all active jobs, the waiting ones first, in their order; ended ones newest first.

        A lost job holds no place.
        """
        wanted = WORDS.get(word, frozenset()) if word else WAITING | {JobStatus.RUNNING}
        ended = next((status for status in wanted if status.is_terminal), None)
        if ended is not None:
            page = self.jobs.page(status=ended, after=None, limit=limit)
            rows = self.jobs.get_many([job_id for job_id, _ in page.entries])
            return [self._entry(rows[job_id], 0, Decimal(0)) for job_id, _ in page.entries if job_id in rows]
        active = [job for job in self._active() if not job.is_lost] if wanted else []
        waiting = [job for job in active if job.status in WAITING]
        running = [job for job in active if job.status is JobStatus.RUNNING]
        positions = {job.job_id: place for place, job in enumerate(waiting, start=1)}
        ids = [job.job_id for job in (*waiting, *running) if job.status in wanted][:limit]
        rows = self.jobs.get_many(ids)
        usual = self._usual_cost() if rows else Decimal(0)
        return [self._entry(rows[job_id], positions.get(job_id, 0), usual) for job_id in ids if job_id in rows]

    def stats(self) -> QueueStats:
        head = self.events.head()
        counts = {status: head.count(statuses=frozenset({status})) for status in JobStatus}
        return QueueStats(counts, self._usual_wait() if counts[JobStatus.RUNNING] else None, self.limits())

    def limits(self) -> QueueLimits:
        item = self.state.get(state_keys.QUEUE_LIMITS, now=self.clock.now())
        return read_value(item, _STORED_LIMITS) or QueueLimits()

    def _entry(self, job: Job, position: int, usual: Decimal) -> QueueEntry:
        return QueueEntry(job, position, job.cost_at(self.clock.now()) or usual)

    def _active(self) -> list[Job]:
        found = [job for name in self.providers for job in self.jobs.active(name)]
        return sorted(found, key=lambda job: (job.created_at, job.job_id))

    def _usual_cost(self) -> Decimal:
        """The average of what recently ended; 0 while nothing has."""
        now = self.clock.now()
        totals = [
            total
            for name in self.providers
            for total in self.jobs.day_totals(name, now - timedelta(days=RECENT_DAYS), now)
        ]
        jobs = sum(total.jobs for total in totals)
        return sum((total.cost for total in totals), Decimal(0)) / jobs if jobs else Decimal(0)

    def _usual_wait(self) -> float | None:
        ids = [job.job_id for job in self._active() if job.status is JobStatus.RUNNING]
        waits = [
            max(0.0, (job.started_at - (job.queued_at or job.created_at)).total_seconds())
            for job in self.jobs.get_many(ids[-WAITS_LOOKED_AT:]).values()
            if job.started_at is not None
        ]
        return round(fmean(waits), 1) if waits else None
