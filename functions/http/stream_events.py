"""GET /api/events: Server-Sent Events, one long poll a request (AWS-17)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from functions.http._access import Caller, source_ip
from functions.http._app import HttpHandler
from shared.services.delivery.stream_events import Listener, StreamEvents
from shared.wiring import wiring

FUNCTION_SECONDS = 27.0
"""The function's time-out, for where no context tells what is left of it."""

router = APIRouter()


@router.get("/api/events", response_class=Response)
def stream_events(request: Request, caller: Caller) -> Response:
    """What is new since `Last-Event-ID` (header) or `last_event_id` (query); the header is the newer of the two."""
    cursor = request.headers.get("last-event-id") or request.query_params.get("last_event_id")
    text = wiring().use(StreamEvents).run(cursor, Listener(caller, source_ip(request), _seconds_left(request)))
    return Response(text, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _seconds_left(request: Request) -> float:
    context = request.scope.get("aws.context")
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    return min(FUNCTION_SECONDS, remaining() / 1000) if remaining else FUNCTION_SECONDS


handler = HttpHandler(router)
