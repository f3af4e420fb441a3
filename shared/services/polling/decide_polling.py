"""Whether a provider is polled, how often, and why: one answer for the poller, the status page and the log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.domain import state_keys
from shared.ports import Clock, StateStore
from shared.services.providers.provider_settings import ProviderSettings

DEFAULT_INTERVAL = 30.0


@dataclass(frozen=True, slots=True)
class PollingDecision:
    """`preference` is the stored one; `interval_seconds` the configured one; `reason` a sentence for people."""

    is_active: bool
    reason: str
    preference: bool | None
    interval_seconds: float


@dataclass(frozen=True, kw_only=True)
class DecidePolling:
    """The order of docs/contract.md: an explicit `enabled` in the yaml, the stored preference, else by the webhook URL.

    `polling_enabled` and `polling_interval` are the yaml's, `simpletuner_job_poll_interval` is the environment's.
    """

    state: StateStore
    clock: Clock
    provider_settings: ProviderSettings
    polling_enabled: bool | None
    polling_interval: float | None
    simpletuner_job_poll_interval: float | None

    def decide(self, providers: Iterable[str]) -> PollingDecision:
        """For these providers together: without a word of anybody, on as soon as one of them has no webhook URL."""
        preference = self.preference()
        if self.polling_enabled is not None:
            word = "on" if self.polling_enabled else "off"
            reason = f"simpletuner-enterprise.yaml switches it {word} (background.job_status_polling.enabled)"
            return self._decision(self.polling_enabled, reason, preference)
        if preference is not None:
            reason = f"the stored setting switches it {'on' if preference else 'off'}"
            return self._decision(preference, reason, preference)
        uncovered = [name for name in providers if self.provider_settings.webhook_url(name) is None]
        if uncovered:
            return self._decision(True, f"no webhook URL is set for {', '.join(uncovered)}", None)
        return self._decision(False, "webhooks are configured, so the provider tells us itself", None)

    @property
    def interval_seconds(self) -> float:
        """The configured interval: the environment's, else the yaml's, else DEFAULT_INTERVAL."""
        return self.simpletuner_job_poll_interval or self.polling_interval or DEFAULT_INTERVAL

    def preference(self) -> bool | None:
        item = self.state.get(state_keys.POLLING_PREFERENCE, now=self.clock.now())
        enabled = item.value.get("enabled") if item else None
        return enabled if isinstance(enabled, bool) else None

    def prefer(self, enabled: bool | None) -> None:
        """Store the preference; None leaves the decision to the configuration again."""
        self.state.put(state_keys.POLLING_PREFERENCE, {"enabled": enabled}, now=self.clock.now())

    def _decision(self, is_active: bool, reason: str, preference: bool | None) -> PollingDecision:
        return PollingDecision(is_active, reason, preference, self.interval_seconds)
