"""Tell every WebSocket client what is new (docs/design.md, "Push")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain import state_keys
from shared.domain.connection import Connection
from shared.domain.errors import StaleWrite, StoreUnavailableError
from shared.domain.event import LogHead
from shared.domain.job import from_iso, to_iso
from shared.ports import Clock, Connections, EventLog, Sender, StateStore, Telemetry
from shared.services.access.list_revocations import ListRevocations
from shared.services.delivery.deliver_events import Delivery
from shared.services.delivery.read_events import ReadEvents

LEASE = timedelta(seconds=25)
BUDGET_SECONDS = 20.0
WAIT_FOR_TURN_SECONDS = 30.0
GATHER_SECONDS = 0.1
CHANGES_A_ROUND = 200
_PAUSE_SECONDS = 0.05
_TRIES_TO_END = 5


@dataclass(frozen=True, slots=True)
class _Place:
    """How far the pusher is, by its lease: `seq` of `epoch` was pushed to all who listened; None: nothing yet."""

    version: int
    epoch: str | None = None
    seq: int | None = None
    ended_at: datetime | None = None
    held_until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class PushEvents:
    """Reads the log from the pusher's own place and sends each connection all that is new; what woke it is ignored.

    One pusher works at a time, by a lease on the item that holds its place; another wake waits its turn, finds the
    place moved and sends nothing twice, and being last, misses nothing. A guard per connection (moving each cursor
    before its send) would do the same with a write a connection and wake: 1,000 writes where the lease costs two.
    A pusher that dies leaves its lease for 25 s and its place unmoved, so the next one sends again what may have
    been sent: clients drop it by its id.

    A healthy connection stands where the pusher stands, or at its hello if that was later, and its row is not
    written. One whose last send failed stands at its row's cursor. Every round reads the head before the registry
    (GreetConnection says why).
    """

    events: EventLog
    connections: Connections
    sender: Sender
    state: StateStore
    clock: Clock
    telemetry: Telemetry

    def run(self) -> bool:
        """Push what is new; False when time ran out before the end of the log.

        Raises StoreUnavailableError when the store is down or another pusher kept its lease too long.
        """
        place = self._place()
        head = self.events.head()
        if place.epoch == head.epoch and place.seq is not None and place.seq >= head.seq:
            return True
        place = self._take_turn(place)
        deadline = self.clock.monotonic() + BUDGET_SECONDS
        try:
            while True:
                self._gather(place)
                place, is_done = self._round(place)
                if is_done:
                    return True
                if self.clock.monotonic() >= deadline:
                    return False
        finally:
            self._end_turn(place)

    def _place(self) -> _Place:
        item = self.state.get(state_keys.PUSHER_CURSOR, now=self.clock.now())
        if item is None:
            return _Place(0)
        epoch, seq = item.value.get("epoch"), item.value.get("seq")
        return _Place(
            item.version,
            epoch=str(epoch) if epoch is not None else None,
            seq=int(str(seq)) if seq is not None else None,
            ended_at=_moment(item.value.get("ended_at")),
            held_until=_moment(item.value.get("held_until")),
        )

    def _take_turn(self, place: _Place) -> _Place:
        """Wait until no other pusher holds the lease, and take it; `place` is what was read last."""
        give_up = self.clock.monotonic() + WAIT_FOR_TURN_SECONDS
        while True:
            now = self.clock.now()
            if place.held_until is None or place.held_until <= now:
                try:
                    return self._write(place, held_until=now + LEASE, ended_at=place.ended_at)
                except StaleWrite:
                    self.telemetry.info("another pusher was first")
            if self.clock.monotonic() >= give_up:
                raise StoreUnavailableError(
                    "Another pusher has kept its turn for too long; this wake will be repeated."
                )
            self.clock.sleep(_PAUSE_SECONDS)
            place = self._place()

    def _end_turn(self, place: _Place) -> None:
        """Give the turn back; tried again, because a lease that is left lying stops all pushes until it runs out."""
        for _ in range(_TRIES_TO_END):
            try:
                self._write(place, held_until=None, ended_at=self.clock.now())
            except StaleWrite:
                self.telemetry.warning("the pusher's lease ran out while it worked")
            except StoreUnavailableError:
                self.clock.sleep(_PAUSE_SECONDS)
                continue
            return
        self.telemetry.warning("the pusher's turn could not be given back")

    def _write(self, place: _Place, *, held_until: datetime | None, ended_at: datetime | None) -> _Place:
        value = {
            "epoch": place.epoch,
            "seq": place.seq,
            "ended_at": to_iso(ended_at) if ended_at else None,
            "held_until": to_iso(held_until) if held_until else None,
        }
        version = self.state.put(state_keys.PUSHER_CURSOR, value, now=self.clock.now(), if_version=place.version)
        return _Place(version, place.epoch, place.seq, ended_at, held_until)

    def _gather(self, place: _Place) -> None:
        """At most one message a connection every 100 ms: what happens meanwhile goes out with the next."""
        if place.ended_at is None:
            return
        since = (self.clock.now() - place.ended_at).total_seconds()
        if 0 <= since < GATHER_SECONDS:
            self.clock.sleep(GATHER_SECONDS - since)

    def _round(self, place: _Place) -> tuple[_Place, bool]:
        """Push one run of changes to all; returns the place after it, and whether that is the end of the log."""
        head = self.events.head()
        listening = tuple(self.connections.all(now=self.clock.now()))
        pushed = place.seq if place.epoch == head.epoch else None
        if pushed is not None and pushed >= head.seq:
            return place, True
        base = max(pushed if pushed is not None else _oldest(listening, head), head.first_kept - 1)
        run = ReadEvents(self.events, self.clock).run(base, head, limit=CHANGES_A_ROUND)
        Delivery(
            reader=ReadEvents(self.events, self.clock),
            connections=self.connections,
            sender=self.sender,
            telemetry=self.telemetry,
            revocations=ListRevocations(self.state, self.clock).run(),
            head=head,
            run=run,
            pushed=pushed,
        ).deliver(listening)
        after = _Place(place.version, head.epoch, run.last, self.clock.now(), place.held_until)
        return after, run.is_torn or run.last >= head.seq


def _oldest(listening: Sequence[Connection], head: LogHead) -> int:
    """Where the very first wake of an epoch begins: at the client that has heard least."""
    cursors = (connection.cursor for connection in listening if connection.epoch == head.epoch)
    return min((cursor for cursor in cursors if cursor is not None), default=head.seq)


def _moment(text: object) -> datetime | None:
    return from_iso(text) if isinstance(text, str) else None
