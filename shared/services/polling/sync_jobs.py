"""Discover the newest jobs of one provider, or of every one that is configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.domain.errors import ProviderError, ProviderNotConfiguredError
from shared.ports import Clock, Provider
from shared.services.polling.sync_provider import Synced, SyncProvider
from shared.services.providers.provider_named import each_with_its_share

BUDGET_SECONDS = 8.0
"""No call begins later than this, so that a request ends within 25 s although a call may take 15."""


@dataclass(frozen=True, slots=True)
class JobsSynced:
    """`discovered` counts new jobs, `updated` all that were written, new and changed; `message` says it to people."""

    discovered: int
    updated: int
    message: str


@dataclass(frozen=True, kw_only=True)
class SyncJobs:
    sync_provider: SyncProvider
    providers: Mapping[str, Provider]
    clock: Clock

    def run(self, provider: str | None) -> JobsSynced:
        """None: every configured provider, each with its share of the time that is left.

        Raises the first error of a provider that could not be read in full; what was read is kept, and it says so.
        Raises UnknownProviderError, StoreUnavailableError.
        """
        turns = each_with_its_share(self.providers, provider, clock=self.clock, seconds=BUDGET_SECONDS)
        results = [self.sync_provider.run(one, budget_seconds=share) for one, share in turns]
        configured = [result for result in results if not isinstance(result.error, ProviderNotConfiguredError)]
        for result in configured or results:
            if result.error is not None:
                raise _with_what_was_kept(result, result.error) from result.error
        return JobsSynced(
            sum(result.discovered for result in configured),
            sum(result.updated for result in configured),
            _message(configured),
        )


def _with_what_was_kept(result: Synced, error: ProviderError) -> ProviderError:
    if not result.updated:
        return error
    kept = f"{result.discovered} new and {result.updated - result.discovered} changed jobs"
    return error.with_detail(f"{error.detail.removesuffix('.')}; what was read is kept: {kept}.")


def _message(results: Sequence[Synced]) -> str:
    """The sentence that SimpleTuner's page shows: `Discovered 3 new jobs from <label>, 2 from …`."""
    first, *others = [f"{result.discovered} {{}}from {result.label}" for result in results]
    return "Discovered " + ", ".join([first.format("new jobs "), *(other.format("") for other in others)])
