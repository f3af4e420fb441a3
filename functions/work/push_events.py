"""Woken by the event table's stream: tell every WebSocket client what is new."""

from __future__ import annotations

from functions._event_handler import Answer, Event, event_handler
from shared.services.delivery.push_events import PushEvents
from shared.wiring import wiring


def push_events(event: Event) -> Answer:
    """The records only wake; what is new is read from the log, so repeated or shuffled ones do no harm (I23).

    Unfinished work is reported as the first record's failure, so that the stream wakes us again at once.
    """
    is_done = wiring().use(PushEvents).run()
    records = event.get("Records", [])
    if is_done or not records:
        return {"batchItemFailures": []}
    return {"batchItemFailures": [{"itemIdentifier": records[0]["dynamodb"]["SequenceNumber"]}]}


handler = event_handler(push_events)
