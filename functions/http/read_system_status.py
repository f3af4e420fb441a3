"""GET /api/cloud/replicate/status and /api/cloud/system-status: what Replicate's status page says."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter

from functions.http._answers import SystemStatus
from functions.http._app import lambda_handler_for
from shared.services.providers.read_system_status import ReadSystemStatus
from shared.wiring import wiring

router = APIRouter()


@router.get("/api/cloud/replicate/status")
@router.get("/api/cloud/system-status")
def read_system_status() -> SystemStatus:
    """`operational`, `ongoing_incidents[]`, `in_progress_maintenances[]`, `scheduled_maintenances[]`, `error`, …"""
    return cast("SystemStatus", wiring().use(ReadSystemStatus).run())


handler = lambda_handler_for(router)
