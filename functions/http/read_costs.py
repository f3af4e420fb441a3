"""GET /api/cloud/cost-limit/status and hardware-options; POST cost-estimate and billing/refresh."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from functions.http._answers import Balance, CostEstimate, CostLimitStatus, HardwareOptions
from functions.http._app import HttpHandler
from functions.http._parameters import known_provider, provider_meant
from shared.services.costs.check_cost_limit import CheckCostLimit
from shared.services.costs.estimate_cost import EstimateCost
from shared.services.providers.provider_settings import ProviderSettings
from shared.wiring import wiring

router = APIRouter()


@router.get("/api/cloud/cost-limit/status")
@router.get("/api/metrics/cost-limit/status")
def read_cost_limit(provider: str | None = None) -> CostLimitStatus:
    """Real spend of the period against the limit, in US dollars."""
    parts = wiring()
    limit = parts.use(CheckCostLimit).run(provider_meant(provider))
    return {
        "enabled": limit.is_enabled,
        "limit_amount": float(limit.amount),
        "period": limit.period,
        "action": limit.action,
        "current_spend": float(limit.spent),
        "percent_used": limit.percent_used,
        "is_exceeded": limit.is_exceeded,
        "is_warning": limit.is_warning,
        "message": limit.message,
    }


@router.get("/api/cloud/hardware-options")
def list_hardware(provider: str | None = None) -> HardwareOptions:
    """`hardware[]{id, provider, name, cost_per_second, cost_per_hour, available}` of this provider, or of all.

    Prices are US dollars.
    """
    parts = wiring()
    named = known_provider(provider)
    return {
        "hardware": [
            {
                "id": hardware.id,
                "provider": name,
                "name": hardware.label,
                "cost_per_second": float(hardware.price_per_second),
                "cost_per_hour": float(hardware.price_per_hour),
                "available": True,
            }
            for name in ([named] if named else parts.profiles)
            for hardware in parts.use(ProviderSettings).hardware_choices(name)
        ]
    }


@router.post("/api/cloud/cost-estimate")
def estimate_cost(datasets: Annotated[list[Any] | None, Body()] = None, provider: str | None = None) -> CostEstimate:
    """By the mean duration of the last 90 days' jobs; which datasets are meant does not change that."""
    parts = wiring()
    estimate = parts.use(EstimateCost).run(provider_meant(provider))
    body: CostEstimate = {
        "has_estimate": estimate.cost is not None,
        "estimated_cost_usd": None if estimate.cost is None else round(estimate.cost, 4),
        "avg_duration_seconds": estimate.average_seconds,
        "hardware_cost_per_hour": float(estimate.hardware.price_per_hour),
        "message": "No job has ended in the last 90 days, so there is nothing to estimate from.",
    }
    if estimate.cost is not None:
        body["message"] = f"The mean of the last 90 days on {estimate.hardware.label}."
    return body


@router.post("/api/cloud/billing/refresh")
@router.post("/api/metrics/billing/refresh")
def refresh_billing() -> Balance:
    """No provider publishes a balance."""
    return {"credit_balance": None, "estimated_jobs_remaining": None, "error": None}


handler = HttpHandler(router)
