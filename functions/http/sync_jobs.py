"""POST /api/cloud/jobs/sync: discover the provider's newest jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict

from functions.http._access import Operator
from functions.http._answers import SyncAnswer
from functions.http._app import lambda_handler_for
from functions.http._parameters import known_provider
from shared.domain.errors import ProviderError, ProviderNotConfiguredError
from shared.services.polling.sync_provider import Synced, SyncProvider, sync_message
from shared.services.providers.provider_named import provider_named
from shared.wiring import wiring

router = APIRouter()


class SyncRequest(BaseModel):
    model_config = ConfigDict(extra="ignore")

    provider: str | None = None


@router.post("/api/cloud/jobs/sync")
def sync_jobs(caller: Operator, request: Annotated[SyncRequest | None, Body()] = None) -> SyncAnswer:
    """`synced` (new jobs), `updated` (known ones that changed), `message`.

    A provider that could not be read in full is an error that says so; what was read is kept.
    """
    parts = wiring()
    named = known_provider(request.provider) if request else None
    providers = [provider_named(parts.providers, named)] if named else list(parts.providers.values())
    results = [parts.use(SyncProvider).run(provider) for provider in providers]
    configured = [result for result in results if not isinstance(result.error, ProviderNotConfiguredError)]
    for result in configured or results:
        if result.error is not None:
            raise _incomplete(result, result.error)
    return {
        "synced": sum(result.discovered for result in configured),
        "updated": sum(result.updated for result in configured),
        "message": sync_message(configured),
    }


def _incomplete(result: Synced, error: ProviderError) -> ProviderError:
    """The provider's own reason, and what was kept all the same."""
    if result.discovered or result.updated:
        kept = f"{result.discovered} new and {result.updated} changed jobs"
        error.detail = f"{error.detail.removesuffix('.')}; what was read is kept: {kept}."
    return error


handler = lambda_handler_for(router)
