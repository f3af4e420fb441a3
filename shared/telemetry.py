"""JSON logs, correlation ids and metrics (Powertools). Metric names are written here and nowhere else."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_correlation_id: ContextVar[str | None] = ContextVar("correlation_id", default=None)


class Metric(StrEnum):
    SCHEDULER_RAN = "SchedulerRan"
    TICK_RAN = "TickRan"
    JOBS_POLLED = "JobsPolled"
    STATUS_CHANGED = "StatusChanged"
    TERMINAL_CONFLICT = "TerminalConflict"
    UNKNOWN_STATUS = "UnknownStatus"
    PROVIDER_ERROR = "ProviderError"
    PROVIDER_LATENCY = "ProviderLatency"
    WEBHOOK_ACCEPTED = "WebhookAccepted"
    WEBHOOK_DUPLICATE = "WebhookDuplicate"
    WEBHOOK_REJECTED = "WebhookRejected"
    WEBHOOK_KEY_MISSING = "WebhookKeyMissing"
    EVENTS_WRITTEN = "EventsWritten"
    TRANSACTION_RETRY = "TxRetry"
    OBSERVATIONS_QUEUED = "ObservationsQueued"
    PUSH_SENT = "PushSent"
    PUSH_GONE = "PushGone"
    PUSH_FAILED = "PushFailed"
    SSE_HELD_SECONDS = "SseHeldSeconds"
    UNHANDLED_ERROR = "UnhandledError"


logger = Logger(use_rfc3339=True)
metrics = Metrics(namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE") or "SimpleTunerCloud")


def begin_correlation(given: str | None = None) -> str:
    """Take a correlation id from the request if it is harmless, else make one; logs and provider calls carry it."""
    correlation_id = given if given and _CORRELATION_ID.fullmatch(given) else secrets.token_hex(16)
    _correlation_id.set(correlation_id)
    logger.set_correlation_id(correlation_id)
    return correlation_id


def correlation_id() -> str | None:
    return _correlation_id.get()


def flush_metrics() -> None:
    """Write what was counted since the last flush as one EMF line; nothing counted, nothing written."""
    if metrics.metric_set:
        metrics.flush_metrics()


class PowertoolsTelemetry:
    """`ports.Telemetry` over Powertools."""

    def count(self, metric: str, value: float = 1) -> None:
        metrics.add_metric(name=metric, unit=MetricUnit.Count, value=value)

    def info(self, message: str, **fields: object) -> None:
        logger.info(message, extra=fields)

    def warning(self, message: str, **fields: object) -> None:
        logger.warning(message, extra=fields)

    @contextmanager
    def timed(self, metric: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            milliseconds = (time.perf_counter() - started) * 1000
            metrics.add_metric(name=metric, unit=MetricUnit.Milliseconds, value=milliseconds)
