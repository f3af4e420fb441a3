"""How far a job is: asked of the provider at most once every few seconds, however many pages look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain.errors import ProviderError
from shared.domain.job import Job, JobStatus
from shared.domain.metric import Metric
from shared.ports import Clock, Provider, Telemetry
from shared.progress import extend_history, loss_history, pace_eta, read_progress
from shared.progress.progress import Progress
from shared.services.logs.stored_texts import TAIL_BYTES, StoredProgress, StoredTexts
from shared.services.providers.provider_named import provider_named
from shared.services.recording.record_observations import RecordObservations

LEASE = timedelta(seconds=15)


@dataclass(frozen=True, kw_only=True)
class ReadProgress:
    stored_texts: StoredTexts
    record_observations: RecordObservations
    clock: Clock
    telemetry: Telemetry
    providers: Mapping[str, Provider]
    progress_max_age_seconds: float

    def run(self, job: Job) -> StoredProgress | None:
        """The progress of a running job, refreshed when it is older than `progress_max_age_seconds`.

        None: nothing was ever seen, or the job does not run.
        """
        if not self.can_be_asked_for(job):
            return self.stored_texts.progress(job.job_id) if job.is_lost and job.status is JobStatus.RUNNING else None
        stored = self.stored_texts.progress(job.job_id)
        return self.refreshed(job, stored) if self.is_due(stored) else stored

    def can_be_asked_for(self, job: Job) -> bool:
        """Whether a look at the provider may tell more; a lost job is left to the poller."""
        return job.status is JobStatus.RUNNING and job.external_id is not None and not job.is_lost

    def is_due(self, stored: StoredProgress | None) -> bool:
        """Whether what is stored is too old, or comes from a clock that was ahead."""
        age = abs(self.clock.now() - stored.updated_at) if stored is not None else None
        return age is None or age >= timedelta(seconds=self.progress_max_age_seconds)

    def refreshed(self, job: Job, stored: StoredProgress | None) -> StoredProgress | None:
        """Ask the provider, if no other reader does so just now; `stored` is what was read before.

        The other readers, and all when the provider fails, get what is stored. None: the job runs no more.
        """
        now = self.clock.now()
        if not self.stored_texts.lease_progress(job.job_id, now=now, life=LEASE):
            return stored
        try:
            look = provider_named(self.providers, job.provider).get(str(job.external_id), job.kind, with_log=True)
        except ProviderError as error:
            self.telemetry.count(Metric.PROVIDER_ERROR)
            self.telemetry.warning("progress not refreshed", job_id=job.job_id, reason=error.detail)
            return stored
        seen = look.observation
        recorded = self.record_observations.run([seen], of={seen.remote_id: job.job_id}, expects_change=False)
        if recorded.jobs.get(job.job_id, job).status is not JobStatus.RUNNING:
            return None
        return self.keep(job.job_id, look.log_tail or "", stored, at=now)

    def keep(self, job_id: str, logs: str, before: StoredProgress | None, *, at: datetime) -> StoredProgress:
        """Parse a log's tail, and store what it tells with the tail itself."""
        tail = logs[-TAIL_BYTES:]
        progress = _with_measured_eta(read_progress(tail, before.progress if before else None), before, at)
        history = extend_history(before.history if before else (), loss_history(tail))
        kept = StoredProgress(progress, at, tuple(history))
        self.stored_texts.keep_progress(job_id, kept, tail)
        return kept


def _with_measured_eta(progress: Progress, before: StoredProgress | None, at: datetime) -> Progress:
    """Where the log shows no time left: the pace between two looks, and while no step is done, what was left then."""
    if progress.eta_seconds is not None or before is None:
        return progress
    seconds = (at - before.updated_at).total_seconds()
    seen = before.progress
    if seen.eta_seconds is not None and progress.step == seen.step:
        return replace(progress, eta_seconds=round(max(0.0, seen.eta_seconds - seconds), 1))
    eta = pace_eta(step=progress.step, total_steps=progress.total_steps, seen_step=seen.step, seconds_between=seconds)
    return replace(progress, eta_seconds=eta)
