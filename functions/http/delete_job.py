"""DELETE /api/cloud/jobs/{job_id}: forget a job that has ended; no sync brings it back."""

from __future__ import annotations

from fastapi import APIRouter

from functions.http._access import Operator
from functions.http._answers import JobDeleted
from functions.http._app import HttpHandler
from shared.services.jobs.delete_job import DeleteJob
from shared.services.jobs.find_job import FindJob
from shared.wiring import wiring

router = APIRouter()


@router.delete("/api/cloud/jobs/{job_id}")
def delete_job(job_id: str, caller: Operator) -> JobDeleted:
    """`success`, `job_id`; 400 while the job is active, unless its cancel was accepted or it is lost."""
    parts = wiring()
    job = parts.use(FindJob).run(job_id)
    parts.use(DeleteJob).run(job, caller)
    return {"success": True, "job_id": job.job_id}


handler = HttpHandler(router)
