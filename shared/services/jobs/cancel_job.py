"""Cancel: tell the provider, then look; the provider's answer to the cancel itself is no observation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.domain.access import Principal
from shared.domain.change_request import ChangeRequest, RequestedChange
from shared.domain.errors import (
    ConflictError,
    PermissionDeniedError,
    ProviderError,
    ProviderJobNotFoundError,
)
from shared.domain.job import Job
from shared.domain.observation import Observation, not_found
from shared.ports import Clock, Provider
from shared.services.providers.provider_named import provider_named
from shared.services.recording.change_job import ChangeJob
from shared.services.recording.record_observations import RecordObservations

PAUSES_BEFORE_LOOKS = (0.2, 1.3, 3.0)
"""Seconds before each look: three within five seconds."""
LOOK_BUDGET_SECONDS = 5.0
"""No pause begins later than this, so that a request ends within 25 s although each call may take 8."""


def refuse_foreign(principal: Principal, job: Job) -> None:
    """Raises PermissionDeniedError when the principal may not act on this job (T23)."""
    if not principal.may_act_on(job.user_id):
        raise PermissionDeniedError("You may act on your own jobs only; ask the job's owner or an admin.")


@dataclass(frozen=True, kw_only=True)
class CancelJob:
    change_job: ChangeJob
    record_observations: RecordObservations
    clock: Clock
    providers: Mapping[str, Provider]

    def run(self, job: Job, principal: Principal) -> Job:
        """The job as it is afterwards. One that has ended stays as it is, and that is no error.

        Raises PermissionDeniedError, ConflictError (the provider does not know the job, which is not lost yet) and
        ProviderError (it could not be told, and the job still runs).
        """
        refuse_foreign(principal, job)
        if job.status.is_terminal:
            return job
        if job.external_id is None:
            return self._end_ourselves(job)
        try:
            provider_named(self.providers, job.provider).cancel(job.external_id, job.kind)
        except ProviderJobNotFoundError:
            return self._without_remote(job)
        except ProviderError:
            seen = self._look(job, pauses=(0.0,))
            if seen.status.is_terminal:
                return seen
            raise
        self._accept(job)
        return self._look(job)

    def _end_ourselves(self, job: Job) -> Job:
        """A job that was never sent is ours to end (I8); one that was meanwhile is the provider's again."""
        ended = self.change_job.run(ChangeRequest(RequestedChange.END, job.job_id, self.clock.now())) or job
        if not ended.status.is_terminal:
            raise ConflictError("The job has just been sent to its provider; cancel it again.")
        return ended

    def _accept(self, job: Job) -> None:
        """Remember that the provider took the cancel: the job may be deleted from now on."""
        self.change_job.run(ChangeRequest(RequestedChange.MARK_CANCEL, job.job_id, self.clock.now()))

    def _look(self, job: Job, *, pauses: tuple[float, ...] = PAUSES_BEFORE_LOOKS) -> Job:
        """Ask until the end is seen; a look that fails changes nothing, the poller will see it."""
        assert job.external_id is not None
        deadline = self.clock.monotonic() + LOOK_BUDGET_SECONDS
        for pause in pauses:
            if self.clock.monotonic() > deadline:
                break
            self.clock.sleep(pause)
            try:
                seen = provider_named(self.providers, job.provider).get(job.external_id, job.kind).observation
            except ProviderError:
                continue
            job = self._record(job, seen)
            if job.status.is_terminal:
                break
        return job

    def _without_remote(self, job: Job) -> Job:
        """The provider does not know the job: one 404 ends nothing (I31), but a lost job may be let go."""
        if job.is_lost:
            self._accept(job)
            return job
        self._record(job, not_found(job, self.clock.now()))
        raise ConflictError(
            "The provider does not know this job at present; once it has been missed three times, "
            "some minutes apart, it counts as lost and can be deleted."
        )

    def _record(self, job: Job, seen: Observation) -> Job:
        recorded = self.record_observations.run([seen], of={seen.remote_id: job.job_id}, expects_change=False)
        return recorded.jobs.get(job.job_id, job)
