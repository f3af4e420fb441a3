"""What is kept of a job beside its item: the one place that knows the parts, their form and their sizes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from pydantic import TypeAdapter, ValidationError

from shared.domain.job import Job
from shared.domain.text import shown_text
from shared.ports import JobTexts
from shared.progress.progress import HistoryPoint, Progress

PROGRESS, TAIL, LOG, ERROR = "progress", "log_tail", "log", "error"
PIECE = "log#{:03d}"
PIECE_BYTES = 256 * 1024
"""An item holds 400 kB; text that gzip makes no smaller must fit, too (I42)."""
TAIL_BYTES = 64 * 1024
LONGEST_OPEN_LINE = 64 * 1024
_WITHOUT_LOG = ("log#", "log_live#", TAIL)
"""Beginnings of the parts that may be there without LOG, the best first: the pieces of an ended and of a running job,
which the first version kept raw, and said nowhere how long they are; then the newest end of the log."""


@dataclass(frozen=True, slots=True)
class StoredProgress:
    """What was read from a job's log, when, and the points of its loss curve so far."""

    progress: Progress
    updated_at: datetime
    history: tuple[HistoryPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredLog:
    """How much of a log is kept: `taken` characters of the provider's text are `size` bytes of ours, cleaned.

    `is_final`: the job has ended and this is all of it.
    """

    taken: int = 0
    size: int = 0
    is_final: bool = False
    looked_at: datetime | None = None


@dataclass(frozen=True)
class StoredTexts:
    """Each part is one item of `job_texts`, gzip'd. The log is one text in pieces of PIECE_BYTES, live or final."""

    texts: JobTexts

    def progress(self, job_id: str) -> StoredProgress | None:
        return self.progress_of([job_id]).get(job_id)

    def progress_of(self, job_ids: Sequence[str]) -> dict[str, StoredProgress]:
        """One read a hundred jobs; absent are jobs of which nothing was ever read, or nothing that can be read now."""
        found = self.texts.get_many(job_ids, PROGRESS)
        read = ((job_id, _read_progress(content)) for job_id, content in found.items())
        return {job_id: progress for job_id, progress in read if progress is not None}

    def keep_progress(self, job_id: str, kept: StoredProgress, tail: str = "") -> None:
        """Keep a reading, which gives its lease back, and the log's end that it was read from."""
        self.texts.put(job_id, PROGRESS, _packed(_progress().dump_json(kept)))
        if tail:
            self.texts.put(job_id, TAIL, _packed(_encoded(tail)))

    def lease_progress(self, job_id: str, *, now: datetime, life: timedelta) -> bool:
        """Whether this reader alone refreshes the progress now."""
        return self.texts.acquire(job_id, PROGRESS, now=now, until=now + life)

    def without_log(self, job_id: str) -> bytes:
        """What there is while nothing of the log is kept, cleaned: what the first version has kept of it, else the
        newest end that a look or a webhook brought. Empty: neither. One read.
        """
        found = self.texts.parts(job_id, PIECE.format(0), TAIL)
        of_each = ([name for name in sorted(found) if name.startswith(beginning)] for beginning in _WITHOUT_LOG)
        best = next(filter(None, of_each), [])
        content = b"".join(_unpacked(found[name]) for name in best)
        return _encoded(shown_text(content.decode("utf-8", "replace")))

    def log(self, job_id: str) -> StoredLog:
        """That nothing is kept, too, where another version has stored this in another form."""
        content = self.texts.get(job_id, LOG)
        try:
            return _log().validate_json(content) if content else StoredLog()
        except ValidationError:
            return StoredLog()

    def lease_log(self, job_id: str, *, now: datetime, life: timedelta) -> bool:
        """Whether this reader alone looks for more of the log now."""
        return self.texts.acquire(job_id, LOG, now=now, until=now + life)

    def log_from(self, job_id: str, after: int, size: int) -> tuple[bytes, int]:
        """The log up to byte `size`, from the beginning of the piece that holds byte `after`, and that beginning.

        A crash may have left more in the last pieces than counts.
        """
        first = min(after, size) // PIECE_BYTES
        found = self.texts.parts(job_id, PIECE.format(first), PIECE.format(max(0, size - 1) // PIECE_BYTES))
        content = b"".join(_unpacked(found[name]) for name in sorted(found))
        return content[: size - first * PIECE_BYTES], first * PIECE_BYTES

    def gather_log(
        self, job_id: str, known: StoredLog, text: str, *, at: datetime, is_ended: bool = False
    ) -> StoredLog:
        """Add what a provider's whole text holds beyond what is kept, in whole lines until the job has ended.

        A text that is older than what is kept adds nothing and takes nothing away. Ends the lease.
        """
        end = len(text) if is_ended else _end_of_lines(text, known.taken)
        added = _encoded(shown_text(text[known.taken : end]))
        if added:
            begun, start = self.log_from(job_id, known.size, known.size)
            self._write_pieces(job_id, begun + added, start // PIECE_BYTES)
        return self._keep_log(job_id, StoredLog(max(known.taken, end), known.size + len(added), looked_at=at))

    def keep_final_log(self, job_id: str, log: str, *, at: datetime) -> StoredLog:
        """Let the whole log take the place of what was gathered; if that is more, it is what stays.

        Whoever reads meanwhile finds the same bytes in the same pieces.
        """
        known = self.log(job_id)
        content = _encoded(shown_text(log))
        kept = StoredLog(len(log), len(content), is_final=True, looked_at=at)
        if known.size > len(content):
            kept = StoredLog(known.taken, known.size, is_final=True, looked_at=at)
        else:
            self._write_pieces(job_id, content, 0)
        self._keep_log(job_id, kept)
        self.texts.delete(job_id, [TAIL])
        return kept

    def whole_error(self, job: Job) -> str | None:
        """What the provider said of a failure: its beginning stands in the job's item, the whole of a longer one here.

        No read where the item holds all; its beginning until the rest is kept.
        """
        kept = self.texts.get(job.job_id, ERROR) if job.is_error_cut else None
        return _unpacked(kept).decode() if kept else job.error_message

    def lacks_error(self, job: Job) -> bool:
        """Whether an error was cut and is not kept whole yet."""
        return job.is_error_cut and self.texts.get(job.job_id, ERROR) is None

    def keep_error(self, job_id: str, error: str) -> None:
        self.texts.put(job_id, ERROR, _packed(_encoded(error)))

    def forget(self, job_id: str) -> None:
        """Nothing of the job stays."""
        self.texts.delete_all(job_id)

    def _write_pieces(self, job_id: str, content: bytes, first: int) -> None:
        for number, start in enumerate(range(0, len(content), PIECE_BYTES), start=first):
            self.texts.put(job_id, PIECE.format(number), _packed(content[start : start + PIECE_BYTES]))

    def _keep_log(self, job_id: str, log: StoredLog) -> StoredLog:
        self.texts.put(job_id, LOG, _log().dump_json(log))
        return log


def _end_of_lines(text: str, begin: int) -> int:
    """Where the last whole line after `begin` ends; a line that is still redrawn (`\\r`) is none, however long."""
    end = text.rfind("\n", begin) + 1
    is_open = len(text) - begin <= LONGEST_OPEN_LINE or text.find("\r", begin) >= 0
    return end if end or is_open else len(text)


@cache
def _progress() -> TypeAdapter[StoredProgress]:
    return TypeAdapter(StoredProgress)


def _read_progress(content: bytes) -> StoredProgress | None:
    """None for what another version has stored in an unknown form: the next look stores it anew."""
    stored = _unpacked(content)
    try:
        return _progress().validate_json(stored)
    except ValidationError:
        return _read_flat_progress(stored)


def _read_flat_progress(stored: bytes) -> StoredProgress | None:
    """The first version's form: all fields beside each other, each point a list. Nobody can look anew at ended jobs."""
    try:
        fields = json.loads(stored)
        points = [HistoryPoint(*point) for point in fields["history"]]
        return _progress().validate_python({"progress": fields, "updated_at": fields["updated_at"], "history": points})
    except (ValueError, TypeError, KeyError):
        return None


@cache
def _log() -> TypeAdapter[StoredLog]:
    return TypeAdapter(StoredLog)


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, 5)


def _unpacked(content: bytes) -> bytes:
    return gzip.decompress(content)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")
