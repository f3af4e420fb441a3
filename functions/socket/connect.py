"""`$connect`: enter the connection in the registry. Nothing may be posted to it from here (AWS-12)."""

from __future__ import annotations

from functions._event_handler import Answer, Event, event_handler
from shared.domain.access import Principal, Role
from shared.domain.job import from_iso
from shared.services.delivery.open_connection import OpenConnection
from shared.wiring import wiring


def connect(event: Event) -> Answer:
    """Status 200 completes the handshake; 403 without an authorizer's word, 429 for one socket too many."""
    request = event["requestContext"]
    word = request.get("authorizer")
    if not word:
        return {"statusCode": 403}
    principal = Principal(word["user_id"], Role(word["role"]), word["key_id"] or None)
    authorized_at = from_iso(word["authorized_at"])
    is_open = wiring().use(OpenConnection).run(request["connectionId"], principal, authorized_at=authorized_at)
    return {"statusCode": 200 if is_open else 429}


handler = event_handler(connect)
