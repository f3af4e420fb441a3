"""GET /api/cloud/jobs: the list, newest first, on wish with its active jobs looked at first."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from functions.http._answers import JobPage
from functions.http._app import lambda_handler_for
from functions.http._job_body import job_body
from functions.http._parameters import Switch, known_provider
from shared.domain.errors import InvalidInputError
from shared.domain.job import Job, JobStatus
from shared.services.jobs.list_jobs import MAX_LIMIT, MAX_OFFSET, JobFilter, ListJobs
from shared.services.polling.refresh_active import RefreshActive
from shared.services.providers.provider_named import provider_named
from shared.wiring import wiring

SYNC_BUDGET_SECONDS = 9.0
"""No look begins later than this, so that a request ends within 25 s although a look may take 15."""
INCOMPLETE_HEADER = "X-Sync-Incomplete"
JOB_TYPES = ("cloud", "local")

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
    """`jobs` (job objects), `total` (exact without filters and for status and provider, else null), `next_cursor`."""
    parts = wiring()
    wanted = JobFilter(
        statuses=_statuses(status), provider=known_provider(provider), job_type=_job_type(job_type), text=q or None
    )
    observed: dict[str, Job] = {}
    if sync_active:
        names = [wanted.provider] if wanted.provider else list(parts.providers)
        observed = _refresh(names, response)
    page = parts.use(ListJobs).run(wanted, limit=limit, offset=offset, cursor=cursor or None, observed=observed)
    now = parts.clock.now()
    return {
        "jobs": [job_body(job, now) for job in page.jobs],
        "total": page.total,
        "next_cursor": page.next_cursor,
    }


def _refresh(names: list[str], response: Response) -> dict[str, Job]:
    """Look at the active jobs within the request's time; what could not be refreshed is told in a header."""
    parts = wiring()
    observed: dict[str, Job] = {}
    left = []
    for name in names:
        result = parts.use(RefreshActive).run(
            provider_named(parts.providers, name), budget_seconds=SYNC_BUDGET_SECONDS / len(names)
        )
        observed |= result.observed
        if not result.is_complete:
            reason = result.error.code if result.error else "out_of_time"
            left.append(f"{name}; unrefreshed={len(result.unseen)}; reason={reason}")
    if left:
        response.headers[INCOMPLETE_HEADER] = ", ".join(left)
    return observed


def _statuses(given: str | None) -> frozenset[JobStatus]:
    if not given:
        return frozenset()
    try:
        return frozenset(JobStatus(word.strip()) for word in given.split(","))
    except ValueError:
        known = ", ".join(status.value for status in JobStatus)
        raise InvalidInputError(f"The parameter status holds an unknown status; known are: {known}.") from None


def _job_type(given: str | None) -> str | None:
    if given and given not in JOB_TYPES:
        raise InvalidInputError(f"The parameter job_type is wrong; known are: {', '.join(JOB_TYPES)}.")
    return given or None


handler = lambda_handler_for(router)
