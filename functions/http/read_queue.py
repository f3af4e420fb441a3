"""GET /api/queue and /api/queue/stats: what waits and what runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from functions.http._answers import QueueAnswer, QueueEntryObject, QueueStatistics
from functions.http._app import HttpHandler
from shared.domain.job import to_iso
from shared.services.jobs.read_queue import QueueEntry, ReadQueue
from shared.wiring import wiring

MAX_LIMIT = 500

router = APIRouter()


@router.get("/api/queue")
def list_queue(status: str | None = None, limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50) -> QueueAnswer:
    """`entries`, the waiting ones first; a status that no entry can have answers an empty list."""
    return {"entries": [_body(entry) for entry in wiring().use(ReadQueue).entries(status or None, limit=limit)]}


@router.get("/api/queue/stats")
def read_queue_stats() -> QueueStatistics:
    stats = wiring().use(ReadQueue).stats()
    limits = stats.limits
    by_status = {status.value: number for status, number in stats.by_status.items()}
    return {
        "queue_depth": stats.depth,
        "running": by_status["running"],
        "by_status": by_status,
        "avg_wait_seconds": stats.avg_wait_seconds,
        "max_concurrent": limits.max_concurrent,
        "user_max_concurrent": limits.user_max_concurrent,
        "team_max_concurrent": limits.team_max_concurrent,
        "enable_fair_share": limits.enable_fair_share,
        "local": None,
        "workers": None,
    }


def _body(entry: QueueEntry) -> QueueEntryObject:
    job = entry.job
    return {
        "job_id": job.job_id,
        "user_id": job.user_id,
        "config_name": job.config_name,
        "status": job.status.value,
        "provider": job.provider,
        "position": entry.position,
        "queued_at": to_iso(job.queued_at or job.created_at),
        "estimated_cost": float(entry.estimated_cost),
        "priority_name": "normal",
    }


handler = HttpHandler(router)
