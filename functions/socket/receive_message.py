"""What a WebSocket client says: `hello` and `ping`. Everything else is passed over."""

from __future__ import annotations

import json

from functions._event_handler import Answer, Event, event_handler
from shared.wiring import wiring


def receive_message(event: Event) -> Answer:
    """Judged by the body alone: gateway and emulator name the route of the same message differently (trap 9)."""
    request = event["requestContext"]
    said = _said(event.get("body"))
    if request["eventType"] != "MESSAGE" or said is None:
        return {"statusCode": 200}
    match said.get("action"):
        case "hello":
            wiring().greeter.hello(request["connectionId"], said.get("after"))
        case "ping":
            wiring().greeter.ping(request["connectionId"])
    return {"statusCode": 200}


def _said(body: object) -> dict[str, object] | None:
    try:
        said = json.loads(body) if isinstance(body, str) else None
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


handler = event_handler(receive_message)
