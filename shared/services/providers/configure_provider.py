"""Change what is configured for a provider: every key is known, every value checked, keys of a bucket kept secret."""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.domain import state_keys
from shared.domain.cost_limit import ACTIONS, PERIOD_DAYS
from shared.domain.errors import InvalidRequestError
from shared.domain.job import MAX_NAME_LENGTH, MAX_URL_LENGTH
from shared.domain.provider_profile import ProviderProfile
from shared.domain.stored import StateItem
from shared.ports import Clock, SecretStore, StateStore
from shared.services.providers.provider_settings import ProviderSettings
from shared.services.update_state import update_state

MAX_AMOUNT = 1_000_000
MAX_PRICE_PER_SECOND = 10
MAX_ENTRIES = 100
EMPTY: Mapping[str, object] = {"webhook_allowed_ips": [], "sync_models": [], "hardware_info": {}, "s3_delivery": {}}
"""What clears a setting beside null and ""."""

S3_SECRET_KEYS = ("access_key_id", "secret_access_key")
_PROFILE_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)
_VERSION = re.compile(r"(?:[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}:)?[0-9a-f]{64}", re.ASCII)
_MODEL = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}", re.ASCII)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_REGION = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)


@dataclass(frozen=True)
class ConfigureProvider:
    provider_settings: ProviderSettings
    state: StateStore
    secrets: SecretStore
    clock: Clock

    def effective(self, provider: str) -> dict[str, object]:
        """What is configured, with the hardware known by default; never a key of the bucket."""
        config = dict(self.provider_settings.of(provider))
        known = {
            hardware.id: {"name": hardware.label, "cost_per_second": float(hardware.price_per_second)}
            for hardware in self.provider_settings.hardware_choices(provider)
        }
        given = config.get("hardware_info")
        config["hardware_info"] = {**(given if isinstance(given, Mapping) else {}), **known}
        delivery = config.get("s3_delivery")
        if isinstance(delivery, Mapping):
            public = {key: value for key, value in delivery.items() if key not in S3_SECRET_KEYS}
            config["s3_delivery"] = public | {"has_keys": self.secrets.get(_s3_secret(provider)) is not None}
        return config

    def change(self, provider: str, changes: Mapping[str, object]) -> dict[str, object]:
        """Set what is given, clear what is null or empty (EMPTY), leave the rest; the effective config afterwards.

        Raises InvalidRequestError with one sentence; nothing is changed then.
        """
        checked: dict[str, object | None] = {}
        checks = checks_of(self.provider_settings.profiles[provider])
        for key, value in changes.items():
            check = checks.get(key)
            if check is None:
                name = f" {key}" if re.fullmatch(r"\w{1,40}", key, re.ASCII) else ""
                raise InvalidRequestError(f"There is no setting{name}; known are: {', '.join(sorted(checks))}.")
            clears = value is None or value == "" or (key in EMPTY and value == EMPTY[key])
            checked[key] = None if clears else check(value)
        keys = self._take_s3_keys(checked)
        self._store(provider, checked)
        if "s3_delivery" in checked:
            if checked["s3_delivery"] is None:
                self.secrets.delete(_s3_secret(provider))
            elif keys:
                self.secrets.put(_s3_secret(provider), json.dumps(keys))
        self.provider_settings.forget(provider)
        return self.effective(provider)

    def _store(self, provider: str, checked: Mapping[str, object | None]) -> None:
        def changed(item: StateItem | None) -> dict[str, object]:
            values = {**(item.value if item else {}), **checked}
            return {key: value for key, value in values.items() if value is not None}

        update_state(self.state, self.clock, state_keys.provider_config(provider), changed)

    @staticmethod
    def _take_s3_keys(checked: dict[str, object | None]) -> dict[str, object]:
        """Take the bucket's two keys out of what is stored in the open."""
        delivery = checked.get("s3_delivery")
        if not isinstance(delivery, dict):
            return {}
        keys = {key: delivery.pop(key) for key in S3_SECRET_KEYS if key in delivery}
        if keys and len(keys) < len(S3_SECRET_KEYS):
            raise InvalidRequestError("s3_delivery needs both access_key_id and secret_access_key, or neither.")
        return keys


def _s3_secret(provider: str) -> str:
    return f"{provider}_s3_delivery"


def _flag(what: str) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        words = {"true": True, "false": False}
        found = value if isinstance(value, bool) else words.get(value.lower()) if isinstance(value, str) else None
        if found is None:
            raise InvalidRequestError(f"{what} is either true or false.")
        return found

    return check


def _number(what: str, highest: int) -> Callable[[object], float]:
    def check(value: object) -> float:
        problem = InvalidRequestError(f"{what} is a number from 0 to {highest:,}.")
        if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)[:40]) > 30:
            raise problem
        try:
            number = float(value)
        except (ValueError, OverflowError):
            raise problem from None
        if not math.isfinite(number) or not 0 <= number <= highest:
            raise problem
        return number

    return check


def _text(what: str, longest: int) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or not value.isprintable() or len(value.encode("utf-8", "replace")) > longest:
            raise InvalidRequestError(f"{what} is a text of at most {longest} bytes without control characters.")
        return value

    return check


def _pattern(what: str, pattern: re.Pattern[str], form: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise InvalidRequestError(f"{what} must look like {form}.")
        return value

    return check


def _one_of(what: str, words: tuple[str, ...]) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value == "require_approval":
            raise InvalidRequestError(f"There is no approval step here; {what} is one of: {', '.join(words)}.")
        if not isinstance(value, str) or value not in words:
            raise InvalidRequestError(f"{what} is one of: {', '.join(words)}.")
        return value

    return check


def _web_address(what: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        problem = InvalidRequestError(
            f"{what} must be a whole address that begins with https:// (http:// only on this machine), "
            f"without user name and of at most {MAX_URL_LENGTH} characters."
        )
        if not isinstance(value, str) or len(value) > MAX_URL_LENGTH or not value.isascii() or not value.isprintable():
            raise problem
        try:
            parts = urlsplit(value)
            is_local = parts.hostname in ("127.0.0.1", "localhost", "::1")
            is_sound = bool(parts.hostname) and parts.port != 0
        except ValueError:
            raise problem from None
        allowed = ("https", "http") if is_local else ("https",)
        if (
            not is_sound
            or parts.scheme not in allowed
            or "@" in parts.netloc
            or parts.fragment
            or re.search(r"[\s\\<>\"]", value)
        ):
            raise problem
        return value

    return check


def _list_of(what: str, check_one: Callable[[object], str]) -> Callable[[object], list[str]]:
    def check(value: object) -> list[str]:
        entries: object = value.split(",") if isinstance(value, str) else value
        if not isinstance(entries, list) or len(entries) > MAX_ENTRIES:
            raise InvalidRequestError(f"{what} is a list of at most {MAX_ENTRIES} entries, or one text with commas.")
        return [check_one(entry.strip() if isinstance(entry, str) else entry) for entry in entries]

    return check


def _network(value: object) -> str:
    try:
        return str(ipaddress.ip_network(str(value)[:64], strict=False))
    except ValueError:
        raise InvalidRequestError("webhook_allowed_ips holds addresses or networks like 192.0.2.0/24 only.") from None


def _hardware_info(value: object) -> dict[str, object]:
    if not isinstance(value, Mapping) or len(value) > MAX_ENTRIES:
        raise InvalidRequestError("hardware_info is an object of {id: {name, cost_per_second}}.")
    checked: dict[str, object] = {}
    for profile, given in value.items():
        if not _PROFILE_ID.fullmatch(profile) or not isinstance(given, Mapping):
            raise InvalidRequestError("hardware_info names each hardware in small letters, digits and -, as an object.")
        if set(given) - {"name", "cost_per_second"}:
            raise InvalidRequestError("hardware_info knows only name and cost_per_second.")
        entry: dict[str, object] = {}
        if given.get("name"):
            entry["name"] = _text("A hardware's name", MAX_NAME_LENGTH)(given["name"])
        if given.get("cost_per_second") is not None:
            entry["cost_per_second"] = _number("cost_per_second", MAX_PRICE_PER_SECOND)(given["cost_per_second"])
        checked[profile] = entry
    return checked


def _s3_delivery(value: object) -> dict[str, object]:
    if not isinstance(value, Mapping):
        raise InvalidRequestError("s3_delivery is an object with at least a bucket.")
    unknown = set(value) - set(_S3_CHECKS)
    if unknown:
        raise InvalidRequestError(f"s3_delivery knows only: {', '.join(sorted(_S3_CHECKS))}.")
    checked = {key: _S3_CHECKS[key](given) for key, given in value.items() if given not in (None, "")}
    if "bucket" not in checked:
        raise InvalidRequestError("s3_delivery needs a bucket.")
    return checked


_S3_CHECKS: Mapping[str, Callable[[object], object]] = {
    "bucket": _pattern("s3_delivery.bucket", _BUCKET, "my-bucket"),
    "region": _pattern("s3_delivery.region", _REGION, "eu-central-1"),
    "endpoint_url": _web_address("s3_delivery.endpoint_url"),
    "path_prefix": _text("s3_delivery.path_prefix", 200),
    "use_path_style": _flag("s3_delivery.use_path_style"),
    "public_read": _flag("s3_delivery.public_read"),
    "access_key_id": _text("s3_delivery.access_key_id", 200),
    "secret_access_key": _text("s3_delivery.secret_access_key", 200),
}

_CHECKS: Mapping[str, Callable[[object], object]] = {
    "webhook_url": _web_address("webhook_url"),
    "cost_limit_enabled": _flag("cost_limit_enabled"),
    "cost_limit_amount": _number("cost_limit_amount", MAX_AMOUNT),
    "cost_limit_period": _one_of("cost_limit_period", tuple(PERIOD_DAYS)),
    "cost_limit_action": _one_of("cost_limit_action", ACTIONS),
    "hardware_info": _hardware_info,
    "version_override": _pattern("version_override", _VERSION, "owner/name:<64 hexadecimal digits>"),
    "webhook_require_signature": _flag("webhook_require_signature"),
    "webhook_allowed_ips": _list_of("webhook_allowed_ips", _network),
    "sync_models": _list_of("sync_models", _pattern("Each of sync_models", _MODEL, "owner/name")),
    "s3_delivery": _s3_delivery,
}


def checks_of(profile: ProviderProfile) -> Mapping[str, Callable[[object], object]]:
    """Every setting of a provider and its check. A webhook is always verified (`webhook_require_signature` or not)."""
    return {**_CHECKS, "hardware_profile": _one_of("hardware_profile", tuple(profile.hardware))}
