"""Typed settings of a process, read from the environment once; a wrong value fails at start with one sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo

from shared.domain.errors import ConfigurationError


class AuthMode(StrEnum):
    """Who may ask: `none` everyone (one machine, loopback), `key` holders of an API key."""

    NONE = "none"
    KEY = "key"


BASE_URL_SUFFIX = "_API_BASE_URL"
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_LOCAL_ORIGIN = re.compile(r"(https?://)(?:127\.0\.0\.1|localhost|\[::1\])((?::[0-9]+)?)")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Settings(BaseModel):
    """Field names in upper case are the names of the environment variables.

    `provider_base_urls` are the other addresses at which providers are reached, by name: `<NAME>_API_BASE_URL`.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    stack: str = "deployed"
    auth_mode: AuthMode = AuthMode.KEY
    allowed_origins: tuple[str, ...] = ()
    public_base_url: str | None = None

    jobs_table: str = ""
    events_table: str = ""
    job_texts_table: str = ""
    connections_table: str = ""
    state_table: str = ""

    observations_queue_url: str = ""
    ticks_queue_url: str = ""
    final_logs_queue_url: str = ""

    websocket_callback_url: str = ""
    websocket_url: str = ""

    secrets_prefix: str = "/simpletuner-cloud-jobs"
    secrets_file: Path | None = None

    provider_base_urls: Mapping[str, str] = {}
    simpletuner_enterprise_config: Path | None = None
    simpletuner_job_poll_interval: float | None = Field(default=None, ge=5, le=86_400)
    simpletuner_job_retention_days: int = Field(default=90, ge=0, le=36_500)

    sse_hold_seconds: float = Field(default=20, ge=0, le=24)
    sse_max_held: int = Field(default=10, ge=0, le=1_000)
    sse_connections_per_ip: int = Field(default=5, ge=1, le=1_000)
    sockets_per_user: int = Field(default=20, ge=1, le=10_000)
    progress_max_age_seconds: float = Field(default=5, ge=0, le=3_600)

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("provider_base_urls")
    @classmethod
    def _without_slash(cls, values: Mapping[str, str]) -> Mapping[str, str]:
        for provider, url in values.items():
            if not url.startswith(("https://", "http://127.0.0.1", "http://localhost", "http://[::1]")):
                raise ConfigurationError(
                    f"The environment variable {provider.upper()}{BASE_URL_SUFFIX} is wrong: it must begin with "
                    "https:// (http:// only on loopback)."
                )
        return {provider: url.rstrip("/") for provider, url in values.items()}

    @property
    def is_open(self) -> bool:
        """Whether everyone is let in, as the local admin."""
        return self.auth_mode is AuthMode.NONE

    @property
    def retention(self) -> timedelta | None:
        """How long an ended job is remembered; None: without limit."""
        days = self.simpletuner_job_retention_days
        return timedelta(days=days) if days else None

    @property
    def page_origins(self) -> tuple[str, ...]:
        """The origins whose pages may ask and open a WebSocket: the listed ones and this deployment's own.

        A machine's own page is the same under each of the machine's names for itself.
        """
        own = origin_of(self.public_base_url or "")
        local = _LOCAL_ORIGIN.fullmatch(own)
        names = [f"{local[1]}{host}{local[2]}" for host in _LOCAL_HOSTS] if local else [own]
        return tuple(filter(None, dict.fromkeys([*names, *map(origin_of, self.allowed_origins)])))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read what is set and not empty. Raises ConfigurationError that names the variable and what was expected."""
        environment = os.environ if environment is None else environment
        given: dict[str, object] = {
            name: environment[name.upper()] for name in cls.model_fields if environment.get(name.upper())
        }
        given["provider_base_urls"] = {
            name.removesuffix(BASE_URL_SUFFIX).lower(): url
            for name, url in environment.items()
            if name.endswith(BASE_URL_SUFFIX) and url
        }
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            what = _range_of(cls.model_fields[name]) or first["msg"]
            raise ConfigurationError(f"The environment variable {name.upper()} is wrong: {what}.") from None


def _range_of(field: FieldInfo) -> str | None:
    """What a number must be; None for what is none."""
    least = next((bound.ge for bound in field.metadata if hasattr(bound, "ge")), None)
    most = next((bound.le for bound in field.metadata if hasattr(bound, "le")), None)
    if least is None or most is None:
        return None
    kind = "whole number" if field.annotation is int else "number"
    return f"it must be a {kind} from {least:,} to {most:,}"


def origin_of(address: str) -> str:
    """Where an address leads, as browsers write it in `Origin`: small letters, no default port; "" for none."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, _DEFAULT_PORTS[parts.scheme]) else "")
