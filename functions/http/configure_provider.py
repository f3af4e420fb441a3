"""GET /api/cloud/providers; GET and PUT …/{provider}/config; PUT and DELETE …/{provider}/token."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import BaseModel, Field, SecretStr

from functions.http._access import Admin
from functions.http._answers import (
    HardwareProfileObject,
    ProviderConfig,
    ProviderList,
    ProviderObject,
    TokenForgotten,
    TokenKept,
)
from functions.http._app import HttpHandler
from shared.domain.pricing import Hardware
from shared.domain.provider_profile import ProviderProfile
from shared.services.providers.configure_provider import ConfigureProvider
from shared.services.providers.keep_token import KeepToken
from shared.services.providers.provider_named import provider_named
from shared.services.providers.provider_settings import ProviderSettings
from shared.wiring import wiring

router = APIRouter()


class TokenRequest(BaseModel):
    """`token` is how SimpleTuner's CLI calls it."""

    api_token: SecretStr | None = Field(default=None, max_length=1000)
    token: SecretStr | None = Field(default=None, max_length=1000)

    def value(self) -> str:
        given = self.api_token or self.token
        return given.get_secret_value() if given else ""


@router.get("/api/cloud/providers")
def list_providers() -> ProviderList:
    """`providers[]`: what each is called, whether it has a token, and what its hardware costs (US dollars)."""
    return {"providers": [_provider(profile) for profile in wiring().profiles.values()]}


@router.get("/api/cloud/providers/{provider}/config")
def read_config(provider: str) -> ProviderConfig:
    """`provider`, `config`; keys of a bucket are never told."""
    parts = wiring()
    return {
        "provider": provider_named(parts.providers, provider).profile.name,
        "config": parts.use(ConfigureProvider).effective(provider),
    }


@router.put("/api/cloud/providers/{provider}/config")
def change_config(provider: str, caller: Admin, changes: Annotated[dict[str, Any], Body()]) -> ProviderConfig:
    """`provider`, `config` as it is afterwards; null and "" clear a value, an absent key leaves it."""
    parts = wiring()
    name = provider_named(parts.providers, provider).profile.name
    return {"provider": name, "config": parts.use(ConfigureProvider).change(name, changes)}


@router.put("/api/cloud/providers/{provider}/token")
@router.post("/api/cloud/{provider}/token")
def keep_token(provider: str, caller: Admin, request: TokenRequest) -> TokenKept:
    """`success`, `error`, `file_path` (where it is kept, in words), `username`; 400 when the provider refuses it."""
    kept = wiring().use(KeepToken).keep(provider, request.value())
    return {"success": True, "error": kept.warning, "file_path": kept.location, "username": kept.account.username}


@router.delete("/api/cloud/providers/{provider}/token")
@router.delete("/api/cloud/{provider}/token")
def forget_token(provider: str, caller: Admin) -> TokenForgotten:
    """`success`, `error`, `file_path`; no success while the environment still sets a token."""
    parts = wiring()
    left = parts.use(KeepToken).forget(provider)
    return {"success": left is None, "error": left, "file_path": parts.secrets.location()}


def _provider(profile: ProviderProfile) -> ProviderObject:
    settings = wiring().use(ProviderSettings).of_one_moment()
    chosen = settings.hardware(profile.name)
    return {
        "id": profile.name,
        "name": profile.label,
        "configured": wiring().use(KeepToken).has(profile.name),
        "coming_soon": False,
        "cost_per_hour": float(chosen.price_per_hour),
        "hardware_profile": chosen.id,
        "hardware_profiles": [_profile(hardware) for hardware in settings.hardware_choices(profile.name)],
        "has_webhooks": profile.webhooks is not None,
        "token_url": profile.token_url,
        "job_url": profile.job_url,
        "status_page_url": profile.status_page_url,
        "log_kept_seconds": profile.log_kept_for.total_seconds() if profile.log_kept_for else None,
    }


def _profile(hardware: Hardware) -> HardwareProfileObject:
    return {
        "id": hardware.id,
        "label": hardware.label,
        "hardware_type": hardware.hardware_type,
        "cost_per_hour": float(hardware.price_per_hour),
        "cost_per_second": float(hardware.price_per_second),
    }


handler = HttpHandler(router)
