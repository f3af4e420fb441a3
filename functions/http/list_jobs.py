"""GET /api/cloud/jobs: the list, newest first, on wish with its active jobs looked at first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Response

from functions.http._answers import JobPage
from functions.http._app import HttpHandler
from functions.http._job_body import job_body
from functions.http._parameters import Switch
from shared.domain.errors import InvalidInputError
from shared.domain.job import JobStatus
from shared.services.jobs.list_jobs import MAX_LIMIT, MAX_OFFSET, JobFilter, ListJobs
from shared.services.polling.refresh_active import Refreshed
from shared.services.polling.sync_active import SyncActive
from shared.wiring import wiring

INCOMPLETE_HEADER = "X-Sync-Incomplete"

router = APIRouter()


@router.get("/api/cloud/jobs")
def list_jobs(
    response: Response,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
    status: str | None = None,
    provider: str | None = None,
    job_type: str | None = None,
    q: Annotated[str | None, Query(max_length=200)] = None,
    sync_active: Switch = False,
) -> JobPage:
    """`jobs` (job objects), `total` (exact without filters and for status and provider, else null), `next_cursor`.

    An unknown provider or job type finds nothing: other pages of SimpleTuner ask for theirs.
    """
    parts = wiring()
    wanted = JobFilter(statuses=_statuses(status), provider=provider or None, job_type=job_type or None, text=q or None)
    is_known = wanted.provider is None or wanted.provider in parts.profiles
    refreshed = parts.use(SyncActive).run(wanted.provider) if sync_active and is_known else {}
    _tell_incomplete(refreshed, response)
    observed = {job_id: job for result in refreshed.values() for job_id, job in result.observed.items()}
    page = parts.use(ListJobs).run(wanted, limit=limit, offset=offset, cursor=cursor or None, observed=observed)
    now = parts.clock.now()
    return {
        "jobs": [job_body(job, now) for job in page.jobs],
        "total": page.total,
        "next_cursor": page.next_cursor,
    }


def _tell_incomplete(refreshed: Mapping[str, Refreshed], response: Response) -> None:
    """What could not be refreshed in time is told in a header."""
    left = [
        f"{name}; unrefreshed={len(result.unseen)}; reason={result.error.code if result.error else 'out_of_time'}"
        for name, result in refreshed.items()
        if not result.is_complete
    ]
    if left:
        response.headers[INCOMPLETE_HEADER] = ", ".join(left)


def _statuses(given: str | None) -> frozenset[JobStatus]:
    if not given:
        return frozenset()
    try:
        return frozenset(JobStatus(word.strip()) for word in given.split(","))
    except ValueError:
        known = ", ".join(status.value for status in JobStatus)
        raise InvalidInputError(f"The parameter status holds an unknown status; known are: {known}.") from None


handler = HttpHandler(router)
