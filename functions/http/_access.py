"""Who asks: one dependency for every route: X-API-Key, Bearer, or the page's cookie."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from shared.domain.access import Principal, Role
from shared.domain.errors import AuthenticationRequiredError, PermissionDeniedError
from shared.services.access.authenticate import Authenticate
from shared.services.access.sign_in import SignIn
from shared.services.access.slow_guesses import SlowGuesses
from shared.wiring import wiring

SESSION_COOKIE = "simpletuner_session"
PAGE_HEADER = "x-requested-with"
READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def authenticated(request: Request) -> Principal:
    """The principal of this request: by a key in its headers, else by the page's session cookie.

    Raises AuthenticationRequiredError (401), PermissionDeniedError (403) for a change without the page's header (T12),
    TooManyWrongKeysError (429) for any key from where too many wrong ones came; whoever has a session, or shows
    nothing, does not suffer by them (T15).
    """
    key = request.headers.get("x-api-key") or bearer_of(request) or None
    session = request.cookies.get(SESSION_COOKIE)
    guesses, address = wiring().use(SlowGuesses), source_ip(request)
    if key is None and session:
        principal = wiring().use(SignIn).principal(session)
        if principal is None:
            guesses.refuse_guesser(address)
        elif is_change(request) and PAGE_HEADER not in request.headers:
            raise PermissionDeniedError("A change with the page's cookie needs the header X-Requested-With.")
    else:
        if key is not None:
            guesses.refuse_guesser(address)
        principal = wiring().use(Authenticate).principal(key)
    if principal is None and (key or session):
        guesses.count_failure(address)
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


def bearer_of(request: Request) -> str:
    """The token of `Authorization: Bearer`, "" without one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def source_ip(request: Request) -> str:
    """The network peer as the gateway saw it, "" if unknown; never a header that a client can write (T16)."""
    event = request.scope.get("aws.event")
    if event is not None:
        return str(event["requestContext"]["http"]["sourceIp"])
    return request.client.host if request.client else ""


def is_change(request: Request) -> bool:
    return request.method not in READING_METHODS


async def refuse_other_sites(request: Request) -> None:
    """Requests come from programs, from this page, or from a listed origin. Raises PermissionDeniedError (T12).

    This holds with AUTH_MODE=none, too: any page that a person opens can send requests to this machine. An `Origin`
    decides by itself, because no browser sends `Sec-Fetch-Site` to an address like http://0.0.0.0. Without one a page
    of elsewhere may lead a person here by a link, and nothing else.
    """
    origins = request.headers.getlist("origin")
    if origins:
        is_ours = all(origin in wiring().settings.page_origins for origin in origins)
    else:
        is_link = not is_change(request) and request.headers.get("sec-fetch-mode") == "navigate"
        is_ours = is_link or request.headers.get("sec-fetch-site") not in ("cross-site", "same-site")
    if not is_ours:
        raise PermissionDeniedError("Another site asked for this; list its origin in ALLOWED_ORIGINS to allow that.")
