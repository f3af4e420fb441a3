"""POST /api/webhooks/{provider} and /api/cloud/webhook/{provider} (`?job=`): a provider tells of its jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from functions.http._access import source_ip
from functions.http._answers import WebhookReceived
from functions.http._app import HttpHandler
from shared.domain.errors import PayloadTooLargeError
from shared.services.webhooks.receive_webhook import MAX_BODY_BYTES, Delivery, ReceiveWebhook
from shared.wiring import wiring

router = APIRouter()


async def raw_body(request: Request) -> bytes:
    """The bytes as they were signed. Raises PayloadTooLargeError from the length alone where it is told."""
    told = request.headers.get("content-length", "")
    if told.isascii() and told.isdigit() and (len(told) > 12 or int(told) > MAX_BODY_BYTES):
        raise PayloadTooLargeError(f"A webhook's body may have at most {MAX_BODY_BYTES // 1_000_000} MB.")
    return await request.body()


@router.post("/api/webhooks/{provider}")
@router.post("/api/cloud/webhook/{provider}")
async def receive_webhook(
    provider: str, request: Request, body: Annotated[bytes, Depends(raw_body)]
) -> WebhookReceived:
    """`status`: "received", also for a duplicate; `job_id`: the job it was about, null when that is deleted.

    Runs where it is called: a function serves one request at a time, and a thread for each is a tenth of its time.
    """
    delivery = Delivery(
        provider=provider,
        body=body,
        headers=request.headers,
        source_ip=source_ip(request),
        job_id=request.query_params.get("job"),
    )
    received = wiring().use(ReceiveWebhook).run(delivery)
    return {"status": "received", "job_id": received.job_id}


handler = HttpHandler(router, access=False)
