"""Look at the active jobs within the time of a request that lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.ports import Clock, Provider
from shared.services.polling.refresh_active import RefreshActive, Refreshed
from shared.services.providers.provider_named import provider_named

BUDGET_SECONDS = 9.0
"""No look begins later than this, so that a request ends within 25 s although a look may take 15."""


@dataclass(frozen=True, kw_only=True)
class SyncActive:
    refresh_active: RefreshActive
    providers: Mapping[str, Provider]
    clock: Clock

    def run(self, provider: str | None) -> dict[str, Refreshed]:
        """What came of it, by provider; None: all of them, each with its share of the time that is left.

        Raises UnknownProviderError, StoreUnavailableError.
        """
        names = [provider] if provider else list(self.providers)
        deadline = self.clock.monotonic() + BUDGET_SECONDS
        refreshed = {}
        for place, name in enumerate(names):
            share = max(0.0, deadline - self.clock.monotonic()) / (len(names) - place)
            refreshed[name] = self.refresh_active.run(provider_named(self.providers, name), budget_seconds=share)
        return refreshed
