"""Whether a provider is polled, how often, and why: one answer for the schedule, the status page and the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from shared.domain import state_keys
from shared.domain.job import Job
from shared.domain.stored import StateItem
from shared.ports import Clock, StateStore
from shared.services.providers.provider_settings import ProviderSettings
from shared.services.update_state import update_state

BEFORE_START = "before_start"
DEFAULT_INTERVAL = 30.0
UNCOVERED_INTERVAL = 60.0
"""Seconds at the most between slow rounds while an active job does not report to our webhook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollingDecision:
    """What is configured for one provider.

    `preference` is the stored one; `interval_seconds` the configured one, `reconcile_seconds` that of the slow rounds
    by which lost webhooks are found (I9; 0: never); `reason` a sentence for people.
    """

    is_active: bool
    reason: str
    preference: bool | None
    interval_seconds: float
    reconcile_seconds: float

    def round_interval(self, active: Iterable[Job]) -> float | None:
        """Seconds between rounds over its active jobs; None when it knows none of them, or nothing looks at them."""
        known = [job for job in active if job.external_id is not None]
        if not known:
            return None
        if self.is_active:
            return self.interval_seconds
        if self.reconcile_seconds <= 0:
            return None
        if all(job.webhook_covered or job.is_lost for job in known):
            return self.reconcile_seconds
        return min(self.reconcile_seconds, UNCOVERED_INTERVAL)


@dataclass(frozen=True, kw_only=True)
class DecidePolling:
    """The order of docs/contract.md: an explicit `enabled` in the yaml, the stored preference, else by the webhook URL.

    `polling_enabled`, `polling_interval` and `reconcile_interval` are the yaml's, `simpletuner_job_poll_interval` is
    the environment's.
    """

    state: StateStore
    clock: Clock
    provider_settings: ProviderSettings
    polling_enabled: bool | None
    polling_interval: float | None
    reconcile_interval: float
    simpletuner_job_poll_interval: float | None

    def run(self, providers: Iterable[str]) -> dict[str, PollingDecision]:
        """The decision for each provider by itself, by what is stored at this moment."""
        preference = self.preference()
        decisions = {}
        for name in providers:
            is_active, reason = self._why(name, preference)
            decisions[name] = PollingDecision(
                is_active=is_active,
                reason=reason,
                preference=preference,
                interval_seconds=configured_interval(self.simpletuner_job_poll_interval, self.polling_interval),
                reconcile_seconds=self.reconcile_interval,
            )
        return decisions

    def _why(self, provider: str, preference: bool | None) -> tuple[bool, str]:
        if self.polling_enabled is not None:
            word = "on" if self.polling_enabled else "off"
            reason = f"simpletuner-enterprise.yaml switches it {word} (background.job_status_polling.enabled)"
            return self.polling_enabled, reason
        if preference is not None:
            return preference, f"the stored setting switches it {'on' if preference else 'off'}"
        if self.provider_settings.webhook_url(provider) is None:
            return True, f"no webhook URL is set for {provider}"
        return False, "webhooks are configured, so the provider tells us itself"

    def preference(self) -> bool | None:
        item = self.state.get(state_keys.POLLING_PREFERENCE, now=self.clock.now())
        enabled = item.value.get("enabled") if item else None
        return enabled if isinstance(enabled, bool) else None

    def prefer(self, enabled: bool | None) -> None:
        """Store the preference; None leaves the decision to the configuration again. A start's end is forgotten."""
        self.state.put(state_keys.POLLING_PREFERENCE, {"enabled": enabled}, now=self.clock.now())

    def start(self) -> None:
        """Prefer polling, and keep with it what was preferred before; of several starts the first one counts."""

        def started(item: StateItem | None) -> Mapping[str, object] | None:
            value = item.value if item else {}
            return None if BEFORE_START in value else {"enabled": True, BEFORE_START: value.get("enabled")}

        update_state(self.state, self.clock, state_keys.POLLING_PREFERENCE, started)

    def stop(self) -> None:
        """Prefer what was preferred before the start; nothing changes when there was none, or a wish came since."""

        def stopped(item: StateItem | None) -> Mapping[str, object] | None:
            is_started = item is not None and BEFORE_START in item.value
            return {"enabled": item.value[BEFORE_START]} if item is not None and is_started else None

        update_state(self.state, self.clock, state_keys.POLLING_PREFERENCE, stopped)


def configured_interval(of_environment: float | None, of_yaml: float | None) -> float:
    """Seconds between the rounds of a provider that is polled."""
    return of_environment or of_yaml or DEFAULT_INTERVAL


def overall(decisions: Iterable[PollingDecision]) -> PollingDecision:
    """The decisions for all providers in one, for people: on as soon as one provider is polled, with its reason.

    Raises ValueError without any.
    """
    given = list(decisions)
    telling = [decision for decision in given if decision.is_active] or given
    if not telling:
        raise ValueError("There is no provider.")
    return replace(telling[0], reason="; ".join(dict.fromkeys(decision.reason for decision in telling)))
