"""What a job adds to the totals of a day, written in the transaction of the change that ended it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from shared.domain.job import Job


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


def day_differences(changes: Iterable[tuple[Job | None, Job | None]]) -> tuple[DayTotal, ...]:
    """What a set of (before, after) adds to or takes from each day, empty differences left out.

    A deletion (after is None) takes nothing away: what was spent stays spent.
    """
    sums: dict[tuple[str, date], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
    for before, after in changes:
        if after is None:
            continue
        for job, sign in ((before, -1), (after, 1)):
            share = day_share(job) if job else None
            if share:
                key = (share.provider, share.day)
                added = (share.cost, Decimal(share.jobs), share.seconds)
                sums[key] = [total + sign * part for total, part in zip(sums[key], added, strict=True)]
    totals = (
        DayTotal(provider, day, cost, int(jobs), seconds)
        for (provider, day), (cost, jobs, seconds) in sorted(sums.items())
    )
    return tuple(total for total in totals if not total.is_empty)
