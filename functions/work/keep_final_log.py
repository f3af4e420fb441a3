"""From the queue of final logs: fetch an ended job's whole log once, and keep it."""

from __future__ import annotations

from datetime import UTC, datetime

from functions._event_handler import Answer, Event, event_handler
from shared.domain.errors import InvalidRequestError
from shared.services.logs.keep_final_log import KeepFinalLog, LogOutcome, decode_log_request
from shared.telemetry import logger
from shared.wiring import wiring

BUDGET = 18.0
"""Seconds after which no further log is begun; one takes up to 10."""


def keep_final_log(event: Event) -> Answer:
    """What could not be fetched yet is reported, so that the queue gives it back later."""
    clock = wiring().clock
    deadline = clock.monotonic() + BUDGET
    failures = []
    for record in event["Records"]:
        if clock.monotonic() >= deadline:
            failures.append({"itemIdentifier": record["messageId"]})
            continue
        try:
            job_id = decode_log_request(record["body"])
        except InvalidRequestError as error:
            logger.warning("message dropped", extra={"reason": error.detail})
            continue
        sent = datetime.fromtimestamp(int(record["attributes"]["SentTimestamp"]) / 1000, UTC)
        if wiring().use(KeepFinalLog).run(job_id, requested_at=sent) is LogOutcome.AGAIN:
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


handler = event_handler(keep_final_log)
