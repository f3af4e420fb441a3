"""Write what was decided, and decide anew on whatever another writer was first with."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from shared.domain.change import JobChange, Snapshot
from shared.domain.errors import ChangeRefusedError, StaleWrite, StoreUnavailableError
from shared.domain.event import EventType, LogHead
from shared.domain.metric import Metric
from shared.domain.observation import Observation
from shared.domain.pricing import Hardware
from shared.ports import Clock, JobStore, Telemetry
from shared.services.providers.provider_settings import ProviderSettings
from shared.services.recording.decide import Decision, Group, Rules, Work, decide

OWN_TRIES = 2
"""Of a writer that has the committer's queue behind it."""
COMMITTER_TRIES = 8
"""Of the committer on a piece of work whose own job moves each time; a busy head counts for none of them."""
TRIES_WHILE_DOWN = 2
TURN = timedelta(seconds=3)
"""Of the committer's turn after each of its transactions: as long as it takes to fetch the next batch."""


class _Manner(Enum):
    """How a writer stands to the others."""

    YIELDING = auto()
    """It has the committer's queue behind it, and hands over in the committer's turn."""
    COMMITTER = auto()
    """It writes like anybody, in nobody's turn."""
    COMMITTER_IN_TURN = auto()
    """Each of its transactions prolongs its turn."""


@dataclass(frozen=True, slots=True)
class Committed:
    """`done` is written, or needed no writing; `left` is not, each piece with what was decided about it last.

    What is left without a change was never decided: the store could not be read, or another piece came first.
    `refused`, a part of `left`, can never be written.
    """

    done: Sequence[Decision]
    left: Sequence[Decision]
    refused: Sequence[Decision] = ()


@dataclass(slots=True)
class _Tried:
    """`again` is to be decided anew, `refused` not to be tried again. `is_down`: the store did not answer.

    `is_overtaken`: another writer moved the head; `has_yielded`: it is the committer's turn.
    """

    done: list[Decision] = field(default_factory=list)
    again: list[Decision] = field(default_factory=list)
    refused: list[Decision] = field(default_factory=list)
    is_down: bool = False
    is_overtaken: bool = False
    has_yielded: bool = False


@dataclass(slots=True)
class _Progress:
    """What became of the work in all tries so far; `again` is what is left to do."""

    again: list[Decision]
    done: list[Decision] = field(default_factory=list)
    refused: list[Decision] = field(default_factory=list)
    times_down: int = 0

    def add(self, tried: _Tried) -> None:
        self.done += tried.done
        self.refused += tried.refused
        self.again = tried.again
        self.times_down += tried.is_down


@dataclass(kw_only=True)
class CommitChanges:
    """It remembers the log's head as its last transaction left it: a snapshot that was read ahead cannot know that."""

    jobs: JobStore
    clock: Clock
    telemetry: Telemetry
    provider_settings: ProviderSettings
    retention: timedelta | None
    _head: LogHead | None = field(default=None, init=False)

    def run(self, work: Iterable[Work], *, tries: int, snapshot: Snapshot | None = None) -> Committed:
        """Decide and write, in as many transactions as it takes; `snapshot` serves the first try.

        What another writer or the store was in the way of is read and decided anew, at most `tries` times, and then
        left; of a store that is down at most TRIES_WHILE_DOWN times. In the committer's turn all is decided and left.
        """
        progress = _Progress([Decision(work=piece) for piece in work])
        for attempt in range(tries):
            if attempt:
                self._pause()
            tried = self._try(progress.again, snapshot if attempt == 0 else None, _Manner.YIELDING)
            progress.add(tried)
            if not progress.again or tried.has_yielded or progress.times_down == TRIES_WHILE_DOWN:
                break
        return self._committed(progress)

    def run_as_committer(self, work: Iterable[Work], *, seconds: float, is_in_turn: bool = False) -> Committed:
        """The same for the committer, behind which there is no queue: for so many seconds against a busy head.

        Once another writer was first, or at once with `is_in_turn`, it takes its turn, in which all others hand over.
        Work that something else than the head is in the way of is left after COMMITTER_TRIES.
        """
        progress = _Progress([Decision(work=piece) for piece in work])
        until = self.clock.monotonic() + seconds
        manner = _Manner.COMMITTER_IN_TURN if is_in_turn else _Manner.COMMITTER
        tries = 0
        while True:
            tried = self._try(progress.again, None, manner)
            progress.add(tried)
            tries += not tried.is_overtaken
            is_given_up = tries == COMMITTER_TRIES or progress.times_down == TRIES_WHILE_DOWN
            if not progress.again or is_given_up or self.clock.monotonic() >= until:
                return self._committed(progress)
            if tried.is_overtaken:
                manner = _Manner.COMMITTER_IN_TURN
                self._take_turn()
            self._pause()

    def _committed(self, progress: _Progress) -> Committed:
        self._count(progress.done)
        return Committed(progress.done, [*progress.refused, *progress.again], progress.refused)

    def _take_turn(self) -> None:
        """Best effort: who fails tries to commit all the same, and again after that."""
        try:
            self.jobs.take_turn(self.clock.now() + TURN)
        except (StaleWrite, StoreUnavailableError) as error:
            self.telemetry.info("turn not taken", reason=error.detail)

    def _try(self, undone: Sequence[Decision], snapshot: Snapshot | None, manner: _Manner) -> _Tried:
        work = [decision.work for decision in undone]
        try:
            snapshot = snapshot or self.read(work)
            decisions = decide(work, snapshot, self.rules())
        except StoreUnavailableError:
            # Of the settings as well, which the rules read when they are needed.
            return _Tried(again=[*undone], is_down=True)
        tried = self._write([made for made in decisions.made if made.change is not None], snapshot.head, manner)
        tried.done += [made for made in decisions.made if made.change is None]
        tried.again += [Decision(work=piece) for piece in decisions.later]
        return tried

    def _write(self, decided: Sequence[Decision], read_head: LogHead, manner: _Manner) -> _Tried:
        """One transaction after the other, each on the head that the one before it left."""
        tried = _Tried()
        by_job = {change.job_id: decision for decision in decided if (change := decision.change)}
        batches = deque(self.jobs.batches([decision.change for decision in decided if decision.change]))
        head: LogHead | None = self._newest(read_head)
        while batches and not (tried.is_overtaken and manner is not _Manner.YIELDING):
            batch = batches[0]
            try:
                now, head = self.clock.now(), head or self.jobs.snapshot().head
                tried.has_yielded = manner is _Manner.YIELDING and head.is_committers_turn(now)
                if tried.has_yielded:
                    break
                head = self.jobs.commit(batch, head=head, at=now, turn_until=_turn_until(manner, now))
            except StaleWrite as stale:
                head = None if stale.head else head
                tried.is_overtaken |= stale.head
                moved = [change for change in batch if _has_moved(change, stale)] or batch
                tried.again += [by_job[change.job_id] for change in moved]
                batches[0] = [change for change in batch if change not in moved]
            except ChangeRefusedError as error:
                batches.popleft()
                batches.extendleft(reversed(self._without_refused(batch, error, tried, by_job)))
            except StoreUnavailableError:
                tried.is_down = True
                break
            else:
                self._head = head
                tried.done += [_as_written(by_job[change.job_id]) for change in batches.popleft()]
            if batches and not batches[0]:
                batches.popleft()
        tried.again += [by_job[change.job_id] for unwritten in batches for change in unwritten]
        return tried

    def _without_refused(
        self, batch: Sequence[JobChange], error: ChangeRefusedError, tried: _Tried, by_job: Mapping[str, Decision]
    ) -> list[Sequence[JobChange]]:
        """What to write in a refused batch's place: the others of it, or its halves while nobody knows which it is."""
        job_id = batch[0].job_id if len(batch) == 1 else error.job_id
        if job_id is None:
            return [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
        tried.refused.append(by_job[job_id])
        self.telemetry.warning("change refused", job_id=job_id, reason=error.detail)
        return [[change for change in batch if change.job_id != job_id]]

    def read(self, work: Sequence[Work], *, state: Collection[str] = ()) -> Snapshot:
        """What these pieces of work are decided on, with items of the state store. Raises StoreUnavailableError."""
        groups = [piece for piece in work if isinstance(piece, Group)]
        named = [piece.job_id for piece in work if piece.job_id is not None]
        delivery_ids = [delivery_id for group in groups for delivery_id in group.delivery_ids]
        remote_ids = [group.remote_id for group in groups]
        return self.jobs.snapshot(remote_ids, job_ids=named, delivery_ids=delivery_ids, state=state)

    def rules(self) -> Rules:
        """What decisions of this moment depend on."""
        settings = self.provider_settings.of_one_moment()

        def hardware_of(seen: Observation) -> Hardware:
            return settings.hardware(seen.provider, seen.hardware)

        return Rules(
            now=self.clock.now(),
            retention=self.retention,
            hardware_of=hardware_of,
            our_webhook_url=settings.webhook_url,
        )

    def _newest(self, read: LogHead) -> LogHead:
        known = self._head
        if known is None or known.epoch != read.epoch or known.seq <= read.seq:
            return read
        return replace(known, turn_until=max(filter(None, (known.turn_until, read.turn_until)), default=None))

    def _pause(self) -> None:
        self.telemetry.count(Metric.TRANSACTION_RETRY)
        self.clock.sleep(random.uniform(0.02, 0.1))

    def _count(self, done: Sequence[Decision]) -> None:
        events = [event for made in done if made.change for event in made.change.events]
        counts = {
            Metric.STATUS_CHANGED: sum(event.type is EventType.STATUS_CHANGED for event in events),
            Metric.TERMINAL_CONFLICT: sum(made.terminal_conflicts for made in done),
            Metric.UNKNOWN_STATUS: sum(made.unknown_statuses for made in done),
        }
        for metric, count in counts.items():
            if count:
                self.telemetry.count(metric, count)


def _turn_until(manner: _Manner, now: datetime) -> datetime | None:
    return now + TURN if manner is _Manner.COMMITTER_IN_TURN else None


def _has_moved(change: JobChange, stale: StaleWrite) -> bool:
    return change.job_id in stale.jobs or not stale.delivery_ids.isdisjoint(change.delivery_ids)


def _as_written(made: Decision) -> Decision:
    """The store has raised the version by one."""
    return replace(made, job=replace(made.job, version=made.job.version + 1)) if made.job else made
