"""What a provider says of itself on its status page, asked at most once a minute by all functions together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.domain import state_keys
from shared.domain.errors import ProviderError
from shared.domain.system_status import SystemStatus
from shared.ports import Clock, Provider, StateStore
from shared.services.providers.provider_named import provider_named

KEPT = timedelta(seconds=60)


@dataclass(frozen=True)
class ReadSystemStatus:
    state: StateStore
    clock: Clock
    providers: Mapping[str, Provider]

    def run(self, name: str) -> dict[str, object]:
        """`operational`, the three lists, `error` and `status_page_url`; never raises a ProviderError.

        A page that cannot be read counts as operational with an `error`, as SimpleTuner's clients expect.
        Raises UnknownProviderError.
        """
        provider = provider_named(self.providers, name)
        key, now = state_keys.system_status(name), self.clock.now()
        item = self.state.get(key, now=now)
        if item is not None:
            return dict(item.value)
        url = provider.profile.status_page_url
        try:
            status = provider.system_status()
        except ProviderError as error:
            answer = _answer(SystemStatus(), error.detail, url)
        else:
            if status is None:
                return _answer(SystemStatus(), f"No status page of {provider.profile.label} is asked here.", url)
            answer = _answer(status, None, url)
        self.state.put(key, answer, now=now, expires_at=now + KEPT)
        return answer


def _answer(status: SystemStatus, error: str | None, url: str | None) -> dict[str, object]:
    return {
        "operational": status.is_operational,
        "ongoing_incidents": list(map(dict, status.ongoing_incidents)),
        "in_progress_maintenances": list(map(dict, status.in_progress_maintenances)),
        "scheduled_maintenances": list(map(dict, status.scheduled_maintenances)),
        "error": error,
        "status_page_url": url,
    }
