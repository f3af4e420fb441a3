"""POST /api/cloud/jobs/{job_id}/cancel: tell the provider to stop, then look what became of the job."""

from __future__ import annotations

from fastapi import APIRouter

from functions.http._access import Operator
from functions.http._answers import JobCancelled
from functions.http._app import HttpHandler
from shared.services.jobs.cancel_job import CancelJob
from shared.services.jobs.find_job import FindJob
from shared.wiring import wiring

router = APIRouter()


@router.post("/api/cloud/jobs/{job_id}/cancel")
def cancel_job(job_id: str, caller: Operator) -> JobCancelled:
    """`success`, `job_id`, `status`; 200 also for a job that has ended meanwhile, with the status it has."""
    parts = wiring()
    job = parts.use(CancelJob).run(parts.use(FindJob).run(job_id), caller)
    return {"success": True, "job_id": job.job_id, "status": job.status.value}


handler = HttpHandler(router)
