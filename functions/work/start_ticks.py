"""Every minute: turn the one schedule into ticks of the configured interval, while there is something to do."""

from __future__ import annotations

from functions._event_handler import Answer, Event, event_handler
from shared.services.polling.start_ticks import StartTicks
from shared.wiring import wiring


def start_ticks(event: Event) -> Answer:
    parts = wiring()
    return {"ticks": parts.use(StartTicks).run(list(parts.providers))}


handler = event_handler(start_ticks)
