"""The job object of the wire contract."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from functions.http._answers import JobObject
from shared.domain.job import Job, to_iso


def job_body(job: Job, now: datetime) -> JobObject:
    """The job object of docs/contract.md: costs in US dollars, durations in seconds, times ISO 8601 UTC."""
    metadata: dict[str, object] = {
        **job.metadata,
        "prediction_id": job.external_id,
        "provider_status": job.provider_status,
        "lost": job.is_lost,
        "kind": job.kind,
    }
    if job.model:
        metadata["model"] = job.model
    if job.is_cost_estimated:
        metadata["cost_estimated"] = True
    completed_at = _iso(job.completed_at)
    body: JobObject = {
        "job_id": job.job_id,
        "job_type": job.job_type,
        "provider": job.provider,
        "status": job.status.value,
        "config_name": job.config_name,
        "created_at": to_iso(job.created_at),
        "started_at": _iso(job.started_at),
        "completed_at": completed_at,
        "finished_at": completed_at,
        "cost_usd": as_number(job.cost_at(now)),
        "hardware_type": job.hardware_type,
        "error_message": job.error_message,
        "output_url": job.output_url,
        "user_id": job.user_id,
        "metadata": metadata,
        "is_terminal": job.status.is_terminal,
        "is_active": job.status.is_active,
        "duration_seconds": job.duration_seconds(now),
    }
    if job.queued_at is not None and job.started_at is None and job.status.is_active:
        body["queued_at"] = to_iso(job.queued_at)
    return body


def as_number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else to_iso(moment)
