"""The whole log and the whole error of an ended job, kept before their provider deletes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.errors import (
    InvalidRequestError,
    ProviderError,
    ProviderJobNotFoundError,
    ProviderThrottledError,
)
from shared.domain.job import JOB_ID_PATTERN, Job
from shared.domain.metric import Metric
from shared.domain.observation import LastLook
from shared.ports import Clock, JobStore, Provider, Telemetry
from shared.progress import loss_history, read_progress
from shared.services.logs.stored_texts import StoredProgress, StoredTexts
from shared.services.providers.provider_named import provider_named
from shared.services.recording.record_observations import RecordObservations

FETCHES_A_SECOND = 10
"""Of one process; with two of them 20 a second."""
LEASE = timedelta(seconds=30)
"""Of the log, while it is replaced."""
FIRST_PAUSE = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(hours=6)
LONGEST_ASKED = timedelta(days=13)
"""The queue forgets after 14; a provider that keeps logs for ever is asked no longer either."""


def encode_log_request(job_id: str) -> str:
    return json.dumps({"job_id": job_id})


def decode_log_request(text: str) -> str:
    """The job id. Raises InvalidRequestError for anything that `encode_log_request` did not write."""
    try:
        job_id = json.loads(text)["job_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        job_id = None
    if not isinstance(job_id, str) or JOB_ID_PATTERN.fullmatch(job_id) is None:
        raise InvalidRequestError("This queue message names no job.")
    return job_id


def pause_before_next_look(age: timedelta, kept_for: timedelta) -> timedelta:
    """Doubles with the age of the request up to an eighth of the keeping time; the last look is at its very end."""
    longest = min(kept_for / 8, LONGEST_PAUSE)
    return max(FIRST_PAUSE, min(age, longest, kept_for - age))


@dataclass(frozen=True, kw_only=True)
class KeepFinalLog:
    jobs: JobStore
    stored_texts: StoredTexts
    record_observations: RecordObservations
    clock: Clock
    telemetry: Telemetry
    providers: Mapping[str, Provider]

    def run(self, job_id: str, *, requested_at: datetime) -> timedelta | None:
        """Fetch and keep the log of an ended job; returns after how long to look again, None when there is no need.

        One look does where its answer tells the end and a log, or an end of a job that never ran. Any other answer or
        none is asked for again, spaced, for as long after `requested_at` as the provider keeps logs, unless it says for
        good that there is none (I47); what was gathered while the job ran stays. What a look tells is recorded, too:
        it may be the first one with a cost. Raises StoreUnavailableError.
        """
        job = self.jobs.get(job_id)
        if job is None or job.external_id is None or job.status.is_active or self.stored_texts.log(job_id).is_final:
            return None
        self.clock.sleep(1 / FETCHES_A_SECOND)
        try:
            look = provider_named(self.providers, job.provider).last_look(job.external_id, job.kind)
        except ProviderJobNotFoundError as error:
            return self._again(job, requested_at, error.detail)
        except ProviderError as error:
            self.telemetry.count(Metric.PROVIDER_ERROR)
            held = error.retry_after if isinstance(error, ProviderThrottledError) else 0
            return self._again(job, requested_at, error.detail, no_sooner=timedelta(seconds=held))
        job = self._recorded(job, look)
        again = self._judged(job, look, requested_at)
        if self.jobs.get(job_id) is None:
            # Deleted meanwhile: nothing of it may stay.
            self.stored_texts.forget(job_id)
            return None
        return again

    def _recorded(self, job: Job, look: LastLook) -> Job:
        """The job as it is after this look; the whole error is kept where the job's item holds its beginning only."""
        seen = look.observation
        job = self.record_observations.run([seen], of={seen.remote_id: job.job_id}).jobs.get(job.job_id, job)
        if seen.error and seen.status is job.status and self.stored_texts.lacks_error(job):
            self.stored_texts.keep_error(job.job_id, seen.error)
        return job

    def _judged(self, job: Job, look: LastLook, requested_at: datetime) -> timedelta | None:
        status = look.observation.status
        if status is None or status.is_active:
            if look.log and self.stored_texts.lease_log(job.job_id, now=self.clock.now(), life=LEASE):
                known = self.stored_texts.log(job.job_id)
                self.stored_texts.gather_log(job.job_id, known, look.log, at=self.clock.now())
            return self._again(job, requested_at, "The answer is older than the end.")
        if look.log:
            return self._kept(job, look.log, requested_at)
        if not job.has_run and not self.stored_texts.log(job.job_id).size:
            return None
        if not look.is_log_removed:
            return self._again(job, requested_at, "The answer tells no log of a job that has run.")
        self._give_up(job, "The provider has removed it.")
        return None

    def _kept(self, job: Job, log: str, requested_at: datetime) -> timedelta | None:
        """Let the whole log take the place of what was gathered, unless that is more.

        Again while a reader of the log may still add what it saw before the end. The log itself comes last: whoever
        finds it final finds progress and loss curve of the whole.
        """
        now = self.clock.now()
        if not self.stored_texts.lease_log(job.job_id, now=now, life=LEASE):
            return LEASE
        known = self.stored_texts.log(job.job_id)
        if len(log) < known.taken:
            self.stored_texts.gather_log(job.job_id, known, log, at=now)
            return self._again(job, requested_at, "The answer tells less than was read while the job ran.")
        before = self.stored_texts.progress(job.job_id)
        progress = read_progress(log, before.progress if before else None)
        self.stored_texts.keep_progress(job.job_id, StoredProgress(progress, now, tuple(loss_history(log))))
        self.stored_texts.keep_final_log(job.job_id, log, at=now)
        return None

    def _again(
        self, job: Job, requested_at: datetime, reason: str, *, no_sooner: timedelta = timedelta(0)
    ) -> timedelta | None:
        kept_for = provider_named(self.providers, job.provider).profile.log_kept_for or LONGEST_ASKED
        kept_for = min(kept_for, LONGEST_ASKED)
        age = self.clock.now() - requested_at
        if age >= kept_for:
            self._give_up(job, reason)
            return None
        pause = max(pause_before_next_look(age, kept_for), no_sooner)
        self.telemetry.info("final log not kept yet", job_id=job.job_id, reason=reason, again_in=pause.total_seconds())
        return pause

    def _give_up(self, job: Job, reason: str) -> None:
        self.telemetry.count(Metric.FINAL_LOG_GIVEN_UP)
        kept = self.stored_texts.log(job.job_id).size
        self.telemetry.warning("final log given up", job_id=job.job_id, reason=reason, bytes_kept=kept)
