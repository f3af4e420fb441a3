"""Look at every active job of a provider, and record what is seen while the next ones are looked at."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.change import Claim, RemoteId, Snapshot
from shared.domain.errors import ProviderError, StoreUnavailableError
from shared.domain.job import Job
from shared.domain.metric import Metric
from shared.domain.observation import Observation, is_too_soon
from shared.ports import Clock, EventLog, JobStore, Provider, Telemetry
from shared.services.polling.resume_point import ListCursor, ResumePoint, SinglesCursor, left_to_do
from shared.services.polling.walk_round import Round
from shared.services.polling.write_behind import write_behind
from shared.services.recording.record_observations import RecordObservations

RECORD_EVERY = 190
"""Observations recorded together: two full transactions of known jobs, written while the next pages are read."""
BATCHES_AHEAD = 2
"""How far looking may run ahead of recording, so that a round's time stays bounded by what is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """What a part of a round came to: how many jobs were `looked_at`, the external ids that were not (`unseen`).

    `observed` are the jobs that are not as the index shows them, by job id. `error` is why some were not looked at,
    `failed` the ids whose own request failed, `resume` where to go on, None when the round has ended.
    `answered_seconds` is how long the provider took for what it answered.
    """

    looked_at: int
    unseen: frozenset[str]
    observed: Mapping[str, Job]
    failed: tuple[str, ...] = ()
    resume: ResumePoint | None = None
    error: ProviderError | None = None
    answered_seconds: float = 0

    @property
    def is_complete(self) -> bool:
        return not self.unseen and self.error is None


@dataclass(frozen=True, kw_only=True)
class RefreshActive:
    """One round over the active jobs. A job that is queued here and not yet known to the provider is not asked for.

    What is seen is decided on the jobs as the index shows them, so that no job is read which is as it was. The index
    may lag (AWS-24), and that loses nothing: a change is written over the very version that it was decided on, and
    decided anew otherwise; what changes nothing in an older state changes nothing in a newer one, because statuses and
    facts only grow. (But a 404 or an unknown word of the last moments; those the next look clears.)
    """

    jobs: JobStore
    events: EventLog
    record_observations: RecordObservations
    clock: Clock
    telemetry: Telemetry

    def run(
        self,
        provider: Provider,
        *,
        budget_seconds: float,
        resume: ResumePoint | None = None,
        failed: Collection[str] = (),
    ) -> Refreshed:
        """Look at every active job that `resume` leaves to do (None: at all), until the time is used up.

        At the end of the round those are asked for once more whose own request failed, in this part or in an earlier
        one (`failed`, external ids).
        No call begins after `budget_seconds`. A failing job or list never stops another; a provider that throttles,
        refuses the token or is down ends the round with what was read recorded (I28, I29). Raises
        StoreUnavailableError when some of it could not be.
        """
        deadline, now = self.clock.monotonic() + budget_seconds, self.clock.now()
        kinds = provider.profile.kinds
        if isinstance(resume, ListCursor) and resume.kind not in kinds:
            resume = None
        active = [job for job in self.jobs.active(provider.profile.name) if _is_due(job, now)]
        left = left_to_do(active, resume, kinds)
        lists_again = isinstance(resume, SinglesCursor) and resume.have_lists_failed
        kinds_again = {job.kind for job in left} if lists_again else set()
        ids_left = {str(job.external_id) for job in left}
        looked_for = [
            job for job in active if job.external_id in ids_left or job.external_id in failed or job.kind in kinds_again
        ]
        indexed = {RemoteId(job.provider, job.external_id): job for job in looked_for if job.external_id}
        missing = {key.external_id: job for key, job in indexed.items()}
        round_ = Round(
            provider, self.clock, deadline, missing, ids_left, failed=[key for key in failed if key in missing]
        )
        of = {remote_id: job.job_id for remote_id, job in indexed.items()}
        shown = {job.job_id: job for job in looked_for}
        observed: dict[str, Job] = {}

        def record(batch: Sequence[Observation]) -> None:
            recorded = self.record_observations.run(batch, of=of, snapshot=self._as_indexed(batch, indexed))
            observed.update((job_id, job) for job_id, job in recorded.jobs.items() if job != shown.get(job_id))

        write_behind(round_.observations(resume), record, size=RECORD_EVERY, ahead=BATCHES_AHEAD)
        looked_at = len(indexed) - len(round_.missing)
        self.telemetry.count(Metric.JOBS_POLLED, looked_at)
        if round_.error is not None:
            self.telemetry.count(Metric.PROVIDER_ERROR)
            self.telemetry.warning("refresh incomplete", provider=provider.profile.name, reason=round_.error.detail)
        return Refreshed(
            looked_at=looked_at,
            unseen=frozenset(round_.missing),
            observed=observed,
            failed=tuple(round_.failed),
            resume=round_.resume,
            error=round_.error,
            answered_seconds=round_.answered_seconds,
        )

    def _as_indexed(self, batch: Sequence[Observation], indexed: Mapping[RemoteId, Job]) -> Snapshot | None:
        """None when not even the head can be read: then it is for the recorder to try again."""
        jobs = {seen.remote_id: indexed[seen.remote_id] for seen in batch if seen.remote_id in indexed}
        claims = {key: Claim(key, job.job_id) for key, job in jobs.items()}
        try:
            return Snapshot(self.events.head(), {job.job_id: job for job in jobs.values()}, claims)
        except StoreUnavailableError:
            return None


def _is_due(job: Job, now: datetime) -> bool:
    """A lost job is asked for once an hour, one that was just missed not before the spacing of 404s."""
    return not is_too_soon(job.absence.last_miss_at, now, is_lost=job.is_lost)
