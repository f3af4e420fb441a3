"""POST /api/auth/login and logout, GET /api/auth/me: a session cookie for the page, as EventSource sends no key."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel, Field, SecretStr

from functions.http._access import PAGE_HEADER, SESSION_COOKIE, authenticated, bearer_of, source_ip
from functions.http._answers import SignedIn, Success
from functions.http._app import HttpHandler
from shared.config import AuthMode
from shared.domain.access import Principal
from shared.domain.errors import AuthenticationRequiredError, PermissionDeniedError
from shared.services.access.sign_in import SESSION_LIFE, SignIn
from shared.services.access.slow_guesses import SlowGuesses
from shared.wiring import wiring

router = APIRouter()


class LoginRequest(BaseModel):
    key: SecretStr | None = Field(default=None, max_length=1000)


@router.post("/api/auth/login")
def log_in(request: Request, response: Response, body: Annotated[LoginRequest | None, Body()] = None) -> SignedIn:
    """`user_id`, `role`, and a cookie that no script can read; the key itself is not kept."""
    given = body.key.get_secret_value() if body and body.key else bearer_of(request)
    key, guesses, address = given.strip(), wiring().use(SlowGuesses), source_ip(request)
    if key:
        guesses.refuse_guesser(address)
    begun = wiring().use(SignIn).begin(key)
    if begun is None:
        if key:
            guesses.count_failure(address)
        raise AuthenticationRequiredError("Authentication required: this API key is not valid here.")
    principal, token = begun
    response.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=int(SESSION_LIFE.total_seconds()),
        path="/",
        httponly=True,
        samesite="strict",
        secure=_is_encrypted(),
    )
    return _who(principal)


@router.post("/api/auth/logout")
def log_out(request: Request, response: Response) -> Success:
    """`success`; also without a session."""
    if PAGE_HEADER not in request.headers:
        raise PermissionDeniedError("Ending a session needs the header X-Requested-With.")
    wiring().use(SignIn).end(request.cookies.get(SESSION_COOKIE))
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict", secure=_is_encrypted())
    return {"success": True}


@router.get("/api/auth/me")
def read_me(request: Request) -> SignedIn:
    """`user_id`, `role`, `can_sign_out`; 401 when signed out."""
    return _who(authenticated(request))


def _who(principal: Principal) -> SignedIn:
    mode = wiring().settings.auth_mode
    return {"user_id": principal.user_id, "role": principal.role.value, "can_sign_out": mode is not AuthMode.NONE}


def _is_encrypted() -> bool:
    """Everywhere but on one machine, where the page comes over http from loopback."""
    return wiring().settings.stack != "local"


handler = HttpHandler(router, access=False)
