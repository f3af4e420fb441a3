"""What the jobs have cost and how many there were: from counts and day totals, never from a scan (docs/design.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from shared.domain.event import LogHead
from shared.domain.job import ACTIVE_STATUSES, Job, JobStatus
from shared.domain.totals import DayTotal
from shared.ports import Clock, EventLog, JobStore, Provider

MAX_DAYS = 365
CACHE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class DaySum:
    """One UTC day: cost in US dollars and number of jobs that ended; today holds what the running ones cost so far."""

    day: date
    cost: Decimal
    jobs: int


@dataclass(frozen=True, slots=True)
class JobMetrics:
    """`job_count`: ended within the period or still active. `average_seconds`: of those that ended, None without."""

    total_cost: Decimal
    job_count: int
    average_seconds: float | None
    by_status: Mapping[JobStatus, int]
    by_day: tuple[DaySum, ...]


@dataclass
class ReadMetrics:
    """`providers` are the names of all that are known; which jobs run is read once per CACHE_SECONDS.

    Where their number has changed, at once: a job that has just ended would count twice.
    """

    jobs: JobStore
    events: EventLog
    clock: Clock
    providers: Mapping[str, Provider]
    _running: dict[str, tuple[float, int, tuple[Job, ...]]] = field(default_factory=dict)

    def read(self, *, days: int, provider: str | None = None) -> JobMetrics:
        """The last `days` UTC days, today included; an unknown provider has had no jobs."""
        head = self.events.head()
        names = [name for name in sorted(self.providers) if provider in (None, name)]
        sums: dict[date, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
        for total in (total for name in names for total in self._totals(name, days)):
            parts = (total.cost, Decimal(total.jobs), total.seconds)
            sums[total.day] = [known + part for known, part in zip(sums[total.day], parts, strict=True)]
        running = sum((self.running_cost(name, head) for name in names), Decimal(0))
        today = self.clock.now().date()
        sums[today] = [sums[today][0] + running, *sums[today][1:]]
        by_day = tuple(
            DaySum(day, sums[day][0], int(sums[day][1])) if day in sums else DaySum(day, Decimal(0), 0)
            for day in (today - timedelta(days=back) for back in reversed(range(days)))
        )
        ended = sum(day.jobs for day in by_day)
        seconds = sum((values[2] for values in sums.values()), Decimal(0))
        return JobMetrics(
            total_cost=sum((day.cost for day in by_day), Decimal(0)),
            job_count=ended + head.count(provider=provider, statuses=frozenset(ACTIVE_STATUSES)),
            average_seconds=float(seconds / ended) if ended else None,
            by_status=counts_by_status(head, provider),
            by_day=by_day,
        )

    def spent(self, provider: str, days: int) -> Decimal:
        """What a provider's jobs have cost in the last `days` UTC days, today and running jobs included."""
        ended = sum((total.cost for total in self._totals(provider, days)), Decimal(0))
        return ended + self.running_cost(provider, self.events.head())

    def running_cost(self, provider: str, head: LogHead) -> Decimal:
        """What the running jobs have cost so far, by the clock and their prices."""
        number = head.count(provider=provider, statuses=frozenset({JobStatus.RUNNING}))
        if not number:
            return Decimal(0)
        now = self.clock.now()
        costs = (job.cost_at(now) for job in self._running_jobs(provider, number))
        return sum((cost for cost in costs if cost is not None), Decimal(0))

    def _running_jobs(self, provider: str, number: int) -> tuple[Job, ...]:
        known = self._running.get(provider)
        if known is not None and self.clock.monotonic() - known[0] < CACHE_SECONDS and known[1] == number:
            return known[2]
        ids = [job.job_id for job in self.jobs.active(provider) if job.status is JobStatus.RUNNING]
        rows = self.jobs.get_many(ids).values()
        running = tuple(job for job in rows if job.status is JobStatus.RUNNING)
        self._running[provider] = (self.clock.monotonic(), number, running)
        return running

    def _totals(self, provider: str, days: int) -> tuple[DayTotal, ...]:
        now = self.clock.now()
        return self.jobs.day_totals(provider, now - timedelta(days=days - 1), now)


def counts_by_status(head: LogHead, provider: str | None = None) -> dict[JobStatus, int]:
    """How many jobs are stored in each status; statuses without any are 0."""
    return {status: head.count(provider=provider, statuses=frozenset({status})) for status in JobStatus}
