"""What is configured for a provider: webhook URL, prices, limits. Stored values win over the yaml's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from urllib.parse import urlsplit, urlunsplit

from shared.domain import state_keys
from shared.domain.pricing import MAX_PRICE_PER_SECOND, Hardware, amount_set, hardware_named
from shared.domain.provider_profile import ProviderProfile
from shared.domain.stored import StateItem
from shared.ports import Clock, StateStore

_READ: ContextVar[dict[str, Mapping[str, object]] | None] = ContextVar("settings_of_this_moment", default=None)

CALLBACK_PATH = "/api/webhooks/{}"


@dataclass(frozen=True)
class ProviderSettings:
    """A provider's config as it is stored at the moment of each call: nothing is remembered, in no process.

    Each method raises StoreUnavailableError.
    """

    state: StateStore
    clock: Clock
    profiles: Mapping[str, ProviderProfile]
    provider_defaults: Mapping[str, Mapping[str, object]]

    def of(self, provider: str) -> Mapping[str, object]:
        """The effective config of a provider: what the yaml says, overlaid with what is stored."""
        return self._effective(provider, self.state.get(state_keys.provider_config(provider), now=self.clock.now()))

    def learn(self, provider: str, stored: StateItem | None) -> None:
        """Let the config that was read with something else be the one of this moment."""
        read = _READ.get()
        if read is not None:
            read[provider] = self._effective(provider, stored)

    def _effective(self, provider: str, stored: StateItem | None) -> Mapping[str, object]:
        config = {**self.provider_defaults.get(provider, {}), **(stored.value if stored else {})}
        url = config.get("webhook_url")
        return {**config, "webhook_url": callback_address(url, provider)} if isinstance(url, str) and url else config

    def of_one_moment(self) -> ProviderSettings:
        """The same for work on many jobs at once, which is decided by one reading of each config."""
        read = _READ.get()
        return _OneMoment(self.state, self.clock, self.profiles, self.provider_defaults, {} if read is None else read)

    def webhook_url(self, provider: str) -> str | None:
        """The whole address that the provider calls, also where only a base is set."""
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
        wanted = hardware_named(profile.hardware, str(config.get("hardware_profile", profile.default_hardware)))
        hardware = known or wanted or profile.hardware[profile.default_hardware]
        return replace(_priced(hardware, config.get("hardware_info")), is_assumed=known is None)

    def hardware_choices(self, provider: str) -> tuple[Hardware, ...]:
        """Every hardware of a provider, with its configured price and name."""
        overrides = self.of(provider).get("hardware_info")
        return tuple(_priced(hardware, overrides) for hardware in self.profiles[provider].hardware.values())


@dataclass(frozen=True)
class _OneMoment(ProviderSettings):
    _read: dict[str, Mapping[str, object]]

    def of_one_moment(self) -> ProviderSettings:
        return self

    def of(self, provider: str) -> Mapping[str, object]:
        if provider not in self._read:
            self._read[provider] = super().of(provider)
        return self._read[provider]


@contextmanager
def one_moment() -> Iterator[None]:
    """Let all that a short piece of work asks `of_one_moment` be one reading."""
    token = _READ.set({})
    try:
        yield
    finally:
        _READ.reset(token)


def callback_address(url: str, provider: str) -> str:
    """The address that a provider calls: a base (no path, or `/`) gets our path appended, `//` in a path is one `/`."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    path = re.sub("/{2,}", "/", parts.path)
    return urlunsplit(parts._replace(path=CALLBACK_PATH.format(provider) if path in ("", "/") else path))


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
