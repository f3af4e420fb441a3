"""Change what is configured for a provider: every key is known, every value checked, keys of a bucket kept secret."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from shared.domain import state_keys
from shared.domain.errors import InvalidRequestError
from shared.domain.pricing import hardware_named
from shared.domain.stored import StateItem
from shared.ports import Clock, SecretStore, StateStore
from shared.services.providers.config_changes import read_changes
from shared.services.providers.provider_settings import ProviderSettings
from shared.services.update_state import update_state

S3_SECRET_KEYS = ("access_key_id", "secret_access_key")


@dataclass(frozen=True)
class ConfigureProvider:
    provider_settings: ProviderSettings
    state: StateStore
    secrets: SecretStore
    clock: Clock

    def effective(self, provider: str) -> dict[str, object]:
        """What is configured, with the hardware known by default; never a key of the bucket."""
        settings = self.provider_settings.of_one_moment()
        config = dict(settings.of(provider))
        known = {
            hardware.id: {"name": hardware.label, "cost_per_second": float(hardware.price_per_second)}
            for hardware in settings.hardware_choices(provider)
        }
        given = config.get("hardware_info")
        config["hardware_info"] = {**(given if isinstance(given, Mapping) else {}), **known}
        delivery = config.get("s3_delivery")
        if isinstance(delivery, Mapping):
            public = {key: value for key, value in delivery.items() if key not in S3_SECRET_KEYS}
            has_keys = self.secrets.get(_s3_secret(provider), fresh=True) is not None
            config["s3_delivery"] = public | {"has_keys": has_keys}
        return config

    def change(self, provider: str, changes: Mapping[str, object]) -> dict[str, object]:
        """Set what is given, clear what is null or empty, leave the rest; the effective config afterwards.

        Raises InvalidRequestError with one sentence; nothing is changed then.
        """
        given = read_changes(changes)
        values = given.values()
        if given.hardware_profile is not None:
            choices = self.provider_settings.profiles[provider].hardware
            hardware = hardware_named(choices, given.hardware_profile)
            if hardware is None:
                raise InvalidRequestError(f"hardware_profile is one of: {', '.join(choices)}.")
            values["hardware_profile"] = hardware.id
        delivery = values.get("s3_delivery", {})
        keys = {key: delivery.pop(key) for key in S3_SECRET_KEYS if key in delivery}
        self._store(provider, cleared=given.model_fields_set, values=values)
        if keys:
            self.secrets.put(_s3_secret(provider), json.dumps(keys))
        elif "s3_delivery" in given.model_fields_set and not delivery:
            self.secrets.delete(_s3_secret(provider))
        return self.effective(provider)

    def _store(self, provider: str, *, cleared: Collection[str], values: Mapping[str, object]) -> None:
        def changed(item: StateItem | None) -> dict[str, object]:
            kept = {key: value for key, value in (item.value if item else {}).items() if key not in cleared}
            return kept | dict(values)

        update_state(self.state, self.clock, state_keys.provider_config(provider), changed)


def _s3_secret(provider: str) -> str:
    return f"{provider}_s3_delivery"
