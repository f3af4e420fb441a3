"""A job's log as one text that only grows: gathered while it runs, whole when it has ended (docs/contract.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.errors import ProviderError
from shared.domain.job import Job, JobStatus
from shared.domain.metric import Metric
from shared.ports import Clock, Provider, Telemetry
from shared.services.logs.read_progress import ReadProgress
from shared.services.logs.stored_texts import StoredLog, StoredTexts
from shared.services.providers.provider_named import provider_named

MAX_ANSWER_BYTES = 4_800_000
"""What an answer's text may weigh as JSON: Lambda sends back 6 MB at most (I42)."""

LOOK_EVERY = timedelta(seconds=3)
LEASE = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class LogSlice:
    """`text` begins at the byte that was asked for; `next` is the byte to ask for next."""

    text: str
    next: int


@dataclass(frozen=True, kw_only=True)
class ReadLog:
    stored_texts: StoredTexts
    read_progress: ReadProgress
    clock: Clock
    telemetry: Telemetry
    providers: Mapping[str, Provider]

    def run(self, job: Job, *, after: int = 0) -> LogSlice:
        """What the log holds from byte `after` on, cleaned of terminal escapes and control characters.

        Asks the provider at most every few seconds, one reader at a time; when it fails, what is stored is the answer.
        """
        log = self._gathered(job)
        if not log.size:
            return slice_of(self.stored_texts.without_log(job.job_id), after, 0)
        content, start = self.stored_texts.log_from(job.job_id, after, log.size)
        return slice_of(content, after, start)

    def _gathered(self, job: Job) -> StoredLog:
        """What is stored, after a look at the provider if that is due."""
        log = self.stored_texts.log(job.job_id)
        now = self.clock.now()
        is_fresh = log.looked_at is not None and abs(now - log.looked_at) < LOOK_EVERY
        if log.is_final or is_fresh or not self._may_have_more(job):
            return log
        if not self.stored_texts.lease_log(job.job_id, now=now, life=LEASE):
            return log
        try:
            text = provider_named(self.providers, job.provider).full_log(str(job.external_id), job.kind) or ""
        except ProviderError as error:
            self.telemetry.count(Metric.PROVIDER_ERROR)
            self.telemetry.warning("log not refreshed", job_id=job.job_id, reason=error.detail)
            return log
        log = self.stored_texts.gather_log(job.job_id, log, text, at=now, is_ended=job.status.is_terminal)
        if text and job.status is JobStatus.RUNNING:
            self.read_progress.keep(job.job_id, text, self.stored_texts.progress(job.job_id), at=now)
        return log

    def _may_have_more(self, job: Job) -> bool:
        if job.external_id is None or job.is_lost:
            return False
        if job.status.is_active:
            return job.started_at is not None
        kept_for = provider_named(self.providers, job.provider).profile.log_kept_for
        return kept_for is None or self.clock.now() - (job.completed_at or job.created_at) < kept_for


def slice_of(content: bytes, after: int, start: int) -> LogSlice:
    """The text from byte `after` on; `content` begins at byte `start`. Never more than an answer can carry."""
    offset = max(0, min(after - start, len(content)))
    piece = content[offset:]
    while (weight := len(json.dumps(piece.decode("utf-8", "replace"), ensure_ascii=False).encode())) > MAX_ANSWER_BYTES:
        piece = piece[: len(piece) * MAX_ANSWER_BYTES // weight - 64]
    text = piece.decode("utf-8", "ignore")
    return LogSlice(text, start + offset + len(text.encode()))
