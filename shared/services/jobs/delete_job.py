"""Delete a job: the row goes, a tombstone and an event stay, so that no sync brings it back (docs/design.md)."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.access import Principal
from shared.domain.change_request import ChangeRequest, RequestedChange
from shared.domain.errors import JobNotTerminalError
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
        refuse_foreign(principal, job)
        kept = self.change_job.run(ChangeRequest(RequestedChange.DELETE, job.job_id, self.clock.now()))
        if kept is not None:
            raise JobNotTerminalError(f"The job is {kept.status.value}; cancel it first, then delete it.")
        self.stored_texts.forget(job.job_id)
