"""One deliberate change of one job, decided anew on what is stored whenever another writer was first."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from shared.domain.change import JobChange
from shared.domain.errors import JobNotFoundError, StaleWrite, StoreUnavailableError
from shared.domain.job import Job
from shared.ports import Clock, JobStore

TRIES = 8

Decide = Callable[[Job], JobChange | None]
"""What becomes of the job as it is stored at this moment; None: nothing."""


@dataclass(frozen=True)
class ChangeJob:
    jobs: JobStore
    clock: Clock

    def run(self, job_id: str, decide: Decide) -> Job | None:
        """The job afterwards, None when it was deleted.

        Raises JobNotFoundError (gone meanwhile), StoreUnavailableError (others were first every time), and whatever
        `decide` raises.
        """
        for attempt in range(TRIES):
            if attempt:
                self.clock.sleep(random.uniform(0.02, 0.15))
            snapshot = self.jobs.snapshot(job_ids=[job_id])
            job = snapshot.jobs.get(job_id)
            if job is None:
                raise JobNotFoundError(f"No job has the id {job_id}; it was deleted meanwhile.")
            change = decide(job)
            if change is None:
                return job
            try:
                self.jobs.commit([change], head=snapshot.head, at=self.clock.now())
            except StaleWrite:
                continue
            return change.after
        raise StoreUnavailableError("The job store is busy; try again in a moment.")
