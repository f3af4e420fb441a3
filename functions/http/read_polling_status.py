"""GET /api/cloud/polling/status, PUT /api/cloud/polling/setting: whether the provider is polled, and why."""

from __future__ import annotations

from datetime import datetime, timedelta

from fastapi import APIRouter
from pydantic import BaseModel, StrictBool

from functions.http._access import Admin
from functions.http._answers import PollingSet, PollingStatus, ProviderPolling
from functions.http._app import HttpHandler
from shared.domain.job import to_iso
from shared.services.polling.decide_polling import DecidePolling, PollingDecision, overall
from shared.services.polling.poll_state import PollState, read_poll_state
from shared.wiring import wiring

FAULT_SHOWN_FOR = timedelta(hours=1)
"""While nothing is active nobody asks again, and an old fault says nothing about now."""

router = APIRouter()


class PollingSetting(BaseModel):
    """`enabled` null: leave it to the configuration."""

    enabled: StrictBool | None


@router.get("/api/cloud/polling/status")
def read_polling_status() -> PollingStatus:
    """For all providers together, and in `providers` for each by itself; see docs/contract.md."""
    parts = wiring()
    now = parts.clock.now()
    decisions = parts.use(DecidePolling).run(parts.providers)
    states = {name: read_poll_state(parts.state, name, now=now) for name in decisions}
    together = overall(decisions.values())
    providers = [_told(name, decision, states[name], now) for name, decision in decisions.items()]
    ticks = [state.last_tick_at for state in states.values() if state.last_tick_at is not None]
    return {
        "is_active": together.is_active,
        "preference": together.preference,
        "interval_seconds": together.interval_seconds,
        "effective_interval_seconds": max(
            state.effective_interval(together.interval_seconds) for state in states.values()
        ),
        "reconcile_interval_seconds": together.reconcile_seconds,
        "last_tick_at": to_iso(max(ticks)) if ticks else None,
        "reason": together.reason,
        "last_errors": [told["last_error"] for told in providers if told["last_error"] is not None],
        "providers": providers,
    }


def _told(name: str, decision: PollingDecision, state: PollState, now: datetime) -> ProviderPolling:
    interval = decision.interval_seconds if decision.is_active else decision.reconcile_seconds
    fault = state.fault if state.fault is not None and now - state.fault.at <= FAULT_SHOWN_FOR else None
    return {
        "provider": name,
        "is_active": decision.is_active,
        "reason": decision.reason,
        "interval_seconds": interval,
        "effective_interval_seconds": state.effective_interval(interval) if interval else 0,
        "last_tick_at": to_iso(state.last_tick_at) if state.last_tick_at else None,
        "last_error": None
        if fault is None
        else {"provider": name, "error": fault.code, "message": fault.detail, "at": to_iso(fault.at)},
    }


@router.put("/api/cloud/polling/setting")
def set_polling(setting: PollingSetting, caller: Admin) -> PollingSet:
    """Store the preference; `is_active` tells what that comes to, `reason` why (the yaml's word wins)."""
    parts = wiring()
    parts.use(DecidePolling).prefer(setting.enabled)
    decision = overall(parts.use(DecidePolling).run(parts.providers).values())
    return {"is_active": decision.is_active, "enabled": setting.enabled, "reason": decision.reason}


handler = HttpHandler(router)
