"""When a lease, slot, ticket or hold is over: at its moment, and while that lies where no right clock can put it."""

from __future__ import annotations

from datetime import datetime, timedelta

ALLOWED_SKEW = timedelta(seconds=30)
"""How far the clocks of two functions may differ; what is stamped further ahead is the mistake of one of them."""


def latest_credible(now: datetime, life: timedelta) -> datetime:
    """The last moment that anything of this life can have been stamped with by now."""
    return now + life + ALLOWED_SKEW


def is_running(until: datetime | None, now: datetime, *, life: timedelta) -> bool:
    """Whether what lasts `until` then, and never longer than `life`, lasts still."""
    return until is not None and now < until <= latest_credible(now, life)
