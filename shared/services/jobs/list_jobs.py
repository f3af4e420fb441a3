"""The list of jobs, newest first: ids from an index, rows from consistent reads (docs/design.md, "Lists")."""

from __future__ import annotations

import base64
import hashlib
import heapq
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from shared.domain.errors import InvalidCursorError
from shared.domain.event import LogHead
from shared.domain.job import JOB_TYPE, Job, JobStatus, to_iso
from shared.ports import EventLog, JobStore
from shared.services.jobs.cursor_key import CursorKey

MAX_PAGES_OF_A_FILTER = 4
MAX_LIMIT = 500
MAX_OFFSET = 100_000
KEYS_A_PAGE = 10_000
"""Of an index, whose keys are small; where rows have to be read to know who fits, a page is much smaller."""
ROWS_A_PAGE = 1_500


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """What is asked for; an empty set of statuses means all. `text` is part of the name or id, any case."""

    statuses: frozenset[JobStatus] = frozenset()
    provider: str | None = None
    job_type: str | None = None
    text: str | None = None

    def fits(self, job: Job) -> bool:
        return (
            (not self.statuses or job.status in self.statuses)
            and self.provider in (None, job.provider)
            and self.job_type in (None, job.job_type)
            and (not self.text or self._names(job))
        )

    def _names(self, job: Job) -> bool:
        wanted = (self.text or "").casefold()
        names = (job.job_id, job.external_id, job.config_name, job.metadata.get("run_name"), job.model)
        return any(wanted in str(name).casefold() for name in names if name)

    def needs_rows(self, head: LogHead) -> bool:
        """Whether only the rows can tell who fits, because no index serves it. One provider alone needs no filter."""
        is_one_of_several = self.provider is not None and head.count(provider=self.provider) != head.count()
        return bool(self.text) or is_one_of_several

    def finds_nothing(self, head: LogHead) -> bool:
        """Whether no stored job can fit."""
        is_of_another_kind = self.job_type not in (None, JOB_TYPE)
        return is_of_another_kind or not head.count(provider=self.provider, statuses=self.statuses or None)

    def fingerprint(self) -> str:
        parts = [sorted(self.statuses), self.provider, self.job_type, (self.text or "").casefold()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class JobList:
    jobs: tuple[Job, ...]
    total: int | None
    next_cursor: str | None


@dataclass(frozen=True)
class ListJobs:
    """`cursor_key` signs cursors, so that a forged one, or one for another filter, is refused (T19)."""

    jobs: JobStore
    events: EventLog
    cursor_key: CursorKey

    def run(
        self,
        wanted: JobFilter,
        *,
        limit: int,
        offset: int = 0,
        cursor: str | None = None,
        observed: Mapping[str, Job] | None = None,
    ) -> JobList:
        """One page. `observed` is what this request itself saw; it is laid over an index that lags behind.

        Raises InvalidCursorError.
        """
        after = self._open_cursor(cursor, wanted) if cursor else None
        head = self.events.head()
        is_counted = not (wanted.text or wanted.job_type)
        total = head.count(provider=wanted.provider, statuses=wanted.statuses or None) if is_counted else None
        if not observed and wanted.finds_nothing(head):
            return JobList((), total, None)
        walk = _Walk(self.jobs, wanted, wanted.needs_rows(head), observed or {}, after)
        found, last_key = walk.take(offset, limit)
        next_cursor = self._seal_cursor(last_key, wanted) if last_key is not None else None
        return JobList(tuple(found), total, next_cursor)

    def _seal_cursor(self, key: str, wanted: JobFilter) -> str:
        body = json.dumps([key, wanted.fingerprint()]).encode()
        return base64.urlsafe_b64encode(self._signature(body) + body).decode().rstrip("=")

    def _open_cursor(self, cursor: str, wanted: JobFilter) -> str:
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raw = b""
        signature, body = raw[:16], raw[16:]
        if not body or not hmac.compare_digest(signature, self._signature(body)):
            raise InvalidCursorError("This cursor is not one of ours; start again without a cursor.")
        key, fingerprint = json.loads(body)
        if fingerprint != wanted.fingerprint():
            raise InvalidCursorError("This cursor belongs to another filter; start again without a cursor.")
        return str(key)

    def _signature(self, body: bytes) -> bytes:
        return hmac.new(self.cursor_key.read(), body, hashlib.sha256).digest()[:16]


@dataclass
class _Walk:
    """Walks one or several indexes as one, newest first."""

    jobs: JobStore
    wanted: JobFilter
    needs_rows: bool
    observed: Mapping[str, Job]
    after: str | None
    pages_read: int = 0
    is_cut: bool = False
    _seen: set[str] = field(default_factory=set)

    def take(self, offset: int, limit: int) -> tuple[list[Job], str | None]:
        """`limit` fitting jobs after `offset` of them, and the key to go on from, None at the end."""
        wanted = offset + limit
        found: list[Job] = []
        keys = self._keys(min(max(100, wanted + 1), ROWS_A_PAGE) if self.needs_rows else min(wanted + 1, KEYS_A_PAGE))
        last_key: str | None = None
        if not self.needs_rows:
            # Who is passed over is known by the index alone: no row of those is read.
            passed = sum(1 for _ in islice((job_id for _, job_id in keys if self._may_fit(job_id)), offset))
            wanted, offset = (limit, 0) if passed == offset else (0, 0)
        while len(found) < wanted:
            entries = list(islice(keys, min(wanted - len(found), MAX_LIMIT)))
            if not entries:
                return found[offset:], last_key if self.is_cut else None
            rows = self._rows([job_id for _, job_id in entries])
            found.extend(row for row in rows if self.wanted.fits(row))
            last_key = entries[-1][0]
        return found[offset:wanted], last_key if next(keys, None) or self.is_cut else None

    def _may_fit(self, job_id: str) -> bool:
        seen = self.observed.get(job_id)
        return seen is None or self.wanted.fits(seen)

    def _rows(self, job_ids: list[str]) -> list[Job]:
        stored = self.jobs.get_many([job_id for job_id in job_ids if job_id not in self.observed])
        rows = (self.observed.get(job_id) or stored.get(job_id) for job_id in job_ids)
        return [row for row in rows if row is not None]

    def _keys(self, page_size: int) -> Iterator[tuple[str, str]]:
        """(sort key, job id), newest first, each job once, what was just observed among them."""
        statuses: list[JobStatus | None] = [*sorted(self.wanted.statuses)] or [None]
        streams = [self._index(status, page_size) for status in statuses]
        fresh = sorted(((f"{to_iso(j.created_at)}#{j.job_id}", j.job_id) for j in self.observed.values()), reverse=True)
        streams.append(entry for entry in fresh if self.after is None or entry[0] < self.after)
        for key, job_id in heapq.merge(*streams, reverse=True):
            if job_id not in self._seen:
                self._seen.add(job_id)
                yield key, job_id
            if self.is_cut:
                return

    def _index(self, status: JobStatus | None, page_size: int) -> Iterator[tuple[str, str]]:
        position = self.after
        while True:
            if self.needs_rows and self.pages_read >= MAX_PAGES_OF_A_FILTER:
                self.is_cut = True
                return
            self.pages_read += 1
            page = self.jobs.page(status=status, after=position, limit=page_size)
            for job_id, key in page.entries:
                yield key, job_id
            if page.next_key is None:
                return
            position = page.next_key
