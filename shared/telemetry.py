"""JSON logs, correlation ids and metrics (Powertools). The metrics are those of shared/domain/metric.py."""

from __future__ import annotations

import os
import re
import secrets
from contextvars import ContextVar

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from shared.domain.metric import Metric

_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_correlation_id: ContextVar[str | None] = ContextVar("correlation_id", default=None)


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

    def count(self, metric: Metric, value: float = 1) -> None:
        metrics.add_metric(name=metric, unit=MetricUnit.Count, value=value)

    def info(self, message: str, **fields: object) -> None:
        logger.info(message, extra=fields)

    def warning(self, message: str, **fields: object) -> None:
        logger.warning(message, extra=fields)
