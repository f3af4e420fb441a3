"""GET /api/cloud/jobs/{job_id}: one job with its transitions."""

from __future__ import annotations

from fastapi import APIRouter

from functions.http._app import lambda_handler_for
from shared.domain.job import to_iso
from shared.services.find_job import find_job
from shared.services.present_job import job_body
from shared.wiring import wiring

router = APIRouter()


@router.get("/api/cloud/jobs/{job_id}")
def get_job(job_id: str) -> dict[str, object]:
    """`job` (the job object), `transitions` (status and time, oldest first, the last 20)."""
    parts = wiring()
    job = find_job(parts.jobs, job_id)
    return {
        "job": job_body(job, parts.clock.now()),
        "transitions": [{"status": step.status.value, "at": to_iso(step.at)} for step in job.transitions],
    }


handler = lambda_handler_for(router)
