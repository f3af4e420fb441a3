"""Full sync: discover the provider's newest jobs and refresh the known ones among them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.domain.errors import (
    ProviderAnswerInvalidError,
    ProviderError,
    ProviderUnavailableError,
    StoreUnavailableError,
)
from shared.domain.metric import Metric
from shared.domain.observation import Observation
from shared.ports import Clock, Provider, Telemetry
from shared.services.providers.provider_settings import ProviderSettings
from shared.services.recording.record_observations import RecordObservations

SYNC_JOBS = 100
MAX_PAGES = 10


@dataclass(frozen=True, slots=True)
class Synced:
    """`discovered` counts new jobs, `updated` all that were written; `error` tells why the rest was not read."""

    label: str
    discovered: int
    updated: int
    error: ProviderError | None = None


@dataclass(frozen=True, kw_only=True)
class SyncProvider:
    record_observations: RecordObservations
    clock: Clock
    telemetry: Telemetry
    provider_settings: ProviderSettings

    def run(self, provider: Provider, *, budget_seconds: float) -> Synced:
        """The newest SYNC_JOBS of all its lists together, newest first; no call begins after `budget_seconds`.

        A list that fails halfway is recorded as far as it was read, and `error` says so: never a false "0 new" (I30).
        Raises StoreUnavailableError when what was read was only queued, or not even that.
        """
        found: dict[str, Observation] = {}
        error: ProviderError | None = None
        deadline = self.clock.monotonic() + budget_seconds
        for kind in provider.profile.kinds:
            try:
                self._read(provider, kind, found, deadline)
            except ProviderError as failure:
                error = error or failure
                self.telemetry.count(Metric.PROVIDER_ERROR)
        models = self.provider_settings.synced_models(provider.profile.name)
        newest = sorted(found.values(), key=lambda seen: seen.created_at or seen.observed_at, reverse=True)
        wanted = [seen for seen in newest if models is None or seen.model in models]
        recorded = self.record_observations.run(wanted[:SYNC_JOBS])
        if recorded.undecided:
            raise StoreUnavailableError(
                "The job store is busy: what the provider told is kept and will be recorded, but how much of it is new "
                "is not known yet; look again in a minute."
            )
        return Synced(provider.profile.label, len(recorded.created), len(recorded.changed), error)

    def _read(self, provider: Provider, kind: str, found: dict[str, Observation], deadline: float) -> None:
        page: str | None = None
        pages: set[str] = set()
        taken = 0
        label = provider.profile.label
        while taken < SYNC_JOBS and len(pages) < MAX_PAGES:
            if self.clock.monotonic() > deadline:
                raise ProviderUnavailableError(f"{label} is too slow to be read in full now; try again later.")
            answer = provider.list_page(kind, page=page)
            for seen in answer.observations:
                known = found.get(seen.external_id)
                # The same id may stand in several lists; the last of them is its own.
                found[seen.external_id] = seen if known is None else replace(known, kind=kind)
            taken += len(answer.observations)
            page = answer.next_page
            if page is None:
                return
            if page in pages:
                raise ProviderAnswerInvalidError(f"{label}'s list goes in a circle; try again later.")
            pages.add(page)
