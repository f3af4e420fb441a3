"""GET /api/cloud/jobs/{job_id}/inline-progress: exactly four fields, since clients know no others."""

from __future__ import annotations

from fastapi import APIRouter

from functions.http._answers import InlineProgress
from functions.http._app import HttpHandler
from shared.progress.progress import Progress
from shared.services.jobs.find_job import FindJob
from shared.services.logs.read_progress import ReadProgress
from shared.wiring import wiring

router = APIRouter()


@router.get("/api/cloud/jobs/{job_id}/inline-progress")
def read_inline_progress(job_id: str) -> InlineProgress:
    """`job_id, stage, last_log` (≤ 80 characters), `progress` (0–100, one decimal); null when the job does not run."""
    parts = wiring()
    job = parts.use(FindJob).run(job_id)
    seen = parts.use(ReadProgress).run(job)
    progress = seen.progress if seen else Progress()
    return {
        "job_id": job.job_id,
        "stage": progress.stage.value if progress.stage else None,
        "last_log": progress.last_log,
        "progress": progress.percent,
    }


handler = HttpHandler(router)
