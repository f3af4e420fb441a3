"""Whether a provider is polled, how often, and why: one answer for the poller, the status page and the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from shared.ports import Clock, StateStore

PREFERENCE_STATE = "preference#polling"
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

    `yaml_enabled` and `interval_seconds` come from the configuration, `webhook_url` tells a provider's, stored or not.
    """

    state: StateStore
    clock: Clock
    webhook_url: Callable[[str], str | None]
    yaml_enabled: bool | None = None
    interval_seconds: float = DEFAULT_INTERVAL

    def decide(self, providers: Iterable[str]) -> PollingDecision:
        """For these providers together: without a word of anybody, on as soon as one of them has no webhook URL."""
        preference = self.preference()
        if self.yaml_enabled is not None:
            word = "on" if self.yaml_enabled else "off"
            reason = f"simpletuner-enterprise.yaml switches it {word} (background.job_status_polling.enabled)"
            return self._decision(self.yaml_enabled, reason, preference)
        if preference is not None:
            reason = f"the stored setting switches it {'on' if preference else 'off'}"
            return self._decision(preference, reason, preference)
        uncovered = [name for name in providers if self.webhook_url(name) is None]
        if uncovered:
            return self._decision(True, f"no webhook URL is set for {', '.join(uncovered)}", None)
        return self._decision(False, "webhooks are configured, so the provider tells us itself", None)

    def preference(self) -> bool | None:
        item = self.state.get(PREFERENCE_STATE, now=self.clock.now())
        enabled = item.value.get("enabled") if item else None
        return enabled if isinstance(enabled, bool) else None

    def prefer(self, enabled: bool | None) -> None:
        """Store the preference; None leaves the decision to the configuration again."""
        self.state.put(PREFERENCE_STATE, {"enabled": enabled}, now=self.clock.now())

    def _decision(self, is_active: bool, reason: str, preference: bool | None) -> PollingDecision:
        return PollingDecision(is_active, reason, preference, self.interval_seconds)
