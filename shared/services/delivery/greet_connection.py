"""Answer a WebSocket client: `hello` with what it missed, `ping` with where the log stands."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.connection import Connection
from shared.domain.cursor import resolve_cursor
from shared.domain.errors import ConnectionGone, SendFailed
from shared.domain.event import EventId, LogHead
from shared.domain.push_message import events_messages, notice
from shared.ports import Clock, Connections, EventLog, Sender
from shared.services.access.list_revocations import ListRevocations
from shared.services.delivery.read_events import ReadEvents, Run

CHANGES_A_READ = 200
MESSAGES_A_SECOND = 10
MESSAGES_UNTIL_ENDED = 50
"""Of one socket: what is above the first is passed over, and above the second it is no client of ours (T22)."""
MAX_READS = 25
"""5,000 changes a hello; a client that missed more sees so by the head it was told, and says hello again."""


@dataclass(frozen=True, kw_only=True)
class GreetConnection:
    """Replays, then goes live, then looks once more, so that no change falls between history and the live pushes (I18).

    A wake that did not see this connection in the registry had read the head before the connection went live, so all
    it pushed is at or below the head that is read afterwards, and is sent here. A wake that saw it pushes what comes
    after. Where both are at it in the same moment the client may hear a change twice or early, and sorts it by the ids.
    """

    events: EventLog
    connections: Connections
    sender: Sender
    clock: Clock
    read_events: ReadEvents
    list_revocations: ListRevocations

    def hello(self, connection_id: str, after: object) -> None:
        connection = self._sender_of_message(connection_id)
        if connection is None or not self._is_admitted(connection):
            return
        head = self.events.head()
        cursor = resolve_cursor(after, head)
        try:
            self.sender.send(connection_id, notice("connected", EventId.of_head(head)))
            if cursor.is_reset:
                self.sender.send(connection_id, notice("reset", cursor.position))
            replayed = self._replay(connection_id, cursor.position, head)
            if self.connections.advance(connection, cursor=replayed.seq, epoch=replayed.epoch):
                self._look_again(connection_id, replayed)
        except ConnectionGone:
            self.connections.remove(connection_id)
        except SendFailed:
            # The client has no answer to its hello and says it again, or pings and sees the head.
            return

    def ping(self, connection_id: str) -> None:
        """The head, by which a client sees that a push was lost (I22). Who is no longer registered is sent away."""
        if self._sender_of_message(connection_id) is None:
            return
        try:
            self.sender.send(connection_id, notice("heartbeat", EventId.of_head(self.events.head())))
        except ConnectionGone:
            self.connections.remove(connection_id)
        except SendFailed:
            return

    def pass_over(self, connection_id: str) -> None:
        """A message that is neither is not answered, but counted all the same."""
        self._sender_of_message(connection_id)

    def _sender_of_message(self, connection_id: str) -> Connection | None:
        """The sender of a message, None when it is not to be answered: it talks too much, or is not registered."""
        counted = self.connections.count_message(connection_id, now=self.clock.now())
        if counted is None or counted[1] > MESSAGES_UNTIL_ENDED:
            self._send_away(connection_id)
            return None
        return counted[0] if counted[1] <= MESSAGES_A_SECOND else None

    def _is_admitted(self, connection: Connection) -> bool:
        is_revoked = self.list_revocations.run().cover_connection(connection)
        if is_revoked:
            self._send_away(connection.connection_id)
        return not is_revoked

    def _send_away(self, connection_id: str) -> None:
        """Out of the registry first, so that nothing is sent any more even if the socket stays open."""
        self.connections.remove(connection_id)
        try:
            self.sender.disconnect(connection_id)
        except (ConnectionGone, SendFailed):
            return

    def _replay(self, connection_id: str, cursor: EventId, head: LogHead) -> EventId:
        """Send everything up to the head that can be read; returns the id of the last frame that was sent."""
        for _ in range(MAX_READS):
            run = self.read_events.run(cursor.seq, head, limit=CHANGES_A_READ)
            if run.is_trimmed:
                now = EventId.of_head(self.events.head())
                self.sender.send(connection_id, notice("reset", now))
                return now
            self._send_run(connection_id, run, cursor)
            cursor = EventId.of_change(head.epoch, run.last)
            if run.is_torn or run.last >= head.seq:
                break
        return cursor

    def _look_again(self, connection_id: str, cursor: EventId) -> None:
        head = self.events.head()
        if head.epoch == cursor.epoch:
            self._send_run(connection_id, self.read_events.run(cursor.seq, head, limit=CHANGES_A_READ), cursor)

    def _send_run(self, connection_id: str, run: Run, cursor: EventId) -> None:
        for message in events_messages(run.frames(cursor)):
            self.sender.send(connection_id, message)
