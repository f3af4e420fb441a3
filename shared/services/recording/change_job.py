"""One deliberate change of one job; while others are in the way it is left to the committer, as observations are."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.change_request import ChangeRequest
from shared.domain.errors import JobNotFoundError, StoreUnavailableError
from shared.domain.job import Job
from shared.domain.metric import Metric
from shared.ports import Telemetry, WorkQueue
from shared.services.recording.commit_changes import OWN_TRIES, CommitChanges
from shared.services.recording.messages import encode_message


@dataclass(frozen=True, kw_only=True)
class ChangeJob:
    commit_changes: CommitChanges
    observations_queue: WorkQueue
    telemetry: Telemetry

    def run(self, request: ChangeRequest) -> Job | None:
        """The job as it is afterwards, or will be in a moment; None when it is deleted.

        It is as before where its state does not allow what is wanted. Raises JobNotFoundError (deleted meanwhile),
        StoreUnavailableError (the store could not be read, or the queue took nothing).
        """
        committed = self.commit_changes.run([request], tries=OWN_TRIES)
        [decision] = [*committed.done, *committed.left]
        if committed.left:
            if decision.change is None:
                raise StoreUnavailableError("The job store is busy; try again in a moment.")
            self.observations_queue.send([encode_message(request)])
            self.telemetry.count(Metric.REQUESTS_QUEUED)
        elif decision.change is None and decision.job is None:
            raise JobNotFoundError(f"No job has the id {request.job_id}; it was deleted meanwhile.")
        return decision.job
