"""The whole log and the whole error of an ended job, fetched once and kept: the provider deletes them after an hour."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.errors import InvalidRequestError, ProviderError, ProviderJobNotFoundError
from shared.domain.job import Job
from shared.domain.metric import Metric
from shared.ports import Clock, JobStore, JobTexts, Provider, Telemetry
from shared.progress import loss_history, read_progress
from shared.services.logs.read_error import ERROR_PART, encode_error
from shared.services.logs.read_progress import PROGRESS_PART, StoredProgress, decode_progress, encode_progress
from shared.services.providers.provider_named import provider_named

LOG_PART = "log#{:03d}"
PART_BYTES = 300_000
MAX_LOG_BYTES = 4_000_000
TRIED_FOR = timedelta(minutes=50)
FETCHES_A_SECOND = 10
"""Of one process; with two of them 20 a second."""


class LogOutcome(StrEnum):
    """What became of the wish to keep a job's log."""

    KEPT = "kept"
    NOTHING = "nothing to keep"
    AGAIN = "try again"
    GIVEN_UP = "given up"


def encode_log_wish(job_id: str) -> str:
    return json.dumps({"job_id": job_id})


def decode_log_wish(text: str) -> str:
    """The job id. Raises InvalidRequestError for anything that `encode_log_wish` did not write."""
    try:
        return str(json.loads(text)["job_id"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InvalidRequestError("This queue message names no job.") from None


@dataclass(frozen=True, kw_only=True)
class KeepFinalLog:
    """Parts are written last to first: whoever finds the first one finds them all."""

    jobs: JobStore
    texts: JobTexts
    clock: Clock
    telemetry: Telemetry
    providers: Mapping[str, Provider]

    def run(self, job_id: str, *, wished_at: datetime) -> LogOutcome:
        """Fetch and keep the log of an ended job; asked again, it asks nobody.

        While the provider fails, AGAIN until TRIED_FOR after `wished_at`.
        """
        job = self.jobs.get(job_id)
        if job is None or job.external_id is None or job.status.is_active:
            return LogOutcome.NOTHING
        if self.texts.get(job_id, LOG_PART.format(0)) is not None:
            return LogOutcome.KEPT
        self.clock.sleep(1 / FETCHES_A_SECOND)
        try:
            self._keep_error(job)
            log = provider_named(self.providers, job.provider).full_log(job.external_id, job.kind)
        except ProviderJobNotFoundError:
            return LogOutcome.NOTHING
        except ProviderError as error:
            self.telemetry.count(Metric.PROVIDER_ERROR)
            is_over = self.clock.now() - wished_at >= TRIED_FOR
            self.telemetry.warning("final log not fetched", job_id=job_id, reason=error.detail, given_up=is_over)
            return LogOutcome.GIVEN_UP if is_over else LogOutcome.AGAIN
        if log:
            self._store(job, log)
        if self.jobs.get(job_id) is None:
            # Deleted meanwhile: nothing of it may stay.
            self.texts.delete_all(job_id)
        return LogOutcome.KEPT if log else LogOutcome.NOTHING

    def _keep_error(self, job: Job) -> None:
        """The job's item holds the beginning of an error; one that was cut there is kept whole beside it."""
        if not job.is_error_cut or self.texts.get(job.job_id, ERROR_PART) is not None:
            return
        error = provider_named(self.providers, job.provider).get(str(job.external_id), job.kind).observation.error
        if error:
            self.texts.put(job.job_id, ERROR_PART, encode_error(error), at=self.clock.now())

    def _store(self, job: Job, log: str) -> None:
        now = self.clock.now()
        before = decode_progress(self.texts.get(job.job_id, PROGRESS_PART))
        progress = read_progress(log, before.progress if before else None)
        final = StoredProgress(progress, now, loss_history(log))
        self.texts.put(job.job_id, PROGRESS_PART, encode_progress(final), at=now)
        content = log.encode("utf-8", "replace")[:MAX_LOG_BYTES]
        for start in reversed(range(0, len(content), PART_BYTES)):
            part = gzip.compress(content[start : start + PART_BYTES], 5)
            self.texts.put(job.job_id, LOG_PART.format(start // PART_BYTES), part, at=now)
