"""The whole log and the whole error of an ended job, fetched once and kept: providers delete them after a while."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.errors import InvalidRequestError, ProviderError, ProviderJobNotFoundError
from shared.domain.job import Job
from shared.domain.metric import Metric
from shared.ports import Clock, JobStore, Provider, Telemetry
from shared.progress import loss_history, read_progress
from shared.services.logs.stored_texts import StoredProgress, StoredTexts
from shared.services.providers.provider_named import provider_named

FETCHES_A_SECOND = 10
"""Of one process; with two of them 20 a second."""
LEASE = timedelta(seconds=30)
"""Of the log, while it is replaced."""


class LogOutcome(StrEnum):
    """What became of the request to keep a job's log."""

    KEPT = "kept"
    NOTHING = "nothing to keep"
    AGAIN = "try again"
    GIVEN_UP = "given up"


def encode_log_request(job_id: str) -> str:
    return json.dumps({"job_id": job_id})


def decode_log_request(text: str) -> str:
    """The job id. Raises InvalidRequestError for anything that `encode_log_request` did not write."""
    try:
        return str(json.loads(text)["job_id"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InvalidRequestError("This queue message names no job.") from None


@dataclass(frozen=True, kw_only=True)
class KeepFinalLog:
    jobs: JobStore
    stored_texts: StoredTexts
    clock: Clock
    telemetry: Telemetry
    providers: Mapping[str, Provider]

    def run(self, job_id: str, *, requested_at: datetime) -> LogOutcome:
        """Fetch and keep the log of an ended job; asked again, it asks nobody.

        AGAIN while a reader of the log is keeping more of it, and while the provider fails, for as long after
        `requested_at` as it keeps logs (I47).
        """
        job = self.jobs.get(job_id)
        if job is None or job.external_id is None or job.status.is_active:
            return LogOutcome.NOTHING
        if self.stored_texts.log(job_id).is_final:
            return LogOutcome.KEPT
        self.clock.sleep(1 / FETCHES_A_SECOND)
        provider = provider_named(self.providers, job.provider)
        try:
            self._keep_error(job)
            log = provider.full_log(job.external_id, job.kind)
        except ProviderJobNotFoundError:
            return LogOutcome.NOTHING
        except ProviderError as error:
            self.telemetry.count(Metric.PROVIDER_ERROR)
            kept_for = provider.profile.log_kept_for
            is_over = kept_for is not None and self.clock.now() - requested_at >= kept_for
            self.telemetry.warning("final log not fetched", job_id=job_id, reason=error.detail, given_up=is_over)
            return LogOutcome.GIVEN_UP if is_over else LogOutcome.AGAIN
        if log and not self._keep(job, log):
            return LogOutcome.AGAIN
        if self.jobs.get(job_id) is None:
            # Deleted meanwhile: nothing of it may stay.
            self.stored_texts.forget(job_id)
        return LogOutcome.KEPT if log else LogOutcome.NOTHING

    def _keep_error(self, job: Job) -> None:
        if self.stored_texts.lacks_error(job):
            error = provider_named(self.providers, job.provider).get(str(job.external_id), job.kind).observation.error
            if error:
                self.stored_texts.keep_error(job.job_id, error)

    def _keep(self, job: Job, log: str) -> bool:
        """False while a reader of the log may still add what it saw before the end.

        The log itself comes last: whoever finds it final finds progress and loss curve of the whole.
        """
        now = self.clock.now()
        if not self.stored_texts.lease_log(job.job_id, now=now, life=LEASE):
            return False
        before = self.stored_texts.progress(job.job_id)
        progress = read_progress(log, before.progress if before else None)
        self.stored_texts.keep_progress(job.job_id, StoredProgress(progress, now, tuple(loss_history(log))))
        self.stored_texts.keep_final_log(job.job_id, log, at=now)
        return True
