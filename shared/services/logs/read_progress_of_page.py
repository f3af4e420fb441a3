"""Progress of all jobs on a page in one answer, with a small budget of calls to their provider."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.job import Job, JobStatus
from shared.ports import Clock, JobStore
from shared.services.logs.read_progress import ReadProgress, StoredProgress

MAX_IDS = 50
CALLS_AN_ANSWER = 8


@dataclass(frozen=True)
class ReadProgressOfPage:
    jobs: JobStore
    read_progress: ReadProgress
    clock: Clock

    def run(self, job_ids: Sequence[str]) -> dict[str, StoredProgress | None]:
        """Each known job with what its log told last; None for one that does not run or was never read.

        Of the running jobs whose reading is older than a few seconds the CALLS_AN_ANSWER oldest are asked for anew,
        all at once; the others wait for the next answer, so that no page with many jobs starves its last ones.
        """
        jobs = self.jobs.get_many(job_ids)
        running = [job for job in jobs.values() if job.status is JobStatus.RUNNING]
        stored = self.read_progress.stored_many([job.job_id for job in running])
        read: dict[str, StoredProgress | None] = dict.fromkeys(jobs)
        read.update(stored)
        due = self._due(running, stored)
        if due:
            with ThreadPoolExecutor(len(due)) as pool:
                asked = [pool.submit(copy_context().run, self.read_progress.read, job) for job in due]
                read.update({job.job_id: answer.result() for job, answer in zip(due, asked, strict=True)})
        return read

    def _due(self, running: Sequence[Job], stored: dict[str, StoredProgress]) -> list[Job]:
        limit = self.clock.now() - timedelta(seconds=self.read_progress.progress_max_age_seconds)
        ages = {job.job_id: stored[job.job_id].updated_at if job.job_id in stored else None for job in running}
        due = [(at, job) for job in running if (at := ages[job.job_id]) is None or at <= limit]
        due.sort(key=lambda pair: (pair[0] is not None, pair[0] or pair[1].created_at))
        return [job for _, job in due[:CALLS_AN_ANSWER]]
