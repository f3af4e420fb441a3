"""Every hour: let the log begin seven days ago."""

from __future__ import annotations

from functions._event_handler import Answer, Event, event_handler
from shared.services.delivery.trim_events import TrimEvents
from shared.wiring import wiring


def trim_events(event: Event) -> Answer:
    return {"trimmed": wiring().use(TrimEvents).run()}


handler = event_handler(trim_events)
