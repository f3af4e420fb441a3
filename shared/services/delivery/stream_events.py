"""One answer of `GET /api/events`: what is new, at once or after a short wait (docs/contract.md)."""

from __future__ import annotations

import ipaddress
import random
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain import state_keys
from shared.domain.access import Principal
from shared.domain.cursor import Cursor, resolve_cursor
from shared.domain.errors import AuthenticationRequiredError, TooManyConnectionsError
from shared.domain.event import EventId, LogHead
from shared.domain.event_stream import stream_text
from shared.domain.job import ACTIVE_STATUSES
from shared.domain.metric import Metric
from shared.ports import Clock, EventLog, StateStore, Telemetry
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


@dataclass(frozen=True, kw_only=True)
class StreamEvents:
    """Held open at most `sse_hold_seconds`, only while a job is active and one of `sse_max_held` places is free."""

    events: EventLog
    state: StateStore
    leases: Leases
    clock: Clock
    telemetry: Telemetry
    sse_hold_seconds: float
    sse_max_held: int
    sse_connections_per_ip: int

    def run(self, cursor: str | None, listener: Listener) -> str:
        """The whole text of one answer. Raises TooManyConnectionsError, AuthenticationRequiredError (revoked)."""
        began_at, began = self.clock.now(), self.clock.monotonic()
        address = state_keys.streams_of_address(network_of(listener.source_ip))
        with self._slot(address, self.sse_connections_per_ip) as has_place:
            if not has_place:
                raise TooManyConnectionsError(
                    f"This address already has {self.sse_connections_per_ip} event streams open; close one or wait.",
                    retry_after=5,
                )
            head = self.events.head()
            start = resolve_cursor(cursor, head)
            if start.is_reset:
                return _reset_text(start)
            run = ReadEvents(self.events, self.clock).run(start.seq, head, limit=MAX_CHANGES)
            if run.is_torn and not run.changes:
                head = self.events.head()
                start = resolve_cursor(cursor, head) if cursor else start
                if start.is_reset:
                    return _reset_text(start)
            if run.changes or not self._may_hold(head):
                return _news_text(start, run, head, retry_ms=RETRY_SOON_MS if run.changes else RETRY_IDLE_MS)
            with self._slot(state_keys.STREAM_HOLDS, self.sse_max_held) as is_held:
                if not is_held:
                    return _news_text(start, run, head, retry_ms=RETRY_IDLE_MS)
                deadline = began + min(self.sse_hold_seconds, listener.seconds_left - SECONDS_KEPT_BACK)
                run = self._wait(start.seq, deadline)
            if run.changes:
                self._refuse_revoked(listener.principal, began_at)
                head = self.events.head()
                if head.epoch != start.position.epoch:
                    # The log began anew meanwhile: these changes have the numbers of others.
                    return _reset_text(Cursor(EventId.of_head(head), is_reset=True))
            return _news_text(start, run, head, retry_ms=RETRY_SOON_MS)

    def _slot(self, name: str, count: int) -> AbstractContextManager[bool]:
        """One of `count` slots, tried in a random order, so that one write takes a free one as a rule (T17)."""
        slots = [state_keys.slot(name, number) for number in random.sample(range(count), count)]
        return self.leases.hold(*slots, life=SLOT_LIFE)

    def _may_hold(self, head: LogHead) -> bool:
        return self.sse_hold_seconds > 0 and self.sse_max_held > 0 and head.count(statuses=_ACTIVE) > 0

    def _wait(self, after: int, deadline: float) -> Run:
        """Look once a second until something is new or time is up."""
        began = self.clock.monotonic()
        run = Run(after, ())
        while not run.changes and (left := deadline - self.clock.monotonic()) > 0:
            self.clock.sleep(min(SECONDS_BETWEEN_READS, left))
            run = Run(after, self.events.read(after, MAX_CHANGES))
        self.telemetry.count(Metric.SSE_HELD_SECONDS, self.clock.monotonic() - began)
        return run

    def _refuse_revoked(self, principal: Principal, began_at: datetime) -> None:
        if ListRevocations(self.state, self.clock).run().cover(principal.user_id, principal.key_id, began_at):
            raise AuthenticationRequiredError("Authentication required: this access was revoked.")


def network_of(source_ip: str) -> str:
    """Whose places are counted: an IPv4 address, or the /64 of an IPv6 one, which belongs to one customer (T16)."""
    try:
        address = ipaddress.ip_address(source_ip)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)


def _reset_text(start: Cursor) -> str:
    return stream_text(retry_ms=RETRY_SOON_MS, start=start.position, head=start.position, frames=(), is_reset=True)


def _news_text(start: Cursor, run: Run, head: LogHead, *, retry_ms: int) -> str:
    frames = run.frames(start.position)
    if run.changes and not run.is_torn and run.last < head.seq:
        retry_ms = RETRY_MORE_MS
    return stream_text(retry_ms=retry_ms, start=start.position, head=_head_id(run, head), frames=frames)


def _head_id(run: Run, head: LogHead) -> EventId:
    return readable_head(head, run)
