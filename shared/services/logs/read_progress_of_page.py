"""Progress of all jobs on a page in one answer, with a small budget of calls to their provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime

from shared.domain.job import Job, JobStatus
from shared.ports import JobStore
from shared.services.logs.read_progress import ReadProgress
from shared.services.logs.stored_texts import StoredProgress, StoredTexts

MAX_IDS = 50
CALLS_AN_ANSWER = 8


@dataclass(frozen=True)
class ReadProgressOfPage:
    jobs: JobStore
    stored_texts: StoredTexts
    read_progress: ReadProgress

    def run(self, job_ids: Sequence[str]) -> dict[str, StoredProgress | None]:
        """Each known job with what its log told last; None for one that does not run or was never read.

        Of the running jobs whose reading is older than a few seconds the CALLS_AN_ANSWER oldest are asked for anew,
        all at once; the others wait for the next answer, so that no page with many jobs starves its last ones.
        """
        jobs = self.jobs.get_many(job_ids)
        running = [job for job in jobs.values() if job.status is JobStatus.RUNNING]
        stored = self.stored_texts.progress_of([job.job_id for job in running])
        read: dict[str, StoredProgress | None] = {**dict.fromkeys(jobs), **stored}
        due = self._due(running, stored)
        if due:
            with ThreadPoolExecutor(len(due)) as pool:
                refreshed = self.read_progress.refreshed
                asked = [pool.submit(copy_context().run, refreshed, job, stored.get(job.job_id)) for job in due]
                read.update({job.job_id: answer.result() for job, answer in zip(due, asked, strict=True)})
        return read

    def _due(self, running: Sequence[Job], stored: Mapping[str, StoredProgress]) -> list[Job]:
        """Never read ones first, the longest unread next."""
        asked = self.read_progress
        due = [job for job in running if asked.can_be_asked_for(job) and asked.is_due(stored.get(job.job_id))]
        due.sort(key=lambda job: (job.job_id in stored, _age_key(job, stored)))
        return due[:CALLS_AN_ANSWER]


def _age_key(job: Job, stored: Mapping[str, StoredProgress]) -> datetime:
    seen = stored.get(job.job_id)
    return seen.updated_at if seen else job.created_at
