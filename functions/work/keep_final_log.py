"""From the queue of final logs: fetch an ended job's whole log, and keep it."""

from __future__ import annotations

from datetime import UTC, datetime

from functions._event_handler import Answer, Event, event_handler, unfinished
from shared.domain.errors import InvalidRequestError, StoreUnavailableError
from shared.services.logs.keep_final_log import KeepFinalLog, decode_log_request
from shared.telemetry import logger
from shared.wiring import wiring

BUDGET = 18.0
"""Seconds after which no further log is begun; one takes up to 10."""
POISON_SECONDS = 5
"""A message that is none of ours is soon among the dead letters, not after a hundred of the queue's own pauses."""


def keep_final_log(event: Event) -> Answer:
    """What could not be fetched yet is reported, so that the queue gives it back when it is to be tried again.

    Given back and not sent anew, because AWS ends a message that a function sends to itself after 16 times (AWS-15).
    """
    deadline = wiring().clock.monotonic() + BUDGET

    def is_done(record: Event) -> bool:
        if wiring().clock.monotonic() >= deadline:
            return False
        again = _seconds_until_next_look(record)
        if again is None:
            return True
        try:
            wiring().final_logs_queue.postpone([record["receiptHandle"]], again)
        except StoreUnavailableError as error:
            logger.warning("message not postponed", extra={"reason": error.detail})
        return False

    return unfinished(event["Records"], is_done)


def _seconds_until_next_look(record: Event) -> float | None:
    """None: there is no need of one."""
    try:
        job_id = decode_log_request(record["body"])
    except InvalidRequestError as error:
        logger.warning("message refused", extra={"reason": error.detail})
        return POISON_SECONDS
    sent = datetime.fromtimestamp(int(record["attributes"]["SentTimestamp"]) / 1000, UTC)
    again = wiring().use(KeepFinalLog).run(job_id, requested_at=sent)
    return None if again is None else again.total_seconds()


handler = event_handler(keep_final_log)
