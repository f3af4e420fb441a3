"""GET /api/cloud/{provider}/validate and …/providers/{provider}/validate: is the token good, and whose is it?"""

from __future__ import annotations

from fastapi import APIRouter

from functions.http._answers import TokenCheck
from functions.http._app import HttpHandler
from shared.domain.errors import ProviderError, UnknownProviderError
from shared.services.providers.keep_token import KeepToken
from shared.wiring import wiring

router = APIRouter()


@router.get("/api/cloud/providers/{provider}/validate")
@router.get("/api/cloud/{provider}/validate")
def validate_provider(provider: str) -> TokenCheck:
    """Always 200 with `valid, username, user_info{username, name}, error`: the answer is what is wrong."""
    try:
        account = wiring().use(KeepToken).check(provider)
    except (ProviderError, UnknownProviderError) as error:
        return {"valid": False, "username": None, "user_info": None, "error": error.detail}
    return {
        "valid": True,
        "username": account.username,
        "user_info": {"username": account.username, "name": account.name},
        "error": None,
    }


handler = HttpHandler(router)
