"""What is configured for a provider: webhook URL, prices, limits. Stored values win over the yaml's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from shared.domain import state_keys
from shared.domain.pricing import MAX_PRICE_PER_SECOND, Hardware, amount_set
from shared.domain.provider_profile import ProviderProfile
from shared.ports import Clock, StateStore

CACHE_SECONDS = 10.0


@dataclass
class ProviderSettings:
    """Reads a provider's stored config, at most once per CACHE_SECONDS and process."""

    state: StateStore
    clock: Clock
    profiles: Mapping[str, ProviderProfile]
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
        return frozenset(str(model) for model in models) if isinstance(models, list) and models else None

    def hardware(self, provider: str, told: str | None = None) -> Hardware:
        """The hardware that an observation told, else the configured one, marked as assumed."""
        config, profile = self.of(provider), self.profiles[provider]
        known = profile.hardware.get(told or "")
        wanted = str(config.get("hardware_profile", profile.default_hardware))
        hardware = known or profile.hardware.get(wanted, profile.hardware[profile.default_hardware])
        return replace(_priced(hardware, config.get("hardware_info")), is_assumed=known is None)

    def hardware_choices(self, provider: str) -> tuple[Hardware, ...]:
        """Every hardware of a provider, with its configured price and name."""
        overrides = self.of(provider).get("hardware_info")
        return tuple(_priced(hardware, overrides) for hardware in self.profiles[provider].hardware.values())


def _priced(hardware: Hardware, overrides: object) -> Hardware:
    """With the price and name that the config's `hardware_info{id:{name, cost_per_second}}` gives it.

    A stored price that no store of jobs could hold, an earlier version's, is passed over.
    """
    given = overrides.get(hardware.id) if isinstance(overrides, Mapping) else None
    if not isinstance(given, Mapping):
        return hardware
    price = amount_set(given.get("cost_per_second"), MAX_PRICE_PER_SECOND)
    name = given.get("name")
    label = name if isinstance(name, str) and name else hardware.label
    price_per_second = hardware.price_per_second if price is None else price
    return replace(hardware, price_per_second=price_per_second, label=label, hardware_type=label)
