"""What is configured for a provider: webhook URL, prices, limits. Stored values win over the yaml's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation

from shared.domain import state_keys
from shared.domain.pricing import DEFAULT_PROFILE, PROFILES, Hardware, profile_of_model
from shared.ports import Clock, StateStore

CACHE_SECONDS = 10.0


@dataclass
class ProviderSettings:
    """Reads a provider's stored config, at most once per CACHE_SECONDS and process."""

    state: StateStore
    clock: Clock
    provider_defaults: Mapping[str, Mapping[str, object]]
    _cache: dict[str, tuple[float, Mapping[str, object]]] = field(default_factory=dict)

    def of(self, provider: str) -> Mapping[str, object]:
        """The effective config of a provider: what the yaml says, overlaid with what is stored."""
        cached = self._cache.get(provider)
        if cached is not None and self.clock.monotonic() - cached[0] < CACHE_SECONDS:
            return cached[1]
        item = self.state.get(state_keys.provider_config(provider), now=self.clock.now())
        values = {**self.provider_defaults.get(provider, {}), **(item.value if item else {})}
        self._cache[provider] = (self.clock.monotonic(), values)
        return values

    def forget(self, provider: str) -> None:
        """Read again at the next call, after a change."""
        self._cache.pop(provider, None)

    def webhook_url(self, provider: str) -> str | None:
        url = self.of(provider).get("webhook_url")
        return url if isinstance(url, str) and url else None

    def synced_models(self, provider: str) -> frozenset[str] | None:
        """The models whose jobs are imported; None: all."""
        models = self.of(provider).get("sync_models")
        if isinstance(models, str):
            models = [part.strip() for part in models.split(",") if part.strip()]
        return frozenset(str(model) for model in models) if isinstance(models, list) and models else None

    def hardware(self, provider: str, model: str | None) -> Hardware:
        """The profile that a model's name tells, else the configured default, marked as assumed."""
        config = self.of(provider)
        told = profile_of_model(model)
        wanted = config.get("hardware_profile")
        profile = PROFILES[told] if told else PROFILES.get(str(wanted), PROFILES[DEFAULT_PROFILE])
        return replace(_priced(profile, config.get("hardware_info")), is_assumed=told is None)

    def profiles(self, provider: str) -> tuple[Hardware, ...]:
        """Every hardware that can be chosen, with its configured price and name."""
        overrides = self.of(provider).get("hardware_info")
        return tuple(_priced(profile, overrides) for profile in PROFILES.values())


def _priced(profile: Hardware, overrides: object) -> Hardware:
    """A profile with the price and name that the config's `hardware_info{id:{name, cost_per_second}}` gives it."""
    given = overrides.get(profile.id) if isinstance(overrides, Mapping) else None
    if not isinstance(given, Mapping):
        return profile
    try:
        price = Decimal(str(given.get("cost_per_second", profile.price_per_second)))
    except InvalidOperation:
        return profile
    name = given.get("name")
    label = name if isinstance(name, str) and name else profile.label
    return replace(profile, price_per_second=price, label=label, hardware_type=label)
