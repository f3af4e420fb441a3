"""What a job adds to the totals of a day, written in the transaction of the change that ended it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from shared.domain.job import Job, JobStatus


@dataclass(frozen=True, slots=True)
class DayTotal:
    """Cost (US dollars), number and duration (seconds) of the jobs of one provider that ended on one UTC day."""

    provider: str
    day: date
    cost: Decimal = Decimal(0)
    jobs: int = 0
    seconds: Decimal = Decimal(0)

    @property
    def is_empty(self) -> bool:
        return not (self.cost or self.jobs or self.seconds)


def day_share(job: Job) -> DayTotal | None:
    """What an ended job adds to its day; None while it is active."""
    if not job.status.is_terminal:
        return None
    ended_at = job.completed_at or (job.transitions[-1].at if job.transitions else job.created_at)
    seconds = Decimal(str(job.duration_seconds(ended_at) or 0))
    return DayTotal(job.provider, ended_at.date(), job.cost_usd or Decimal(0), 1, seconds)


def left_share(job: Job) -> DayTotal | None:
    """What a running job leaves to the day on which it was given up, when it is deleted: its cost up to then."""
    given_up_at = job.absence.lost_at or job.cancel_requested_at
    if job.status is not JobStatus.RUNNING or given_up_at is None:
        return None
    cost = job.cost_at(given_up_at)
    return DayTotal(job.provider, given_up_at.date(), cost) if cost else None


def day_differences(changes: Iterable[tuple[Job | None, Job | None]]) -> tuple[DayTotal, ...]:
    """What a set of (before, after) adds to or takes from each day, empty differences left out.

    A deletion (after is None) takes nothing away: what was spent stays spent, also by a job that still ran.
    """
    sums: dict[tuple[str, date], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
    for before, after in changes:
        for share, sign in _shares(before, after):
            key = (share.provider, share.day)
            added = (share.cost, Decimal(share.jobs), share.seconds)
            sums[key] = [total + sign * part for total, part in zip(sums[key], added, strict=True)]
    totals = (
        DayTotal(provider, day, cost, int(jobs), seconds)
        for (provider, day), (cost, jobs, seconds) in sorted(sums.items())
    )
    return tuple(total for total in totals if not total.is_empty)


def _shares(before: Job | None, after: Job | None) -> Iterator[tuple[DayTotal, int]]:
    """What one change takes from a day (-1) and adds to one (1)."""
    if after is None:
        left = left_share(before) if before else None
        if left:
            yield left, 1
        return
    for job, sign in ((before, -1), (after, 1)):
        share = day_share(job) if job else None
        if share:
            yield share, sign
