"""From the queue `observations`: write what collided elsewhere, in groups."""

from __future__ import annotations

from functions._event_handler import Answer, Event, event_handler
from shared.services.recording.commit_queued import CommitQueued, Delivered
from shared.wiring import wiring


def commit_queued(event: Event) -> Answer:
    records = event["Records"]
    kept = wiring().use(CommitQueued).run([_delivered(record) for record in records])
    return {"batchItemFailures": [{"itemIdentifier": records[place]["messageId"]} for place in kept]}


def _delivered(record: Event) -> Delivered:
    return Delivered(record["body"], record["receiptHandle"], int(record["attributes"]["ApproximateReceiveCount"]))


handler = event_handler(commit_queued)
