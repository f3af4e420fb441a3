"""A job by its id, or by a unique prefix of it: tables of SimpleTuner's CLI cut ids to 12 characters."""

from __future__ import annotations

from shared.domain.errors import AmbiguousJobIdError, JobNotFoundError
from shared.domain.job import JOB_ID_PATTERN, MIN_PREFIX_LENGTH, Job
from shared.ports import JobStore


def find_job(jobs: JobStore, given: str) -> Job:
    """One read when the id is whole; the prefix index is asked only when that missed.

    Raises JobNotFoundError (unknown or malformed), AmbiguousJobIdError (two jobs begin so).
    """
    if not JOB_ID_PATTERN.fullmatch(given):
        raise JobNotFoundError("This is not a job id; job ids hold letters, digits, - and _ only.")
    job = jobs.get(given)
    if job is None and len(given) >= MIN_PREFIX_LENGTH:
        matches = jobs.ids_with_prefix(given, 2)
        if len(matches) > 1:
            raise AmbiguousJobIdError(f"More than one job id begins with {given}; give more of its characters.")
        job = jobs.get(matches[0]) if matches else None
    if job is None:
        raise JobNotFoundError(f"No job has the id {given}; list the jobs to see which there are.")
    return job
