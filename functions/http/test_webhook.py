"""POST /api/cloud/webhook/test and /api/webhooks/test: can our webhook address be reached?"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, Field

from functions.http._access import Operator
from functions.http._answers import WebhookTested
from functions.http._app import HttpHandler
from functions.http._parameters import provider_meant
from shared.services.webhooks.probe_webhook import ProbeWebhook
from shared.wiring import wiring

router = APIRouter()


class WebhookProbeRequest(BaseModel):
    webhook_url: Annotated[str | None, Field(max_length=2000)] = None
    provider: str | None = None
    method: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")] = None


@router.post("/api/cloud/webhook/test")
@router.post("/api/webhooks/test")
def probe_webhook(caller: Operator, request: Annotated[WebhookProbeRequest | None, Body()] = None) -> WebhookTested:
    """`success, error, latency_ms, status_code, method`; always 200: the answer is what is wrong.

    `method` says by which way SimpleTuner would be called (`direct`, …), which is all the same here, and is echoed.
    """
    parts = wiring()
    given = request or WebhookProbeRequest()
    provider = provider_meant(given.provider)
    result = parts.use(ProbeWebhook).run(provider, given.webhook_url)
    return {
        "success": result.is_reached,
        "error": result.error,
        "latency_ms": result.latency_ms,
        "status_code": result.status_code,
        "method": given.method or "direct",
    }


handler = HttpHandler(router)
