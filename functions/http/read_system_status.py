"""GET /api/cloud/{provider}/status and /api/cloud/system-status: what a provider's status page says."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter

from functions.http._answers import SystemStatus
from functions.http._app import HttpHandler
from functions.http._parameters import provider_meant
from shared.services.providers.read_system_status import ReadSystemStatus
from shared.wiring import wiring

router = APIRouter()


@router.get("/api/cloud/{provider}/status")
def read_status_of_provider(provider: str) -> SystemStatus:
    """`operational`, `ongoing_incidents[]`, `in_progress_maintenances[]`, `scheduled_maintenances[]`, `error`, …"""
    return cast("SystemStatus", wiring().use(ReadSystemStatus).run(provider))


@router.get("/api/cloud/system-status")
def read_system_status(provider: str | None = None) -> SystemStatus:
    """The same, of the provider that `provider` names."""
    return cast("SystemStatus", wiring().use(ReadSystemStatus).run(provider_meant(provider)))


handler = HttpHandler(router)
