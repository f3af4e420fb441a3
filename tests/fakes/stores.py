"""The stores in memory: one database behind all five ports, with the same guards and the same atomicity as DynamoDB.

The contract suite runs on this and on real DynamoDB Local, so whatever passes here is not a wish. Nothing is ever
deleted because it expired (I16), and indexes may lag (`faults.index_lag`).
"""

from __future__ import annotations

import json
import math
import secrets
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

from shared.adapters.dynamo.fill_transactions import check_size, fill_transactions
from shared.domain import state_keys
from shared.domain.change import Claim, JobChange, RemoteId, Snapshot
from shared.domain.connection import CONNECTION_LIFE, Connection
from shared.domain.errors import StaleWrite
from shared.domain.event import JobEvent, LoggedEvent, LogHead, consecutive
from shared.domain.expiry import ALLOWED_SKEW, is_running
from shared.domain.job import ACTIVE_STATUSES, MIN_PREFIX_LENGTH, IndexPage, Job, JobStatus, to_iso
from shared.domain.stored import StateItem
from shared.domain.totals import DayTotal, day_differences
from shared.ports import Clock
from tests.fakes.clock import FakeClock
from tests.fakes.faults import Faults

EVENT_LIFE = timedelta(days=8)
DELIVERY_ID_LIFE = timedelta(days=7)
TOMBSTONE_LIFE = timedelta(days=400)
KEYS_A_REQUEST = 100
OWN_PREFIXES = state_keys.JOB_STORE_PREFIXES


@dataclass
class Usage:
    """What an operation has cost so far: calls of the port, requests to DynamoDB, items read and written."""

    calls: int = 0
    requests: int = 0
    items_read: int = 0
    items_written: int = 0


def _is_live(expires_at: int | None, now: datetime, *, life: timedelta | None = None) -> bool:
    if expires_at is None or life is None:
        return expires_at is None or expires_at > now.timestamp()
    return is_running(datetime.fromtimestamp(expires_at, UTC), now, life=life)


@dataclass(frozen=True, slots=True)
class _StoredClaim:
    claim: Claim
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class _StoredState:
    text: str
    version: int
    expires_at: int | None


@dataclass(slots=True)
class _TextPart:
    stored: bytes | None = None
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class _StoredCommit:
    first: int
    events: tuple[JobEvent, ...]
    expires_at: int

    def logged(self) -> Iterator[LoggedEvent]:
        return (LoggedEvent(number, event) for number, event in enumerate(self.events, start=self.first))


BeforeCommit = Callable[[Sequence[JobChange]], object]


class FakeStores:
    """One database; `jobs`, `events`, `texts`, `state` and `connections` are its five faces."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or FakeClock()
        self.faults = Faults()
        self.usage: dict[str, Usage] = {}
        self.lock = threading.RLock()
        self.head: LogHead | None = None
        self.job_rows: dict[str, Job] = {}
        self.commit_rows: dict[int, _StoredCommit] = {}
        self.claim_rows: dict[RemoteId, _StoredClaim] = {}
        self.delivery_rows: dict[str, int] = {}
        self.total_rows: dict[tuple[str, object], DayTotal] = {}
        self.state_rows: dict[str, _StoredState] = {}
        self.text_rows: dict[tuple[str, str], _TextPart] = {}
        self.connection_rows: dict[str, Connection] = {}
        self._index: dict[str, Job] = {}
        self._index_pending: deque[tuple[datetime, str, Job | None]] = deque()
        self._before_commit: deque[BeforeCommit] = deque()
        self.jobs = FakeJobStore(self)
        self.events = FakeEventLog(self)
        self.texts = FakeJobTexts(self)
        self.state = FakeStateStore(self)
        self.connections = FakeConnections(self)

    def live_state(self, keys: Iterable[str], now: datetime) -> dict[str, StateItem]:
        rows = ((key, self.state_rows.get(key)) for key in keys)
        return {
            key: StateItem(json.loads(row.text), row.version)
            for key, row in rows
            if row and _is_live(row.expires_at, now, life=state_keys.longest_life(key))
        }

    def before_commit(self, hook: BeforeCommit, *, times: int = 1) -> None:
        """Run `hook` just before each of the next `times` commits, so that a second writer gets in between."""
        self._before_commit.extend([hook] * times)

    def reset_usage(self) -> None:
        self.usage.clear()

    @property
    def total_usage(self) -> Usage:
        """The sum over all operations since the last `reset_usage`."""
        seen = list(self.usage.values())
        return Usage(
            sum(one.calls for one in seen),
            sum(one.requests for one in seen),
            sum(one.items_read for one in seen),
            sum(one.items_written for one in seen),
        )

    @contextmanager
    def read(self, operation: str) -> Iterator[Usage]:
        """One reading call: counted, throttled when planned, alone in the database."""
        with self.lock:
            usage = self.usage.setdefault(operation, Usage())
            usage.calls += 1
            self.faults.begin_call()
            usage.requests += 1
            yield usage

    @contextmanager
    def write(self, operation: str) -> Iterator[Usage]:
        """One writing call; a planned crash comes before anything or after everything was written."""
        with self.read(operation) as usage:
            self.faults.begin_write()
            yield usage
            self.faults.end_write()

    def run_before_commit(self, changes: Sequence[JobChange]) -> None:
        if self._before_commit:
            self._before_commit.popleft()(changes)

    def put_job(self, job_id: str, job: Job | None) -> None:
        """Store or remove a row, and let the indexes know as late as planned."""
        if job is None:
            self.job_rows.pop(job_id, None)
        else:
            self.job_rows[job_id] = job
        self._index_pending.append((self.clock.now() + self.faults.index_lag, job_id, job))

    def indexed(self) -> Mapping[str, Job]:
        """The jobs as the indexes see them at this moment."""
        now = self.clock.now()
        while self._index_pending and self._index_pending[0][0] <= now:
            _, job_id, job = self._index_pending.popleft()
            if job is None:
                self._index.pop(job_id, None)
            else:
                self._index[job_id] = job
        return self._index

    def logged_events(self) -> list[LoggedEvent]:
        """Every event that lies in the log, in order, for tests."""
        return [logged for last in sorted(self.commit_rows) for logged in self.commit_rows[last].logged()]

    def begun_head(self) -> LogHead:
        """The head; a log that never was begins with a new epoch."""
        if self.head is None:
            self.head = LogHead(secrets.token_hex(6))
        return self.head


def _created_key(job: Job) -> str:
    return f"{to_iso(job.created_at)}#{job.job_id}"


def _requests_for(keys: int) -> int:
    return max(1, math.ceil(keys / KEYS_A_REQUEST))


class FakeJobStore:
    def __init__(self, stores: FakeStores) -> None:
        self._db = stores

    def get(self, job_id: str) -> Job | None:
        with self._db.read("jobs.get") as usage:
            usage.items_read += 1
            return self._db.job_rows.get(job_id)

    def get_many(self, job_ids: Sequence[str]) -> dict[str, Job]:
        wanted = dict.fromkeys(job_ids)
        if not wanted:
            return {}
        with self._db.read("jobs.get_many") as usage:
            usage.requests += _requests_for(len(wanted)) - 1
            usage.items_read += len(wanted)
            return {job_id: self._db.job_rows[job_id] for job_id in wanted if job_id in self._db.job_rows}

    def ids_with_prefix(self, prefix: str, limit: int) -> tuple[str, ...]:
        if len(prefix) < MIN_PREFIX_LENGTH:
            return ()
        with self._db.read("jobs.ids_with_prefix") as usage:
            found = sorted(job_id for job_id in self._db.indexed() if job_id.startswith(prefix))[:limit]
            usage.items_read += len(found)
            return tuple(found)

    def page(self, *, status: JobStatus | None, after: str | None, limit: int) -> IndexPage:
        with self._db.read("jobs.page") as usage:
            keys = sorted(
                (
                    (_created_key(job), job.job_id)
                    for job in self._db.indexed().values()
                    if (status is None or job.status is status) and (after is None or _created_key(job) < after)
                ),
                reverse=True,
            )
            entries = tuple((job_id, key) for key, job_id in keys[:limit])
            usage.items_read += len(entries)
            return IndexPage(entries, entries[-1][1] if len(keys) > limit and entries else None)

    def active(self, provider: str) -> tuple[Job, ...]:
        with self._db.read("jobs.active") as usage:
            usage.requests += len(ACTIVE_STATUSES) - 1
            found = sorted(
                (job for job in self._db.indexed().values() if job.status.is_active and job.provider == provider),
                key=_created_key,
            )
            usage.items_read += len(found)
            return tuple(found)

    def snapshot(
        self,
        remote_ids: Collection[RemoteId] = (),
        *,
        job_ids: Collection[str] = (),
        delivery_ids: Collection[str] = (),
        state: Collection[str] = (),
    ) -> Snapshot:
        with self._db.read("jobs.snapshot") as usage:
            now = self._db.clock.now()
            near = dict.fromkeys([*job_ids, *(remote_id.external_id for remote_id in remote_ids)])
            claims = {key: claim for key in remote_ids if (claim := self._live_claim(key, now))}
            claimed = [claim.job_id for claim in claims.values() if not claim.is_tombstone]
            far = dict.fromkeys(job_id for job_id in claimed if job_id not in near)
            reads = [1 + len(near) + len(set(remote_ids)) + len(set(delivery_ids)) + len(state), len(far)]
            usage.requests += sum(_requests_for(read) for read in reads if read) - 1
            usage.items_read += sum(reads)
            return Snapshot(
                head=self._db.begun_head(),
                jobs={job_id: self._db.job_rows[job_id] for job_id in {**near, **far} if job_id in self._db.job_rows},
                claims=claims,
                delivery_ids=frozenset(one for one in delivery_ids if self._is_delivered(one, now)),
                state=self._db.live_state(state, now),
            )

    def batches(self, changes: Iterable[JobChange]) -> Iterator[Sequence[JobChange]]:
        return fill_transactions(changes)

    def commit(
        self, changes: Sequence[JobChange], *, head: LogHead, at: datetime, turn_until: datetime | None = None
    ) -> LogHead:
        self._db.run_before_commit(changes)
        with self._db.write("jobs.commit") as usage:
            plan = _Plan.of(changes, at)
            self._db.faults.begin_commit()
            self._check(plan, head, at)
            self._apply(plan, at)
            usage.items_written += plan.item_count
            if not plan.touches_head:
                return head
            turn = turn_until or head.turn_until
            if turn_until is not None:
                self._db.head = replace(self._db.begun_head(), turn_until=turn)
            counts = {key: head.counts.get(key, 0) + plan.counts[key] for key in {*head.counts, *plan.counts}}
            return replace(head, seq=head.seq + len(plan.events), counts=_without_zeros(counts), turn_until=turn)

    def take_turn(self, until: datetime) -> None:
        with self._db.write("jobs.take_turn") as usage:
            self._db.faults.begin_turn()
            if self._db.head is None:
                raise StaleWrite(head=True)
            self._db.head = replace(self._db.head, turn_until=until)
            usage.items_written += 1

    def day_totals(self, provider: str, first_day: datetime, last_day: datetime) -> tuple[DayTotal, ...]:
        with self._db.read("jobs.day_totals") as usage:
            days = (last_day.date() - first_day.date()).days + 1
            if days < 1:
                return ()
            usage.requests += _requests_for(days) - 1
            usage.items_read += days
            wanted = (first_day.date() + timedelta(days=number) for number in range(days))
            rows = (self._db.total_rows.get((provider, day)) for day in wanted)
            return tuple(row for row in rows if row is not None)

    def _live_claim(self, remote_id: RemoteId, now: datetime) -> Claim | None:
        row = self._db.claim_rows.get(remote_id)
        return row.claim if row and _is_live(row.expires_at, now) else None

    def _is_delivered(self, delivery_id: str, now: datetime) -> bool:
        return delivery_id in self._db.delivery_rows and _is_live(self._db.delivery_rows[delivery_id], now)

    def _check(self, plan: _Plan, head: LogHead, at: datetime) -> None:
        """Every guard of the transaction. Raises StaleWrite with all that failed; nothing is written then."""
        stale_jobs: set[str] = set()
        for change in plan.changes:
            stored = self._db.job_rows.get(change.job_id)
            expected = change.before.version if change.before else None
            if (stored.version if stored else None) != expected:
                stale_jobs.add(change.job_id)
        for claim in plan.claims:
            found = self._db.claim_rows.get(claim.remote_id)
            if found and _is_live(found.expires_at, at) and not (claim.is_tombstone and _is_of(found.claim, claim)):
                stale_jobs.add(claim.job_id)
        stored_head = self._db.head
        head_moved = plan.touches_head and (
            stored_head is None or (stored_head.epoch, stored_head.seq) != (head.epoch, head.seq)
        )
        delivery_ids = {delivery_id for delivery_id in plan.delivery_ids if self._is_delivered(delivery_id, at)}
        if stale_jobs or head_moved or delivery_ids:
            raise StaleWrite(jobs=stale_jobs, head=head_moved, delivery_ids=delivery_ids)

    def _apply(self, plan: _Plan, at: datetime) -> None:
        db = self._db
        for change in plan.changes:
            version = (change.before.version if change.before else 0) + 1
            db.put_job(change.job_id, replace(change.after, version=version) if change.after else None)
        for claim in plan.claims:
            expires_at = _epoch_seconds(at + TOMBSTONE_LIFE) if claim.is_tombstone else None
            db.claim_rows[claim.remote_id] = _StoredClaim(claim, expires_at)
        for delivery_id in plan.delivery_ids:
            db.delivery_rows[delivery_id] = _epoch_seconds(at + DELIVERY_ID_LIFE)
        for difference in plan.totals:
            known = db.total_rows.get((difference.provider, difference.day))
            db.total_rows[difference.provider, difference.day] = _sum_of(known, difference)
        if plan.touches_head and db.head is not None:
            if plan.events:
                commit = _StoredCommit(db.head.seq + 1, plan.events, _epoch_seconds(at + EVENT_LIFE))
                db.commit_rows[db.head.seq + len(plan.events)] = commit
            counts = Counter(dict(db.head.counts))
            counts.update(plan.counts)
            db.head = replace(db.head, seq=db.head.seq + len(plan.events), counts=_without_zeros(counts))


@dataclass(frozen=True, slots=True)
class _Plan:
    """A set of changes as the items that one transaction writes."""

    changes: tuple[JobChange, ...]
    events: tuple[JobEvent, ...]
    claims: tuple[Claim, ...]
    delivery_ids: tuple[str, ...]
    totals: tuple[DayTotal, ...]
    counts: Counter[tuple[str, JobStatus]] = field(default_factory=Counter)

    @classmethod
    def of(cls, changes: Sequence[JobChange], at: datetime) -> _Plan:
        """Raises ValueError for an item twice, ChangeTooLargeError for what one transaction cannot hold."""
        counts: Counter[tuple[str, JobStatus]] = Counter()
        for change in changes:
            for job, step in ((change.before, -1), (change.after, 1)):
                if job:
                    counts[job.provider, job.status] += step
        plan = cls(
            changes=tuple(changes),
            events=tuple(event for change in changes for event in change.events),
            claims=tuple(change.written_claim for change in changes if change.written_claim),
            delivery_ids=tuple(dict.fromkeys(delivery_id for change in changes for delivery_id in change.delivery_ids)),
            totals=day_differences([(change.before, change.after) for change in changes]),
            counts=Counter({key: number for key, number in counts.items() if number}),
        )
        for keys in ([change.job_id for change in plan.changes], [claim.remote_id for claim in plan.claims]):
            if len(set(keys)) < len(keys):
                raise ValueError("A transaction holds no item twice.")
        check_size(changes, plan.item_count)
        return plan

    @property
    def touches_head(self) -> bool:
        return bool(self.events or self.counts)

    @property
    def item_count(self) -> int:
        parts = (self.changes, self.claims, self.delivery_ids, self.totals)
        return sum(len(part) for part in parts) + bool(self.events) + self.touches_head


def _is_of(found: Claim, written: Claim) -> bool:
    return found.job_id == written.job_id


def _without_zeros(counts: Mapping[tuple[str, JobStatus], int]) -> dict[tuple[str, JobStatus], int]:
    return {key: number for key, number in counts.items() if number}


def _sum_of(known: DayTotal | None, difference: DayTotal) -> DayTotal:
    if known is None:
        return difference
    return replace(
        known,
        cost=known.cost + difference.cost,
        jobs=known.jobs + difference.jobs,
        seconds=known.seconds + difference.seconds,
    )


def _epoch_seconds(moment: datetime) -> int:
    return math.ceil(moment.timestamp())


class FakeEventLog:
    def __init__(self, stores: FakeStores) -> None:
        self._db = stores

    def head(self) -> LogHead:
        with self._db.read("events.head") as usage:
            usage.items_read += 1
            return self._db.begun_head()

    def read(self, after: int, limit: int) -> tuple[LoggedEvent, ...]:
        with self._db.read("events.read") as usage:
            now = self._db.clock.now()
            lasts = sorted(last for last in self._db.commit_rows if last > after)[:limit]
            usage.items_read += len(lasts)
            torn = self._db.faults.torn_from(lasts)
            rows = (self._db.commit_rows[last] for last in lasts if last not in torn)
            live = (row for row in rows if _is_live(row.expires_at, now))
            later = (logged for row in live for logged in row.logged() if logged.seq > after)
            return consecutive(after, islice(later, limit))

    def written_at(self, after: int) -> datetime | None:
        with self._db.read("events.written_at") as usage:
            usage.items_read += 1
            last = min((last for last in self._db.commit_rows if last > after), default=None)
            return (
                None
                if last is None
                else datetime.fromtimestamp(self._db.commit_rows[last].expires_at, UTC) - EVENT_LIFE
            )

    def trim(self, *, before: datetime, limit: int) -> int:
        with self._db.read("events.trim") as usage:
            head = self._db.begun_head()
            latest_expiry = (before + EVENT_LIFE).timestamp()
            lasts = sorted(self._db.commit_rows)[:limit]
            usage.items_read += len(lasts)
            rows = self._db.commit_rows
            old = list(takewhile(lambda last: rows[last].expires_at < latest_expiry, lasts))
            rest = lasts[len(old) :]
            first_kept = rows[rest[0]].first if rest else (old[-1] + 1 if len(old) == limit else head.seq + 1)
        if first_kept > head.first_kept:
            with self._db.write("events.trim") as usage:
                self._db.head = replace(self._db.begun_head(), first_kept=first_kept)
                usage.items_written += 1
        if old:
            with self._db.write("events.trim") as usage:
                for last in old:
                    del self._db.commit_rows[last]
                usage.items_written += len(old)
        return len(old)


class FakeJobTexts:
    def __init__(self, stores: FakeStores) -> None:
        self._db = stores

    def get(self, job_id: str, part: str) -> bytes | None:
        with self._db.read("texts.get") as usage:
            usage.items_read += 1
            row = self._db.text_rows.get((job_id, part))
            return row.stored if row else None

    def get_many(self, job_ids: Sequence[str], part: str) -> dict[str, bytes]:
        wanted = dict.fromkeys(job_ids)
        if not wanted:
            return {}
        with self._db.read("texts.get_many") as usage:
            usage.requests += _requests_for(len(wanted)) - 1
            usage.items_read += len(wanted)
            rows = ((job_id, self._db.text_rows.get((job_id, part))) for job_id in wanted)
            return {job_id: row.stored for job_id, row in rows if row and row.stored is not None}

    def parts(self, job_id: str, first: str, last: str) -> dict[str, bytes]:
        with self._db.read("texts.parts") as usage:
            rows = {key[1]: row.stored for key, row in self._db.text_rows.items() if key[0] == job_id}
            found = {
                part: stored for part, stored in sorted(rows.items()) if stored is not None and first <= part <= last
            }
            usage.items_read += len(found)
            return found

    def put(self, job_id: str, part: str, content: bytes) -> None:
        with self._db.write("texts.put") as usage:
            self._db.text_rows[job_id, part] = _TextPart(content)
            usage.items_written += 1

    def acquire(self, job_id: str, part: str, *, now: datetime, until: datetime) -> bool:
        with self._db.write("texts.acquire") as usage:
            row = self._db.text_rows.setdefault((job_id, part), _TextPart())
            if is_running(row.lease_until, now, life=until - now):
                return False
            row.lease_until = until
            usage.items_written += 1
            return True

    def delete(self, job_id: str, parts: Sequence[str]) -> None:
        with self._db.write("texts.delete") as usage:
            for part in parts:
                self._db.text_rows.pop((job_id, part), None)
            usage.items_written += len(parts)

    def delete_all(self, job_id: str) -> None:
        with self._db.write("texts.delete_all") as usage:
            parts = [key for key in self._db.text_rows if key[0] == job_id]
            for key in parts:
                del self._db.text_rows[key]
            usage.requests += 1 if parts else 0
            usage.items_written += len(parts)


class FakeStateStore:
    def __init__(self, stores: FakeStores) -> None:
        self._db = stores

    def get(self, key: str, *, now: datetime) -> StateItem | None:
        return self._get([key], now, "state.get").get(key)

    def get_many(self, keys: Sequence[str], *, now: datetime) -> dict[str, StateItem]:
        return self._get(keys, now, "state.get_many") if keys else {}

    def put(
        self,
        key: str,
        value: Mapping[str, object],
        *,
        now: datetime,
        expires_at: datetime | None = None,
        if_version: int | None = None,
    ) -> int:
        _check_key(key)
        text = json.dumps(value, allow_nan=False)
        with self._db.write("state.put") as usage:
            row = self._db.state_rows.get(key)
            life = state_keys.longest_life(key)
            if expires_at is not None and life is not None and expires_at > now + life:
                raise ValueError(f"{key} lasts for {life} at the most.")
            self._check(row, key, now, if_version)
            version = row.version + 1 if row else int(now.timestamp() * 1000)
            self._db.state_rows[key] = _StoredState(text, version, _epoch_seconds(expires_at) if expires_at else None)
            usage.items_written += 1
            return version

    def delete(self, key: str, *, now: datetime, if_version: int | None = None) -> StateItem | None:
        _check_key(key)
        with self._db.write("state.delete") as usage:
            row = self._db.state_rows.get(key)
            self._check(row, key, now, if_version)
            self._db.state_rows.pop(key, None)
            usage.items_written += 1
            return (
                StateItem(json.loads(row.text), row.version)
                if row and _is_live(row.expires_at, now, life=state_keys.longest_life(key))
                else None
            )

    def _get(self, keys: Sequence[str], now: datetime, operation: str) -> dict[str, StateItem]:
        wanted = dict.fromkeys(keys)
        for key in wanted:
            _check_key(key)
        with self._db.read(operation) as usage:
            usage.requests += _requests_for(len(wanted)) - 1
            usage.items_read += len(wanted)
            return self._db.live_state(wanted, now)

    def _check(self, row: _StoredState | None, key: str, now: datetime, if_version: int | None) -> None:
        present = row.version if row and _is_live(row.expires_at, now, life=state_keys.longest_life(key)) else 0
        if if_version is not None and present != if_version:
            raise StaleWrite(detail="Another writer was first.")


def _check_key(key: str) -> None:
    if key.startswith(OWN_PREFIXES):
        raise ValueError(f"{key.partition('#')[0]} items belong to the job store.")


class FakeConnections:
    def __init__(self, stores: FakeStores) -> None:
        self._db = stores
        self._messages: dict[str, tuple[int, int]] = {}

    def add(self, connection: Connection) -> None:
        with self._db.write("connections.add") as usage:
            self._db.connection_rows[connection.connection_id] = _whole_seconds(connection)
            usage.items_written += 1

    def get(self, connection_id: str) -> Connection | None:
        """The row as it lies there, for tests."""
        return self._db.connection_rows.get(connection_id)

    def count_message(self, connection_id: str, *, now: datetime) -> tuple[Connection, int] | None:
        with self._db.write("connections.count_message") as usage:
            row = self._db.connection_rows.get(connection_id)
            if row is None:
                return None
            second, count = self._messages.get(connection_id, (0, 0))
            this_second = int(now.timestamp())
            is_ahead = second > this_second + ALLOWED_SKEW.total_seconds()
            count = count + 1 if second >= this_second and not is_ahead else 1
            self._messages[connection_id] = (this_second if is_ahead else max(second, this_second), count)
            usage.items_written += 1
            return (row, count) if _is_open(row, now) else None

    def count_of_user(self, user_id: str, *, now: datetime) -> int:
        with self._db.read("connections.count_of_user") as usage:
            rows = list(self._db.connection_rows.values())
            usage.items_read += len(rows)
            return sum(
                1 for row in rows if row.user_id == user_id and is_running(row.expires_at, now, life=CONNECTION_LIFE)
            )

    def all(self, *, now: datetime) -> Iterator[Connection]:
        with self._db.read("connections.all") as usage:
            rows = [row for row in self._db.connection_rows.values() if row.cursor is not None]
            usage.items_read += len(rows)
        return iter([row for row in rows if _is_open(row, now)])

    def advance(self, connection: Connection, *, cursor: int, epoch: str, failures: int = 0) -> bool:
        with self._db.write("connections.advance") as usage:
            stored = self._db.connection_rows.get(connection.connection_id)
            if stored is None or (stored.cursor, stored.epoch) != (connection.cursor, connection.epoch):
                return False
            moved = replace(stored, cursor=cursor, epoch=epoch, failures=failures)
            self._db.connection_rows[connection.connection_id] = moved
            usage.items_written += 1
            return True

    def remove(self, connection_id: str) -> None:
        with self._db.write("connections.remove") as usage:
            self._db.connection_rows.pop(connection_id, None)
            usage.items_written += 1


def _is_open(connection: Connection, now: datetime) -> bool:
    return is_running(connection.expires_at, now, life=CONNECTION_LIFE)


def _whole_seconds(connection: Connection) -> Connection:
    return replace(connection, expires_at=connection.expires_at.replace(microsecond=0))
