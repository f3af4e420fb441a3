"""A job's log as one text that only grows: gathered while it runs, whole when it has ended (docs/design.md, "Logs")."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.errors import ProviderError
from shared.domain.job import Job, JobStatus
from shared.domain.metric import Metric
from shared.ports import Clock, JobTexts, Provider, Telemetry
from shared.progress import clean_text
from shared.services.logs.keep_final_log import LOG_PART
from shared.services.logs.read_progress import TAIL_PART, ReadProgress
from shared.services.providers.provider_named import provider_named

LIVE_PART = "log_live"
LIVE_PIECE = "log_live#{:03d}"
PIECE_BYTES = 256 * 1024
MAX_PARTS = 64
MAX_ANSWER_BYTES = 4_800_000
"""What an answer's text may weigh as JSON: Lambda sends back 6 MB at most (I42)."""

LOOK_EVERY = timedelta(seconds=3)
LEASE = timedelta(seconds=20)
KEPT_BY_PROVIDER = timedelta(hours=1)
LONGEST_OPEN_LINE = 64 * 1024


@dataclass(frozen=True, slots=True)
class LogSlice:
    """`text` begins at the byte that was asked for; `next` is the byte to ask for next."""

    text: str
    next: int


@dataclass(frozen=True, slots=True)
class _Live:
    """What has been gathered: `taken` characters of the provider's text are `size` bytes of ours."""

    taken: int = 0
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class ReadLog:
    texts: JobTexts
    read_progress: ReadProgress
    clock: Clock
    telemetry: Telemetry
    providers: Mapping[str, Provider]

    def run(self, job: Job, *, after: int = 0) -> LogSlice:
        """What the log holds from byte `after` on, cleaned of terminal escapes and control characters.

        Asks the provider at most every few seconds, one reader at a time; when it fails, what is stored is the answer.
        """
        final = self._final(job) if job.status.is_terminal else None
        if final is not None:
            return slice_of(final, after, 0)
        live = self._gather(job)
        if live.size:
            first = min(after, live.size) // PIECE_BYTES
            return slice_of(self._pieces(job.job_id, first, live.size), after, first * PIECE_BYTES)
        tail = self.texts.get(job.job_id, TAIL_PART)
        return slice_of(clean_text(_text(gzip.decompress(tail.content))).encode() if tail else b"", after, 0)

    def _final(self, job: Job) -> bytes | None:
        parts: list[bytes] = []
        while len(parts) < MAX_PARTS:
            item = self.texts.get(job.job_id, LOG_PART.format(len(parts)))
            if item is None:
                break
            parts.append(gzip.decompress(item.content))
        return clean_text(_text(b"".join(parts))).encode() if parts else None

    def _gather(self, job: Job) -> _Live:
        """What has been gathered so far, after a look at the provider if that is due."""
        item = self.texts.get(job.job_id, LIVE_PART)
        live = _Live(**json.loads(item.content)) if item is not None and item.content else _Live()
        now = self.clock.now()
        if not self._may_have_more(job) or (item is not None and item.content and now - item.stored_at < LOOK_EVERY):
            return live
        if not self.texts.acquire(job.job_id, LIVE_PART, now=now, until=now + LEASE):
            return live
        try:
            text = provider_named(self.providers, job.provider).full_log(str(job.external_id), job.kind)
        except ProviderError as error:
            self.telemetry.count(Metric.PROVIDER_ERROR)
            self.telemetry.warning("log not refreshed", job_id=job.job_id, reason=error.detail)
            return live
        live = self._append(job, live, text or "")
        self.texts.put(job.job_id, LIVE_PART, json.dumps({"taken": live.taken, "size": live.size}).encode(), at=now)
        if text and job.status is JobStatus.RUNNING:
            self.read_progress.keep(job.job_id, text, self.read_progress.stored(job), at=now)
        return live

    def _may_have_more(self, job: Job) -> bool:
        if job.external_id is None or job.is_lost:
            return False
        if job.status.is_active:
            return job.started_at is not None
        return self.clock.now() - (job.completed_at or job.created_at) < KEPT_BY_PROVIDER

    def _append(self, job: Job, live: _Live, text: str) -> _Live:
        """Add the whole lines that are new; of an ended job also an unfinished last line."""
        end = len(text) if job.status.is_terminal else _end_of_lines(text, live.taken)
        fresh = clean_text(text[live.taken : end]).encode("utf-8", "replace")
        if not fresh:
            return live
        first = live.size // PIECE_BYTES
        begun = self._pieces(job.job_id, first, live.size)
        whole = begun + fresh
        for number, start in enumerate(range(0, len(whole), PIECE_BYTES), start=first):
            content = gzip.compress(whole[start : start + PIECE_BYTES], 5)
            self.texts.put(job.job_id, LIVE_PIECE.format(number), content, at=self.clock.now())
        return _Live(end, first * PIECE_BYTES + len(whole))

    def _pieces(self, job_id: str, first: int, size: int) -> bytes:
        """The gathered bytes from piece `first` on; a crash may have left more in the last one than counts."""
        found: list[bytes] = []
        for number in range(first, -(-size // PIECE_BYTES)):
            item = self.texts.get(job_id, LIVE_PIECE.format(number))
            if item is None:
                break
            found.append(gzip.decompress(item.content))
        return b"".join(found)[: size - first * PIECE_BYTES]


def slice_of(content: bytes, after: int, start: int) -> LogSlice:
    """The text from byte `after` on; `content` begins at byte `start`. Never more than an answer can carry."""
    offset = max(0, min(after - start, len(content)))
    piece = content[offset:]
    while (weight := len(json.dumps(_text(piece), ensure_ascii=False).encode())) > MAX_ANSWER_BYTES:
        piece = piece[: len(piece) * MAX_ANSWER_BYTES // weight - 64]
    text = piece.decode("utf-8", "ignore")
    return LogSlice(text, start + offset + len(text.encode()))


def _end_of_lines(text: str, begin: int) -> int:
    """Where the last whole line after `begin` ends; `\\r` ends one, too, unless a `\\n` may still follow it."""
    newline = text.rfind("\n", begin)
    carriage = text.rfind("\r", begin, len(text) - 1)
    end = max(newline, carriage) + 1
    return end if end or len(text) - begin <= LONGEST_OPEN_LINE else len(text)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")
