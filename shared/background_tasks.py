"""SimpleTuner's names for the poller, for programs: the schedule itself always runs, these set what it shall do."""

from __future__ import annotations

import asyncio
from functools import cache

from shared.services.polling.decide_polling import DecidePolling, PollingDecision, overall
from shared.wiring import wiring


class BackgroundTaskManager:
    """Reads and sets the stored polling preference, in the order of precedence that all of the service obeys."""

    @property
    def _running(self) -> bool:
        """Whether jobs are being polled, as decided at this moment."""
        return self.decision().is_active

    @property
    def is_running(self) -> bool:
        return self._running

    def decision(self) -> PollingDecision:
        """What is decided for all providers together, and why. Raises StoreUnavailableError."""
        parts = wiring()
        return overall(parts.use(DecidePolling).run(parts.providers).values())

    async def start(self) -> None:
        await asyncio.to_thread(wiring().use(DecidePolling).start)

    async def stop(self) -> None:
        await asyncio.to_thread(wiring().use(DecidePolling).stop)


@cache
def get_task_manager() -> BackgroundTaskManager:
    """The process's one manager."""
    return BackgroundTaskManager()


async def start_background_tasks() -> None:
    """Prefer polling until the stop. `enabled: false` in simpletuner-enterprise.yaml still wins."""
    await get_task_manager().start()


async def stop_background_tasks() -> None:
    """Give back the preference that was there before the start, also when the program that started was killed since.

    Without a start there is nothing to give back, and nothing changes; so a second stop does no harm.
    """
    await get_task_manager().stop()
