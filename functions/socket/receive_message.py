"""What a WebSocket client says: `hello` and `ping`. Everything else is passed over, but counted (T22)."""

from __future__ import annotations

import json

from functions._event_handler import Answer, Event, event_handler
from shared.services.delivery.greet_connection import GreetConnection
from shared.wiring import wiring


def receive_message(event: Event) -> Answer:
    """Judged by the body alone: gateway and emulator name the route of the same message differently (AWS-9)."""
    request = event["requestContext"]
    if request["eventType"] != "MESSAGE":
        return {"statusCode": 200}
    said = _said(event.get("body"))
    greeter = wiring().use(GreetConnection)
    match said.get("action"):
        case "hello":
            greeter.hello(request["connectionId"], said.get("after"))
        case "ping":
            greeter.ping(request["connectionId"])
        case _:
            greeter.pass_over(request["connectionId"])
    return {"statusCode": 200}


def _said(body: object) -> dict[str, object]:
    """The message as an object; empty for anything that is none."""
    try:
        said = json.loads(body) if isinstance(body, str) else None
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


handler = event_handler(receive_message)
