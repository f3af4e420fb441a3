"""Tell every WebSocket client what is new (docs/design.md, "Push")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from shared.domain import state_keys
from shared.domain.connection import Connection
from shared.domain.event import LogHead
from shared.domain.stored import StateItem, read_value
from shared.ports import Clock, Connections, EventLog, StateStore
from shared.services.delivery.deliver_events import DeliverEvents, News
from shared.services.delivery.read_events import ReadEvents, Run
from shared.services.update_state import update_state

BUDGET_SECONDS = 20.0
GATHER_SECONDS = 0.1
CHANGES_A_ROUND = 200


@dataclass(frozen=True, slots=True)
class PushCursor:
    """Change `seq` of `epoch` and all before it were sent to all who listened, the last at `pushed_at`.

    `epoch` None: nothing was sent yet.
    """

    epoch: str | None = None
    seq: int = 0
    pushed_at: datetime | None = None

    def is_at(self, head: LogHead) -> bool:
        return self.epoch == head.epoch and self.seq >= head.seq


_CURSOR = TypeAdapter(PushCursor)


@dataclass(frozen=True, kw_only=True)
class PushEvents:
    """Reads the log from the pusher's own cursor and sends each connection all that is new; what woke it is ignored.

    The stream wakes one pusher at a time, and nothing depends on that: two of them send the same twice, which clients
    drop by its id, and the cursor stays where the further one was. It is written when all up to it was sent, so one
    that dies leaves it behind, and the next one sends again what may have been sent.

    Every round reads the cursor and the head before the registry: a failure noted there by whoever moved the cursor
    is seen (DeliverEvents), and so is who said hello before that head (GreetConnection says why).
    """

    events: EventLog
    connections: Connections
    state: StateStore
    clock: Clock
    read_events: ReadEvents
    deliver_events: DeliverEvents

    def run(self) -> bool:
        """Push what is new; False when time ran out before the end of the log.

        Raises StoreUnavailableError; what was sent by then may be sent again.
        """
        deadline = self.clock.monotonic() + BUDGET_SECONDS
        cursor = before = read_push_cursor(self.state, now=self.clock.now())
        is_done = False
        try:
            while not is_done and self.clock.monotonic() < deadline:
                self._gather(cursor)
                head = self.events.head()
                if cursor.is_at(head):
                    return True
                run = self._tell(cursor, head)
                cursor = PushCursor(head.epoch, run.last, self.clock.now())
                is_done = run.is_torn or run.last >= head.seq
        finally:
            if cursor != before:
                self._keep(cursor)
        return is_done

    def _gather(self, cursor: PushCursor) -> None:
        """At most one message a connection every 100 ms: what happens meanwhile goes out with the next."""
        if cursor.pushed_at is None:
            return
        since = (self.clock.now() - cursor.pushed_at).total_seconds()
        if 0 <= since < GATHER_SECONDS:
            self.clock.sleep(GATHER_SECONDS - since)

    def _tell(self, cursor: PushCursor, head: LogHead) -> Run:
        """One run of changes to all who listen."""
        listening = tuple(self.connections.all(now=self.clock.now()))
        told = cursor.seq if cursor.epoch == head.epoch else None
        after = told if told is not None else _oldest(listening, head)
        run = self.read_events.run(max(after, head.first_kept - 1), head, limit=CHANGES_A_ROUND)
        self.deliver_events.run(News(head, run, told), listening)
        return run

    def _keep(self, cursor: PushCursor) -> None:
        """Write the cursor, unless another pusher was further meanwhile."""

        def further(item: StateItem | None) -> Mapping[str, object] | None:
            stored = _parsed(item)
            is_further = stored.epoch == cursor.epoch and stored.seq > cursor.seq
            return None if is_further else _CURSOR.dump_python(cursor, mode="json")

        update_state(self.state, self.clock, state_keys.PUSHER_CURSOR, further)


def read_push_cursor(state: StateStore, *, now: datetime) -> PushCursor:
    """One read."""
    return _parsed(state.get(state_keys.PUSHER_CURSOR, now=now))


def _parsed(item: StateItem | None) -> PushCursor:
    """What cannot be read is as good as never written: then each connection's own cursor counts."""
    return read_value(item, _CURSOR) or PushCursor()


def _oldest(listening: Sequence[Connection], head: LogHead) -> int:
    """Where the very first wake of an epoch begins: at the client that has heard least."""
    cursors = (connection.cursor for connection in listening if connection.epoch == head.epoch)
    return min((cursor for cursor in cursors if cursor is not None), default=head.seq)
