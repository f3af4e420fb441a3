"""One round of pushing: one run of changes to every connection, each from where it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shared.domain.connection import Connection
from shared.domain.cursor import is_kept
from shared.domain.errors import ConnectionGone, SendFailed, SendThrottled, StoreUnavailableError
from shared.domain.event import EventId, LogHead
from shared.domain.metric import Metric
from shared.domain.push_message import events_messages, notice
from shared.ports import Connections, Sender, Telemetry
from shared.services.access.list_revocations import Revocations
from shared.services.delivery.fan_out import fan_out
from shared.services.delivery.read_events import ReadEvents, Run

FAILURES_UNTIL_DROPPED = 3
CHANGES_FOR_ONE_BEHIND = 200


@dataclass(frozen=True, slots=True)
class _Parcel:
    """What one connection is sent: whole messages that bring it from change `stand` to change `reach`."""

    stand: int
    reach: int
    messages: tuple[bytes, ...]
    is_reset: bool = False


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """`pushed`: up to where the rounds before went; None: none of this epoch, so every row's own cursor counts."""

    reader: ReadEvents
    connections: Connections
    sender: Sender
    telemetry: Telemetry
    revocations: Revocations
    head: LogHead
    run: Run
    pushed: int | None
    _parcels: dict[int, _Parcel] = field(default_factory=dict)
    _outcomes: list[Metric] = field(default_factory=list)

    def deliver(self, listening: Sequence[Connection]) -> None:
        """Send to all, those whose last send failed at the end. No connection's failure is raised."""
        tasks = (self._task(connection) for connection in sorted(listening, key=lambda one: one.failures))
        fan_out([task for task in tasks if task is not None])
        for metric, count in Counter(self._outcomes).items():
            self.telemetry.count(metric, count)

    def _task(self, connection: Connection) -> Callable[[], None] | None:
        if self.revocations.cover_connection(connection):
            return lambda: self._drop(connection)
        parcel = self._parcel_for(connection)
        if not parcel.messages:
            return None
        return lambda: self._send(connection, parcel)

    def _parcel_for(self, connection: Connection) -> _Parcel:
        stand = connection.cursor or 0
        if not connection.failures:
            stand = max(stand, self.pushed or 0)
        if connection.epoch != self.head.epoch or not is_kept(stand, self.head):
            now = EventId.of_head(self.head)
            return _Parcel(self.head.seq, self.head.seq, (notice("reset", now),), is_reset=True)
        if stand not in self._parcels:
            self._parcels[stand] = self._pack(stand)
        return self._parcels[stand]

    def _pack(self, stand: int) -> _Parcel:
        run = self.run
        if stand < run.after:
            run = self.reader.run(stand, LogHead(self.head.epoch, run.last), limit=CHANGES_FOR_ONE_BEHIND)
        return _Parcel(stand, run.last, events_messages(run.frames(EventId.of_change(self.head.epoch, stand))))

    def _send(self, connection: Connection, parcel: _Parcel) -> None:
        try:
            for message in parcel.messages:
                self.sender.send(connection.connection_id, message)
        except ConnectionGone:
            self._outcomes.append(Metric.PUSH_GONE)
            self._keep_books(lambda: self.connections.remove(connection.connection_id))
        except SendThrottled:
            self._outcomes.append(Metric.PUSH_FAILED)
            self._note(connection, parcel.stand, failures=max(1, connection.failures))
        except SendFailed:
            self._outcomes.append(Metric.PUSH_FAILED)
            if connection.failures + 1 >= FAILURES_UNTIL_DROPPED:
                self._drop(connection)
            else:
                self._note(connection, parcel.stand, failures=connection.failures + 1)
        else:
            self._outcomes.append(Metric.PUSH_SENT)
            if connection.failures or parcel.is_reset:
                self._note(connection, parcel.reach, failures=0)

    def _drop(self, connection: Connection) -> None:
        """Out of the registry first, so that nothing is sent any more even if the socket stays open."""
        self._keep_books(lambda: self.connections.remove(connection.connection_id))
        try:
            self.sender.disconnect(connection.connection_id)
        except (ConnectionGone, SendFailed):
            return

    def _note(self, connection: Connection, cursor: int, *, failures: int) -> None:
        self._keep_books(
            lambda: self.connections.advance(connection, cursor=cursor, epoch=self.head.epoch, failures=failures)
        )

    def _keep_books(self, write: Callable[[], object]) -> None:
        """A row that could not be written stays as it was; its client notices by the ids. The others go on."""
        try:
            write()
        except StoreUnavailableError as error:
            self.telemetry.warning("a connection's row could not be written", reason=error.detail)
