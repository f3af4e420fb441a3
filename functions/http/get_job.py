"""GET /api/cloud/jobs/{job_id}: one job with its transitions."""

from __future__ import annotations

from fastapi import APIRouter

from functions.http._answers import JobDetails
from functions.http._app import HttpHandler
from functions.http._job_body import job_body
from shared.domain.job import to_iso
from shared.services.jobs.find_job import FindJob
from shared.services.logs.stored_texts import StoredTexts
from shared.wiring import wiring

router = APIRouter()


@router.get("/api/cloud/jobs/{job_id}")
def get_job(job_id: str) -> JobDetails:
    """`job` (the job object, its error in full), `transitions` (status and time, oldest first, the last 20)."""
    parts = wiring()
    job = parts.use(FindJob).run(job_id)
    body = job_body(job, parts.clock.now())
    body["error_message"] = parts.use(StoredTexts).whole_error(job)
    return {
        "job": body,
        "transitions": [{"status": step.status.value, "at": to_iso(step.at)} for step in job.transitions],
    }


handler = HttpHandler(router)
