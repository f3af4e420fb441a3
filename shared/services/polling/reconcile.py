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
    """`reconcile_interval` 0: never. While an active job does not report to our webhook: every minute."""

    jobs: JobStore
    events: EventLog
    decide_polling: DecidePolling
    poll_provider: PollProvider
    reconcile_interval: float

    def run(self, providers: Sequence[Provider]) -> dict[str, TickOutcome]:
        """Run a tick for each provider that is due; one provider's failure stops no other (`PollProvider`)."""
        if self.reconcile_interval <= 0:
            return {}
        decision = self.decide_polling.decide([provider.name for provider in providers])
        if decision.is_active and decision.interval_seconds <= self.reconcile_interval:
            return {}
        head = self.events.head()
        outcomes: dict[str, TickOutcome] = {}
        for provider in providers:
            if head.count(provider=provider.name, statuses=frozenset(ACTIVE_STATUSES)) == 0:
                continue
            interval = self.interval_of(provider.name)
            if interval is not None:
                outcomes[provider.name] = self.poll_provider.run(provider, interval=interval, early=JITTER)
        return outcomes

    def interval_of(self, provider: str) -> float | None:
        """Seconds between two rounds, None when the provider knows none of the active jobs."""
        known = [job for job in self.jobs.active(provider) if job.external_id]
        if not known:
            return None
        is_covered = all(job.webhook_covered or job.is_lost for job in known)
        return self.reconcile_interval if is_covered else min(self.reconcile_interval, UNCOVERED_INTERVAL)
