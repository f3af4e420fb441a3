"""GET /api/cloud/polling/status, PUT /api/cloud/polling/setting: whether the provider is polled, and why."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, StrictBool

from functions.http._access import Admin
from functions.http._app import lambda_handler_for
from shared.domain.job import to_iso
from shared.services.polling.decide_polling import DecidePolling, PollingDecision
from shared.services.polling.poll_provider import read_poll_state
from shared.services.providers.provider_settings import ProviderSettings
from shared.wiring import wiring

FAULT_SHOWN_FOR = timedelta(hours=1)
"""While nothing is active nobody asks again, and an old fault says nothing about now."""

router = APIRouter()


class PollingSetting(BaseModel):
    """`enabled` null: leave it to the configuration."""

    model_config = ConfigDict(extra="ignore")

    enabled: StrictBool | None


@router.get("/api/cloud/polling/status")
def read_polling_status() -> dict[str, object]:
    """`is_active, preference, interval_seconds, effective_interval_seconds, last_tick_at, reason, last_errors`."""
    parts = wiring()
    decision = _decide()
    now = parts.clock.now()
    states = {name: read_poll_state(parts.state, name, now=now) for name in parts.providers}
    ticks = [state.last_tick_at for state in states.values() if state.last_tick_at is not None]
    return {
        "is_active": decision.is_active,
        "preference": decision.preference,
        "interval_seconds": decision.interval_seconds,
        "effective_interval_seconds": max(
            state.effective_interval(decision.interval_seconds) for state in states.values()
        ),
        "reconcile_interval_seconds": parts.enterprise.reconcile_interval,
        "last_tick_at": to_iso(max(ticks)) if ticks else None,
        "reason": decision.reason,
        "last_errors": [
            {"provider": name, "error": state.fault.code, "message": state.fault.detail, "at": to_iso(state.fault.at)}
            for name, state in states.items()
            if state.fault is not None and now - state.fault.at <= FAULT_SHOWN_FOR
        ],
    }


@router.put("/api/cloud/polling/setting")
def set_polling(setting: PollingSetting, caller: Admin) -> dict[str, object]:
    """Store the preference; `is_active` tells what that comes to, `reason` why (the yaml's word wins)."""
    wiring().use(DecidePolling).prefer(setting.enabled)
    decision = _decide()
    return {"is_active": decision.is_active, "enabled": setting.enabled, "reason": decision.reason}


def _decide() -> PollingDecision:
    """By the settings as they are stored now: whoever has just changed them looks here."""
    parts = wiring()
    for name in parts.providers:
        parts.use(ProviderSettings).forget(name)
    return parts.use(DecidePolling).decide(parts.providers)


handler = lambda_handler_for(router)
