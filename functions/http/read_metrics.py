"""GET /api/metrics and /api/cloud/metrics: cost and jobs of the last days; …/prometheus: the same for a scraper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Response

from functions.http._answers import MetricsAnswer
from functions.http._app import HttpHandler
from shared.services.costs.read_metrics import MAX_DAYS, ReadMetrics, counts_by_status
from shared.services.health.check_health import CheckHealth
from shared.wiring import wiring

router = APIRouter()


@router.get("/api/metrics")
@router.get("/api/cloud/metrics")
def read_metrics(days: Annotated[int, Query(ge=1, le=MAX_DAYS)] = 30, provider: str | None = None) -> MetricsAnswer:
    """Costs in US dollars, what running jobs have cost so far included; `credit_balance` null: it is not published."""
    parts = wiring()
    metrics = parts.use(ReadMetrics).read(days=days, provider=provider or None)
    return {
        "total_cost": float(metrics.total_cost),
        "job_count": metrics.job_count,
        "avg_job_duration_seconds": metrics.average_seconds,
        "jobs_by_status": {status.value: number for status, number in metrics.by_status.items()},
        "credit_balance": None,
        "estimated_jobs_remaining": None,
        "cost_by_day": [
            {"date": day.day.isoformat(), "cost": float(day.cost), "jobs": day.jobs} for day in metrics.by_day
        ],
        "period_days": days,
    }


@router.get("/api/metrics/prometheus", response_class=Response)
@router.get("/api/cloud/metrics/prometheus", response_class=Response)
def read_prometheus() -> Response:
    """Prometheus' text format, version 0.0.4.

    SimpleTuner's page looks at no labels and takes the last sample of a name: what has labels has a name of its own.
    """
    parts = wiring()
    health = parts.use(CheckHealth)
    head = parts.events.head()
    metrics = parts.use(ReadMetrics).read(days=MAX_DAYS)
    by_status = counts_by_status(head)
    by_provider = {name: head.count(provider=name) for name in parts.profiles}
    active = sum(number for status, number in by_status.items() if status.is_active)
    lines = [
        *_metric("simpletuner_uptime_seconds", "gauge", "Seconds since this function began to answer."),
        f"simpletuner_uptime_seconds {health.uptime_seconds():.1f}",
        *_metric("simpletuner_cloud_jobs_total", "gauge", "Jobs that are stored."),
        f"simpletuner_cloud_jobs_total {sum(by_status.values())}",
        *_metric("simpletuner_cloud_jobs_by_status", "gauge", "Jobs that are stored, by status."),
        *_labelled(
            "simpletuner_cloud_jobs_by_status", "status", {str(status): count for status, count in by_status.items()}
        ),
        *_metric("simpletuner_cloud_jobs_by_provider", "gauge", "Jobs that are stored, by provider."),
        *_labelled("simpletuner_cloud_jobs_by_provider", "provider", by_provider),
        *_metric("simpletuner_cloud_jobs_active", "gauge", "Jobs that have not ended."),
        f"simpletuner_cloud_jobs_active {active}",
        *_metric("simpletuner_cloud_cost_total_usd", "gauge", "Cost of the last 365 days, running jobs included."),
        f"simpletuner_cloud_cost_total_usd {metrics.total_cost:f}",
        *_metric("simpletuner_cloud_events_total", "counter", "Changes in the event log of this epoch."),
        f"simpletuner_cloud_events_total {head.seq}",
    ]
    if metrics.average_seconds is not None:
        lines += _metric("simpletuner_cloud_job_duration_seconds_average", "gauge", "Mean duration of ended jobs.")
        lines.append(f"simpletuner_cloud_job_duration_seconds_average {metrics.average_seconds:.1f}")
    age = health.schedule_age()
    if age is not None:
        lines += _metric("simpletuner_cloud_schedule_age_seconds", "gauge", "Seconds since the schedule last ran.")
        lines.append(f"simpletuner_cloud_schedule_age_seconds {age:.1f}")
    if ages := health.tick_ages():
        lines += _metric("simpletuner_cloud_tick_age_seconds", "gauge", "The greatest of the providers' tick ages.")
        lines.append(f"simpletuner_cloud_tick_age_seconds {max(ages.values()):.1f}")
        name, meaning = "simpletuner_cloud_provider_tick_age_seconds", "Seconds since a provider was last polled."
        lines += _metric(name, "gauge", meaning)
        lines += _labelled(name, "provider", {provider: f"{age:.1f}" for provider, age in ages.items()})
    return Response("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4; charset=utf-8")


def _metric(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]


def _labelled(name: str, label: str, values: Mapping[str, object]) -> list[str]:
    return [f'{name}{{{label}="{key}"}} {value}' for key, value in values.items()]


handler = HttpHandler(router)
