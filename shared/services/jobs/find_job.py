"""A job by its id, or by a unique prefix of it: tables of SimpleTuner's CLI cut ids to 12 characters."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.errors import AmbiguousJobIdError, JobNotFoundError
from shared.domain.job import JOB_ID_PATTERN, MIN_PREFIX_LENGTH, Job
from shared.ports import JobStore


@dataclass(frozen=True)
class FindJob:
    jobs: JobStore

    def run(self, given: str) -> Job:
        """One read when the id is whole; the prefix index is asked only when that missed.

        Raises JobNotFoundError (unknown or malformed), AmbiguousJobIdError (two jobs begin so).
        """
        if not JOB_ID_PATTERN.fullmatch(given):
            raise JobNotFoundError("This is not a job id; job ids hold letters, digits, - and _ only.")
        job = self.jobs.get(given)
        if job is None and len(given) >= MIN_PREFIX_LENGTH:
            matches = self.jobs.ids_with_prefix(given, 2)
            if len(matches) > 1:
                raise AmbiguousJobIdError(f"More than one job id begins with {given}; give more of its characters.")
            job = self.jobs.get(matches[0]) if matches else None
        if job is None:
            raise JobNotFoundError(f"No job has the id {given}; list the jobs to see which there are.")
        return job
