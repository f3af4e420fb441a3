"""The factory for every handler that is not HTTP: schedules, queues, streams, sockets. Loads no FastAPI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shared.domain.metric import Metric
from shared.telemetry import begin_correlation, flush_metrics, logger, metrics

Event = Mapping[str, Any]
Answer = dict[str, Any]
EventHandler = Callable[[Event, object], Answer]


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
