"""The slow look at everything active while webhooks carry the news: lost ones are found by it (I9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.domain.job import ACTIVE_STATUSES
from shared.ports import EventLog, JobStore, Provider
from shared.services.polling.decide_polling import DecidePolling
from shared.services.polling.poll_provider import PollProvider, TickOutcome

UNCOVERED_INTERVAL = 60.0
JITTER = 5.0
"""Seconds that the schedule may be early."""


@dataclass(frozen=True, kw_only=True)
class Reconcile:
    """`interval_seconds` 0: never. While an active job does not report to our webhook: every minute."""

    jobs: JobStore
    events: EventLog
    polling: DecidePolling
    poller: PollProvider
    interval_seconds: float

    def run(self, providers: Sequence[Provider]) -> dict[str, TickOutcome]:
        """Run a tick for each provider that is due; one provider's failure stops no other (`PollProvider`)."""
        if self.interval_seconds <= 0:
            return {}
        decision = self.polling.decide([provider.name for provider in providers])
        if decision.is_active and decision.interval_seconds <= self.interval_seconds:
            return {}
        head = self.events.head()
        outcomes: dict[str, TickOutcome] = {}
        for provider in providers:
            if head.count(provider=provider.name, statuses=frozenset(ACTIVE_STATUSES)) == 0:
                continue
            interval = self.interval_of(provider.name)
            if interval is not None:
                outcomes[provider.name] = self.poller.poll(provider, interval=interval, early=JITTER)
        return outcomes

    def interval_of(self, provider: str) -> float | None:
        """Seconds between two rounds, None when the provider knows none of the active jobs."""
        known = [job for job in self.jobs.active(provider) if job.external_id]
        if not known:
            return None
        is_covered = all(job.webhook_covered or job.is_lost for job in known)
        return self.interval_seconds if is_covered else min(self.interval_seconds, UNCOVERED_INTERVAL)
