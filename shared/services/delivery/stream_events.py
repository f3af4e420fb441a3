"""One answer of `GET /api/events`: what is new, at once or after a short wait (docs/contract.md)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain import state_keys
from shared.domain.access import Principal
from shared.domain.cursor import Cursor, resolve_cursor
from shared.domain.errors import AuthenticationRequiredError, TooManyConnectionsError
from shared.domain.event import EventId, LogHead
from shared.domain.event_stream import stream_text
from shared.domain.job import ACTIVE_STATUSES
from shared.domain.metric import Metric
from shared.domain.network import network_of
from shared.ports import Clock, EventLog, Telemetry
from shared.services.access.list_revocations import ListRevocations
from shared.services.delivery.read_events import ReadEvents, Run, readable_head
from shared.services.leases import Leases

MAX_CHANGES = 200
"""Changes an answer carries at most: about 200 kB."""

RETRY_MORE_MS = 100
RETRY_SOON_MS = 1_000
RETRY_IDLE_MS = 15_000
"""When the client comes back: for the rest of a backlog, for the next wait, and where nothing is held open."""

SLOT_LIFE = timedelta(seconds=30)
"""Longer than any request lives (27 s), so none needs renewing; one whose holder died is free again by itself."""

SECONDS_BETWEEN_READS = 1.0
SECONDS_KEPT_BACK = 3.0
"""The answer is on its way this long before the function's own end."""

_ACTIVE = frozenset(ACTIVE_STATUSES)


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens, from which network peer, and how long this function may still run (seconds)."""

    principal: Principal
    source_ip: str
    seconds_left: float


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is told: `run` after `cursor`, of the log whose head is `head`.

    `is_held`: after waiting for it. `comes_back_soon`: the next request of this client may wait.
    """

    cursor: Cursor
    head: LogHead
    run: Run
    is_held: bool = False
    comes_back_soon: bool = False

    @property
    def is_news(self) -> bool:
        return self.cursor.is_reset or bool(self.run.changes)

    @property
    def text(self) -> str:
        return stream_text(
            retry_ms=self._retry_ms,
            start=self.cursor.position,
            head=readable_head(self.head, self.run),
            frames=self.run.frames(self.cursor.position),
            is_reset=self.cursor.is_reset,
        )

    @property
    def _retry_ms(self) -> int:
        has_more = self.run.changes and self.run.last < self.head.seq and not self.run.is_torn
        is_soon = self.is_news or self.is_held or self.comes_back_soon
        return RETRY_MORE_MS if has_more else RETRY_SOON_MS if is_soon else RETRY_IDLE_MS


@dataclass(frozen=True, kw_only=True)
class StreamEvents:
    """Held open at most `sse_hold_seconds`, only while a job is active and one of `sse_max_held` slots is free.

    Who has no cursor yet is answered at once.
    """

    events: EventLog
    leases: Leases
    clock: Clock
    telemetry: Telemetry
    read_events: ReadEvents
    list_revocations: ListRevocations
    sse_hold_seconds: float
    sse_max_held: int
    sse_connections_per_ip: int

    def run(self, last_id: str | None, listener: Listener) -> str:
        """The whole text of one answer. Raises TooManyConnectionsError, AuthenticationRequiredError (revoked)."""
        began_at = self.clock.now()
        deadline = self.clock.monotonic() + min(self.sse_hold_seconds, listener.seconds_left - SECONDS_KEPT_BACK)
        with self._admit(listener.source_ip):
            answer = self._read(last_id)
            if not last_id:
                # Its `connection` has an id, so the client has a position at once and loses nothing until it is back.
                answer = replace(answer, comes_back_soon=self._may_hold(answer.head))
            elif not answer.is_news and self._may_hold(answer.head):
                answer = self._hold(answer, deadline)
                if answer.is_held and answer.is_news:
                    self._refuse_revoked(listener.principal, began_at)
        return answer.text

    @contextmanager
    def _admit(self, source_ip: str) -> Iterator[None]:
        """Only so many at once for one customer's network (T16, T17)."""
        slots = state_keys.streams_of_address(network_of(source_ip))
        with self._slot(slots, self.sse_connections_per_ip) as has_slot:
            if not has_slot:
                raise TooManyConnectionsError(
                    f"This address already has {self.sse_connections_per_ip} event streams open; close one or wait.",
                    retry_after=5,
                )
            yield

    def _read(self, last_id: str | None) -> _Answer:
        """What is in the log already."""
        head = self.events.head()
        cursor = resolve_cursor(last_id, head)
        if cursor.is_reset:
            return _reset(head)
        run = self.read_events.run(cursor.seq, head, limit=MAX_CHANGES)
        return _reset(self.events.head()) if run.is_trimmed else _Answer(cursor, head, run)

    def _may_hold(self, head: LogHead) -> bool:
        return self.sse_hold_seconds > 0 and self.sse_max_held > 0 and head.count(statuses=_ACTIVE) > 0

    def _hold(self, answer: _Answer, deadline: float) -> _Answer:
        """What came until the deadline; the answer as it is when all slots are taken."""
        with self._slot(state_keys.STREAM_HOLDS, self.sse_max_held) as has_slot:
            if not has_slot:
                return answer
            run = self._wait(answer.cursor.seq, deadline)
        head = self.events.head() if run.changes else answer.head
        if head.epoch != answer.head.epoch:
            # The log began anew meanwhile: these changes have the numbers of others.
            return _reset(head, is_held=True)
        return _Answer(answer.cursor, head, run, is_held=True)

    def _wait(self, after: int, deadline: float) -> Run:
        """Look once a second until something is new or time is up."""
        began = self.clock.monotonic()
        run = Run(after)
        while not run.changes and (left := deadline - self.clock.monotonic()) > 0:
            self.clock.sleep(min(SECONDS_BETWEEN_READS, left))
            run = Run(after, self.events.read(after, MAX_CHANGES))
        self.telemetry.count(Metric.SSE_HELD_SECONDS, self.clock.monotonic() - began)
        return run

    def _slot(self, name: str, count: int) -> AbstractContextManager[bool]:
        """One of `count` slots, tried in a random order, so that one write takes a free one as a rule (T17)."""
        slots = [state_keys.slot(name, number) for number in random.sample(range(count), count)]
        return self.leases.hold(*slots, life=SLOT_LIFE)

    def _refuse_revoked(self, principal: Principal, began_at: datetime) -> None:
        if self.list_revocations.run().cover(principal.user_id, principal.key_id, began_at):
            raise AuthenticationRequiredError("Authentication required: this access was revoked.")


def _reset(head: LogHead, *, is_held: bool = False) -> _Answer:
    return _Answer(Cursor(EventId.of_head(head), is_reset=True), head, Run(head.seq), is_held=is_held)
