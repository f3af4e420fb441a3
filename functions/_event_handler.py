"""The factory for every handler that is not HTTP: schedules, queues, streams, sockets. Loads no FastAPI."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shared.domain.metric import Metric
from shared.telemetry import begin_correlation, flush_metrics, logger, metrics

Event = Mapping[str, Any]
Answer = dict[str, Any]
EventHandler = Callable[[Event, object], Answer]


def unfinished(records: Iterable[Event], is_done: Callable[[Event], bool]) -> Answer:
    """Work on a queue's messages one by one; the queue keeps those that are not done.

    An unhandled error is logged and counted as that of a whole event, and fails its own message alone (I43).
    """
    failures = []
    for record in records:
        try:
            done = is_done(record)
        except Exception:  # noqa: BLE001 - told here as by `event_handler`, which would fail the whole batch
            logger.exception("unhandled error")
            metrics.add_metric(name=Metric.UNHANDLED_ERROR, unit="Count", value=1)
            done = False
        if not done:
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def event_handler(run: Callable[[Event], Answer | None]) -> EventHandler:
    """Wrap a use case: correlation id, metrics, and an answer that is never empty.

    An unhandled error is logged, counted and raised again, so that AWS retries and alarms see it; the local
    emulator is silent about both it and empty answers (AWS-5, AWS-6).
    """

    def handler(event: Event, context: object) -> Answer:
        begin_correlation()
        try:
            return run(event) or {"ok": True}
        except Exception:
            logger.exception("unhandled error")
            metrics.add_metric(name=Metric.UNHANDLED_ERROR, unit="Count", value=1)
            raise
        finally:
            flush_metrics()

    return handler
