"""GET /api/cloud/jobs/{job_id}/logs: the log, whole or from a byte on; …/logs/stream: one slice of it as events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from functions.http._answers import LogAnswer
from functions.http._app import HttpHandler
from shared.services.jobs.find_job import FindJob
from shared.services.logs.read_log import MAX_ANSWER_BYTES, ReadLog
from shared.wiring import wiring

GOES_ON = "The job is still running; follow its log with: simpletuner cloud jobs logs --follow"
TOO_LONG = "The log goes on; read the rest with: simpletuner cloud jobs logs"

router = APIRouter()


@router.get("/api/cloud/jobs/{job_id}/logs")
def read_logs(job_id: str, after: Annotated[int, Query(ge=0, le=2**40)] = 0) -> LogAnswer:
    """`job_id`, `logs` (from byte `after` on), `next` (the byte to ask for next)."""
    parts = wiring()
    job = parts.use(FindJob).run(job_id)
    found = parts.use(ReadLog).run(job, after=after)
    return {"job_id": job.job_id, "logs": found.text, "next": found.next}


@router.get("/api/cloud/jobs/{job_id}/logs/stream", response_class=Response)
def stream_logs(job_id: str) -> Response:
    """`data: <line>` for each line so far, then `event: done` with the final status, or `stream_end` while it runs."""
    parts = wiring()
    job = parts.use(FindJob).run(job_id)
    text = parts.use(ReadLog).run(job).text
    frames: list[str] = []
    size = 0
    for line in text.removesuffix("\n").split("\n") if text else []:
        size += len(line.encode()) + 8
        if size > MAX_ANSWER_BYTES:
            frames.append(f"data: {TOO_LONG} {job.job_id}\n\n")
            break
        frames.append(f"data: {line}\n\n")
    if job.status.is_terminal:
        frames.append(f"event: done\ndata: {job.status.value}\n\n")
    else:
        frames.append(f"data: {GOES_ON} {job.job_id}\n\nevent: done\ndata: stream_end\n\n")
    return Response("".join(frames), media_type="text/event-stream")


handler = HttpHandler(router)
