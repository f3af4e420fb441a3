"""Builders of domain values: a test names only what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from shared.adapters.providers.replicate.profile import PREDICTION, hardware_of_model
from shared.domain.job import Job, JobStatus, Transition
from shared.domain.observation import Observation
from shared.domain.pricing import Hardware

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
H100 = Hardware("h100", "H100", "H100", Decimal("0.001525"))
PROVIDER_WORDS = {
    JobStatus.QUEUED: "starting",
    JobStatus.RUNNING: "processing",
    JobStatus.COMPLETED: "succeeded",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "canceled",
}


def after(seconds: float) -> datetime:
    """A moment so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def a_job(job_id: str = "abc123def456ghij", status: JobStatus = JobStatus.QUEUED, **fields: Any) -> Job:
    """A job found at the provider, whose status began at noon."""
    values: dict[str, Any] = {
        "job_id": job_id,
        "external_id": job_id,
        "provider": "replicate",
        "kind": PREDICTION,
        "status": status,
        "created_at": NOON,
        "hardware_type": "H100",
        "price_per_second": H100.price_per_second,
        "transitions": (Transition(status, NOON),),
    }
    return Job(**(values | fields))


def an_observation(
    external_id: str = "abc123def456ghij", status: JobStatus | None = JobStatus.RUNNING, **fields: Any
) -> Observation:
    """What a provider's answer tells of a job in this status, with the fields it usually has by then."""
    values: dict[str, Any] = {
        "provider": "replicate",
        "external_id": external_id,
        "kind": PREDICTION,
        "observed_at": after(1000),
        "status": status,
        "hardware": hardware_of_model(fields.get("model")),
        "provider_status": PROVIDER_WORDS.get(status, "rebooting") if status else "rebooting",
        "created_at": NOON,
    }
    if status in (JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED):
        values["started_at"] = after(60)
    if status is not None and status.is_terminal:
        values |= {"completed_at": after(600), "billed_seconds": Decimal(540)}
    if status is JobStatus.FAILED:
        values["error"] = "CUDA out of memory"
    return Observation(**(values | fields))


def queue_records(bodies: Sequence[str], *, times: int = 1) -> list[dict[str, Any]]:
    """A batch of a queue as Lambda is handed it, each message for the `times`th time."""
    return [
        {
            "messageId": str(place),
            "receiptHandle": f"receipt {place}",
            "body": body,
            "attributes": {"ApproximateReceiveCount": str(times)},
        }
        for place, body in enumerate(bodies)
    ]
