"""How far a job is: asked of the provider at most once every few seconds, however many pages look at it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from shared.domain.errors import ProviderError
from shared.domain.job import Job, JobStatus, from_iso, to_iso
from shared.domain.metric import Metric
from shared.ports import Clock, JobTexts, Provider, StoredText, Telemetry
from shared.progress import extend_history, loss_history, pace_eta, read_progress
from shared.progress.progress import HistoryPoint, Progress, Stage
from shared.services.providers.provider_named import provider_named
from shared.services.recording.record_observations import RecordObservations

PROGRESS_PART = "progress"
TAIL_PART = "log_tail"
TAIL_BYTES = 64 * 1024
LEASE = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class StoredProgress:
    """What was read from a job's log, when, and the points of its loss curve so far."""

    progress: Progress
    updated_at: datetime
    history: tuple[HistoryPoint, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReadProgress:
    texts: JobTexts
    record_observations: RecordObservations
    clock: Clock
    telemetry: Telemetry
    providers: Mapping[str, Provider]
    progress_max_age_seconds: float

    def read(self, job: Job) -> StoredProgress | None:
        """The progress of a running job, refreshed when it is older than `progress_max_age_seconds`.

        One reader takes a short lease and asks; the others, and all when the provider fails, get what is stored.
        A lost job is left to the poller. None: nothing was ever seen, or the job does not run.
        """
        if job.status is not JobStatus.RUNNING or job.external_id is None:
            return None
        if job.is_lost:
            return self.stored(job)
        now = self.clock.now()
        item = self.texts.get(job.job_id, PROGRESS_PART)
        stored = decode_progress(item)
        if stored is not None and abs(now - stored.updated_at) < timedelta(seconds=self.progress_max_age_seconds):
            return stored
        if not self.texts.acquire(job.job_id, PROGRESS_PART, now=now, until=now + LEASE):
            return stored
        try:
            look = provider_named(self.providers, job.provider).get(job.external_id, job.kind)
        except ProviderError as error:
            self.telemetry.count(Metric.PROVIDER_ERROR)
            self.telemetry.warning("progress not refreshed", job_id=job.job_id, reason=error.detail)
            return stored
        seen = look.observation
        recorded = self.record_observations.run([seen], of={seen.remote_id: job.job_id}, expects_change=False)
        if any(known.status is not JobStatus.RUNNING for known in recorded.jobs.values()):
            return None
        return self.keep(job.job_id, look.log_tail or "", stored, at=now)

    def stored(self, job: Job) -> StoredProgress | None:
        """What is known without asking anyone; also for a job that has ended."""
        return decode_progress(self.texts.get(job.job_id, PROGRESS_PART))

    def stored_many(self, job_ids: Sequence[str]) -> dict[str, StoredProgress]:
        items = self.texts.get_many(job_ids, PROGRESS_PART)
        decoded = {job_id: decode_progress(item) for job_id, item in items.items()}
        return {job_id: progress for job_id, progress in decoded.items() if progress is not None}

    def keep(self, job_id: str, logs: str, before: StoredProgress | None, *, at: datetime) -> StoredProgress:
        """Parse a log's tail, and store what it tells with the tail itself."""
        tail = logs[-TAIL_BYTES:]
        progress = _with_measured_eta(read_progress(tail, before.progress if before else None), before, at)
        history = extend_history(before.history if before else (), loss_history(tail))
        kept = StoredProgress(progress, at, tuple(history))
        self.texts.put(job_id, PROGRESS_PART, encode_progress(kept), at=at)
        if tail:
            self.texts.put(job_id, TAIL_PART, gzip.compress(tail.encode("utf-8", "replace"), 5), at=at)
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


def encode_progress(kept: StoredProgress) -> bytes:
    points = [[point.t, point.step, point.loss] for point in kept.history]
    body = {**asdict(kept.progress), "updated_at": to_iso(kept.updated_at), "history": points}
    return gzip.compress(json.dumps(body).encode(), 5)


def decode_progress(item: StoredText | None) -> StoredProgress | None:
    if item is None or not item.content:
        return None
    body: dict[str, object] = json.loads(gzip.decompress(item.content))
    points = body.pop("history")
    updated_at = from_iso(str(body.pop("updated_at")))
    assert isinstance(points, list)
    return StoredProgress(_progress(body), updated_at, tuple(HistoryPoint(*point) for point in points))


def _progress(body: Mapping[str, object]) -> Progress:
    stage = body["stage"]
    return Progress(**{**body, "stage": Stage(str(stage)) if stage else None})  # type: ignore[arg-type]
