"""The authorizer of `$connect`: a listed Origin and a ticket, or the handshake ends with 403."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from functions._event_handler import Answer, Event, event_handler
from shared.domain.access import Principal
from shared.domain.job import to_iso
from shared.services.access.authorize_connection import AuthorizeConnection
from shared.services.access.slow_guesses import SlowGuesses
from shared.wiring import wiring


def authorize(event: Event) -> Answer:
    """Wrong tickets count as wrong keys do, and nobody's ticket is redeemed where too many came from (T15)."""
    tickets = _values(event, "QueryStringParameters", "ticket")
    # Two tickets are no ticket: which of them counted would be a matter of taste.
    ticket = None if not tickets else tickets[0] if len(tickets) == 1 else ""
    origins = _values(event, "Headers", "origin")
    now = wiring().clock.now()
    guesses, address = wiring().use(SlowGuesses), str(event["requestContext"]["identity"]["sourceIp"])
    principal = None
    if ticket is None or not guesses.is_guesser(address):
        principal = wiring().use(AuthorizeConnection).run(origins=origins, ticket=ticket)
        if principal is None and ticket is not None:
            guesses.count_failure(address)
    return _policy(event["methodArn"], principal, now)


def _values(event: Event, field: str, name: str) -> tuple[str, ...]:
    """All values of a header or query parameter, its name in any case."""
    several: Mapping[str, list[str]] = event.get(f"multiValue{field}") or {}
    single: Mapping[str, str] = event.get(field[0].lower() + field[1:]) or {}
    found = [value for key, values in several.items() if key.lower() == name for value in values]
    return tuple(found or [value for key, value in single.items() if key.lower() == name])


def _policy(method_arn: str, principal: Principal | None, now: datetime) -> Answer:
    """What API Gateway expects; the context reaches `connect` as text."""
    statement = {
        "Action": "execute-api:Invoke",
        "Effect": "Allow" if principal else "Deny",
        "Resource": method_arn,
    }
    context = {}
    if principal is not None:
        context = {
            "user_id": principal.user_id,
            "role": principal.role.value,
            "key_id": principal.key_id or "",
            "authorized_at": to_iso(now),
        }
    return {
        "principalId": principal.user_id if principal else "nobody",
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": context,
    }


handler = event_handler(authorize)
