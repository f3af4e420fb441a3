"""From the queue `observations`: write what collided elsewhere, in groups."""

from __future__ import annotations

from functions._event_handler import Answer, Event, event_handler
from shared.services.recording.commit_queued import CommitQueued
from shared.wiring import wiring


def commit_queued(event: Event) -> Answer:
    records = event["Records"]
    kept = wiring().use(CommitQueued).run([record["body"] for record in records])
    return {"batchItemFailures": [{"itemIdentifier": records[place]["messageId"]} for place in kept]}


handler = event_handler(commit_queued)
