"""Delete a job: the row goes, a tombstone and an event stay, so that no sync brings it back (docs/design.md)."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.access import Principal
from shared.domain.change import JobChange
from shared.domain.errors import JobNotTerminalError
from shared.domain.event import deletion_event
from shared.domain.job import Job
from shared.ports import Clock
from shared.services.jobs.cancel_job import refuse_foreign
from shared.services.logs.stored_texts import StoredTexts
from shared.services.recording.change_job import ChangeJob


@dataclass(frozen=True)
class DeleteJob:
    change_job: ChangeJob
    stored_texts: StoredTexts
    clock: Clock

    def run(self, job: Job, principal: Principal) -> None:
        """Delete a job that has ended, whose cancel was accepted, or that is lost, with all its texts.

        Raises JobNotTerminalError, PermissionDeniedError, JobNotFoundError (deleted meanwhile).
        """

        def decide(stored: Job) -> JobChange:
            refuse_foreign(principal, stored)
            if stored.status.is_active and stored.cancel_requested_at is None and not stored.is_lost:
                raise JobNotTerminalError(f"The job is {stored.status.value}; cancel it first, then delete it.")
            return JobChange(before=stored, after=None, events=(deletion_event(stored, self.clock.now()),))

        self.change_job.run(job.job_id, decide)
        self.stored_texts.forget(job.job_id)
