"""Look at the active jobs within the time of a request that lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.ports import Clock, Provider
from shared.services.polling.refresh_active import RefreshActive, Refreshed
from shared.services.providers.provider_named import each_with_its_share

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
        turns = each_with_its_share(self.providers, provider, clock=self.clock, seconds=BUDGET_SECONDS)
        return {one.profile.name: self.refresh_active.run(one, budget_seconds=share) for one, share in turns}
