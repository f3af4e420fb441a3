"""GET /api/cloud/jobs/{job_id}/progress: all that a job's log tells; GET /api/cloud/progress: a whole page at once."""

from __future__ import annotations

from fastapi import APIRouter

from functions.http._answers import JobProgress, PageProgress, ProgressBrief
from functions.http._app import HttpHandler
from shared.domain.errors import InvalidInputError
from shared.domain.job import JOB_ID_PATTERN, JobStatus, to_iso
from shared.progress import history_pace
from shared.progress.progress import Progress
from shared.services.jobs.find_job import FindJob
from shared.services.logs.read_progress import ReadProgress
from shared.services.logs.read_progress_of_page import MAX_IDS, ReadProgressOfPage
from shared.services.logs.stored_texts import StoredProgress, StoredTexts
from shared.wiring import wiring

router = APIRouter()


@router.get("/api/cloud/jobs/{job_id}/progress")
def read_job_progress(job_id: str) -> JobProgress:
    """Progress in percent, times in seconds; `history[]{t, step, loss}` with at most 500 points.

    A job that does not run has no stage and no ETA; what its log told last stays.
    """
    parts = wiring()
    job = parts.use(FindJob).run(job_id)
    is_running = job.status is JobStatus.RUNNING
    seen = (parts.use(ReadProgress).run(job) if is_running else None) or parts.use(StoredTexts).progress(job.job_id)
    progress = seen.progress if seen else Progress()
    history = seen.history if seen else ()
    return {
        "job_id": job.job_id,
        "stage": progress.stage.value if progress.stage and is_running else None,
        "last_log": progress.last_log,
        "progress": progress.percent,
        "step": progress.step,
        "total_steps": progress.total_steps,
        "epoch": progress.epoch,
        "total_epochs": progress.total_epochs,
        "loss": progress.loss,
        "learning_rate": progress.learning_rate,
        "eta_seconds": _eta(seen) if is_running else None,
        "steps_per_second": progress.steps_per_second or history_pace(history),
        "updated_at": to_iso(seen.updated_at) if seen else None,
        "history": [{"t": point.t, "step": point.step, "loss": point.loss} for point in history],
    }


@router.get("/api/cloud/progress")
def read_page_progress(ids: str = "") -> PageProgress:
    """`progress{job_id: {stage, last_log, progress, eta_seconds, updated_at}}` of up to 50 jobs by their full ids.

    Unknown ids are left out; all five are null for a job that does not run.
    """
    wanted = list(dict.fromkeys(part.strip() for part in ids.split(",") if part.strip()))
    if len(wanted) > MAX_IDS or not all(JOB_ID_PATTERN.fullmatch(job_id) for job_id in wanted):
        raise InvalidInputError(f"The parameter ids takes up to {MAX_IDS} job ids, separated by commas.")
    return {"progress": {job_id: _brief(seen) for job_id, seen in wiring().use(ReadProgressOfPage).run(wanted).items()}}


def _brief(seen: StoredProgress | None) -> ProgressBrief:
    progress = seen.progress if seen else Progress()
    return {
        "stage": progress.stage.value if progress.stage else None,
        "last_log": progress.last_log,
        "progress": progress.percent,
        "eta_seconds": _eta(seen),
        "updated_at": to_iso(seen.updated_at) if seen else None,
    }


def _eta(seen: StoredProgress | None) -> float | None:
    """What the log shows, else what the measured pace gives."""
    if seen is None:
        return None
    progress = seen.progress
    if progress.eta_seconds is not None or progress.step is None or progress.total_steps is None:
        return progress.eta_seconds
    pace = history_pace(seen.history)
    return round(max(0, progress.total_steps - progress.step) / pace, 1) if pace else None


handler = HttpHandler(router)
