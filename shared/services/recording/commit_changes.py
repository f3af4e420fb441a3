"""Write what was decided, and decide anew on whatever another writer was first with."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from shared.domain.change import JobChange, Snapshot
from shared.domain.errors import ChangeTooLargeError, StaleWrite, StoreUnavailableError
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
TRIES_WHILE_DOWN = 2


@dataclass(frozen=True, slots=True)
class Committed:
    """`done` is written, or needed no writing; `left` is not, each piece with what was decided about it last.

    What is left without a change was never decided: the store could not be read, or another piece came first.
    """

    done: Sequence[Decision]
    left: Sequence[Decision]


@dataclass(slots=True)
class _Tried:
    """`again` is to be decided anew, `refused` not to be tried again. `is_down`: the store did not answer."""

    done: list[Decision] = field(default_factory=list)
    again: list[Decision] = field(default_factory=list)
    refused: list[Decision] = field(default_factory=list)
    is_down: bool = False


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
        left; of a store that is down at most TRIES_WHILE_DOWN times.
        """
        done: list[Decision] = []
        left: list[Decision] = []
        again = [Decision(work=piece) for piece in work]
        times_down = 0
        for attempt in range(tries):
            if attempt:
                self._pause()
            tried = self._try(again, snapshot if attempt == 0 else None)
            done += tried.done
            left += tried.refused
            again = tried.again
            times_down += tried.is_down
            if not again or times_down == TRIES_WHILE_DOWN:
                break
        self._count(done)
        return Committed(done, [*left, *again])

    def _try(self, undone: Sequence[Decision], snapshot: Snapshot | None) -> _Tried:
        work = [decision.work for decision in undone]
        try:
            snapshot = snapshot or self._read(work)
            decisions = decide(work, snapshot, self.rules())
        except StoreUnavailableError:
            # Of the settings as well, which the rules read when they are needed.
            return _Tried(again=[*undone], is_down=True)
        tried = self._write([made for made in decisions.made if made.change is not None], snapshot.head)
        tried.done += [made for made in decisions.made if made.change is None]
        tried.again += [Decision(work=piece) for piece in decisions.later]
        return tried

    def _write(self, decided: Sequence[Decision], read_head: LogHead) -> _Tried:
        """One transaction after the other, each on the head that the one before it left."""
        tried = _Tried()
        by_job = {change.job_id: decision for decision in decided if (change := decision.change)}
        batches = deque(self.jobs.batches([decision.change for decision in decided if decision.change]))
        head: LogHead | None = self._newest(read_head)
        while batches:
            batch = batches.popleft()
            rest: Sequence[JobChange] = ()
            try:
                head = self.jobs.commit(batch, head=head or self.jobs.snapshot().head, at=self.clock.now())
            except StaleWrite as stale:
                if stale.head:
                    head = None
                moved = [change for change in batch if _has_moved(change, stale)] or batch
                tried.again += [by_job[change.job_id] for change in moved]
                rest = [change for change in batch if change not in moved]
            except ChangeTooLargeError as error:
                rest = [change for change in batch if change.job_id != error.job_id]
                tried.refused.append(by_job[error.job_id])
                self.telemetry.warning("change too large", job_id=error.job_id, reason=error.detail)
            except StoreUnavailableError:
                tried.is_down = True
                tried.again += [by_job[change.job_id] for unwritten in (batch, *batches) for change in unwritten]
                return tried
            else:
                self._head = head
                tried.done += [_as_written(by_job[change.job_id]) for change in batch]
            if rest:
                batches.appendleft(rest)
        return tried

    def _read(self, work: Sequence[Work]) -> Snapshot:
        groups = [piece for piece in work if isinstance(piece, Group)]
        named = [piece.job_id for piece in work if piece.job_id is not None]
        delivery_ids = [delivery_id for group in groups for delivery_id in group.delivery_ids]
        return self.jobs.snapshot([group.remote_id for group in groups], job_ids=named, delivery_ids=delivery_ids)

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
        return known if known is not None and known.epoch == read.epoch and known.seq > read.seq else read

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


def _has_moved(change: JobChange, stale: StaleWrite) -> bool:
    return change.job_id in stale.jobs or not stale.delivery_ids.isdisjoint(change.delivery_ids)


def _as_written(made: Decision) -> Decision:
    """The store has raised the version by one."""
    return replace(made, job=replace(made.job, version=made.job.version + 1)) if made.job else made
