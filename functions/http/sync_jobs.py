"""POST /api/cloud/jobs/sync: discover the provider's newest jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel

from functions.http._access import Operator
from functions.http._answers import SyncAnswer
from functions.http._app import HttpHandler
from functions.http._parameters import known_provider
from shared.services.polling.sync_jobs import SyncJobs
from shared.wiring import wiring

router = APIRouter()


class SyncRequest(BaseModel):
    provider: str | None = None


@router.post("/api/cloud/jobs/sync")
def sync_jobs(caller: Operator, request: Annotated[SyncRequest | None, Body()] = None) -> SyncAnswer:
    """`synced` (new jobs), `updated` (all that were written, new and changed), `message`.

    A provider that could not be read in full is an error that says so; what was read is kept.
    """
    synced = wiring().use(SyncJobs).run(known_provider(request.provider) if request else None)
    return {"synced": synced.discovered, "updated": synced.updated, "message": synced.message}


handler = HttpHandler(router)
