"""The log is read for seven days; what is older goes, the way to it first (I15)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from shared.ports import Clock, EventLog

KEPT_FOR = timedelta(days=7)
BATCH = 100
BUDGET = 20.0


@dataclass(frozen=True)
class TrimEvents:
    events: EventLog
    clock: Clock

    def run(self) -> int:
        """Trim commits older than KEPT_FOR, for at most BUDGET seconds; returns how many. The next run goes on."""
        deadline = self.clock.monotonic() + BUDGET
        before = self.clock.now() - KEPT_FOR
        trimmed = 0
        while self.clock.monotonic() < deadline:
            count = self.events.trim(before=before, limit=BATCH)
            trimmed += count
            if count < BATCH:
                break
        return trimmed
