"""Who asks: one dependency for every route (CONTRACT: X-API-Key, Bearer, and a cookie for the page)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from shared.domain.access import Principal, Role
from shared.domain.errors import AuthenticationRequiredError, PermissionDeniedError
from shared.wiring import wiring

SESSION_COOKIE = "simpletuner_session"


def authenticated(request: Request) -> Principal:
    """The principal of this request. Raises AuthenticationRequiredError (401)."""
    key = _key_of(request)
    principal = wiring().authenticate(key)
    if principal is None:
        raise AuthenticationRequiredError(
            "Authentication required: send an API key as X-API-Key or as Authorization: Bearer."
            if key is None
            else "Authentication required: this API key is not valid here."
        )
    return principal


Caller = Annotated[Principal, Depends(authenticated)]


def may_change(principal: Caller) -> Principal:
    """Every role but viewer. Raises PermissionDeniedError (403)."""
    if principal.role is Role.VIEWER:
        raise PermissionDeniedError("Your role may only read; ask an admin for the role operator.")
    return principal


def may_administer(principal: Caller) -> Principal:
    """Admins only. Raises PermissionDeniedError (403)."""
    if principal.role is not Role.ADMIN:
        raise PermissionDeniedError("Only an admin may do this.")
    return principal


Operator = Annotated[Principal, Depends(may_change)]
Admin = Annotated[Principal, Depends(may_administer)]


def _key_of(request: Request) -> str | None:
    key = request.headers.get("x-api-key")
    if key:
        return key
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.cookies.get(SESSION_COOKIE)
