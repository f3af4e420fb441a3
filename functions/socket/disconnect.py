"""`$disconnect`, which may never come: then a 410 or the row's expiry removes the connection."""

from __future__ import annotations

from functions._event_handler import Answer, Event, event_handler
from shared.wiring import wiring


def disconnect(event: Event) -> Answer:
    wiring().connections.remove(event["requestContext"]["connectionId"])
    return {"statusCode": 200}


handler = event_handler(disconnect)
