"""One round of pushing: what is new to every connection, each from its own cursor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial

from shared.domain.connection import Connection
from shared.domain.cursor import is_kept
from shared.domain.errors import ConnectionGone, SendFailed, SendThrottled, StoreUnavailableError
from shared.domain.event import EventId, LogHead
from shared.domain.metric import Metric
from shared.domain.push_message import events_messages, notice
from shared.ports import Connections, Sender, Telemetry
from shared.services.access.list_revocations import ListRevocations
from shared.services.delivery.read_events import ReadEvents, Run

SENDS_AT_ONCE = 128
"""Each ends after a second, so that a hundred sends that hang leave room for the others to pass them by (I21)."""

FAILURES_UNTIL_DROPPED = 3
CHANGES_FOR_ONE_BEHIND = 200


@dataclass(frozen=True, slots=True)
class News:
    """What a round tells: `run` of the log whose head is `head`.

    `cursor`: up to which change the rounds before told everyone; None: nothing of this epoch, so every row's own
    cursor counts.
    """

    head: LogHead
    run: Run
    cursor: int | None


@dataclass(frozen=True, slots=True)
class _Batch:
    """Whole messages that bring a connection from change `after` to change `last`."""

    after: int
    last: int
    messages: tuple[bytes, ...]
    is_reset: bool = False


@dataclass(frozen=True, kw_only=True)
class DeliverEvents:
    """A healthy connection stands at the news' cursor, or at its hello if that was later, and its row is not written.

    One whose last send failed stands at its row's cursor. A row that could not be written, or that another pusher or
    a hello moved meanwhile, stays as it is: its client notices by the ids what it missed (I22).
    """

    read_events: ReadEvents
    list_revocations: ListRevocations
    connections: Connections
    sender: Sender
    telemetry: Telemetry

    def run(self, news: News, listening: Sequence[Connection]) -> None:
        """Send to all, those whose last send failed at the end. No connection's failure is raised."""
        revocations = self.list_revocations.run()
        pack = cache(partial(self._pack, news))
        with ThreadPoolExecutor(SENDS_AT_ONCE) as pool:
            sends: list[Future[Metric | None]] = []
            for connection in sorted(listening, key=lambda one: one.failures):
                if revocations.cover_connection(connection):
                    sends.append(pool.submit(self._drop, connection))
                elif (batch := pack(self._cursor_of(connection, news))).messages:
                    sends.append(pool.submit(self._send, connection, batch, news.head.epoch))
        outcomes = Counter(metric for send in sends if (metric := send.result()) is not None)
        for metric, count in outcomes.items():
            self.telemetry.count(metric, count)

    def _cursor_of(self, connection: Connection, news: News) -> int | None:
        """The change after which it is to hear; None where that can't be served."""
        cursor = connection.cursor or 0
        if not connection.failures:
            cursor = max(cursor, news.cursor or 0)
        return cursor if connection.epoch == news.head.epoch and is_kept(cursor, news.head) else None

    def _pack(self, news: News, after: int | None) -> _Batch:
        head, run = news.head, news.run
        if after is None:
            return _Batch(head.seq, head.seq, (notice("reset", EventId.of_head(head)),), is_reset=True)
        if after < run.after:
            until = LogHead(head.epoch, run.last)
            run = self.read_events.run(after, until, limit=CHANGES_FOR_ONE_BEHIND)
        return _Batch(after, run.last, events_messages(run.frames(EventId.of_change(head.epoch, after))))

    def _send(self, connection: Connection, batch: _Batch, epoch: str) -> Metric:
        advance = partial(self.connections.advance, connection, epoch=epoch)
        try:
            for message in batch.messages:
                self.sender.send(connection.connection_id, message)
        except ConnectionGone:
            self._keep_books(partial(self.connections.remove, connection.connection_id))
            return Metric.PUSH_GONE
        except SendThrottled:
            self._keep_books(partial(advance, cursor=batch.after, failures=max(1, connection.failures)))
            return Metric.PUSH_FAILED
        except SendFailed:
            failures = connection.failures + 1
            if failures >= FAILURES_UNTIL_DROPPED:
                self._drop(connection)
            else:
                self._keep_books(partial(advance, cursor=batch.after, failures=failures))
            return Metric.PUSH_FAILED
        if connection.failures or batch.is_reset:
            self._keep_books(partial(advance, cursor=batch.last, failures=0))
        return Metric.PUSH_SENT

    def _drop(self, connection: Connection) -> None:
        """Out of the registry first, so that nothing is sent any more even if the socket stays open."""
        self._keep_books(partial(self.connections.remove, connection.connection_id))
        try:
            self.sender.disconnect(connection.connection_id)
        except (ConnectionGone, SendFailed):
            return

    def _keep_books(self, write: Callable[[], object]) -> None:
        """A row that could not be written hinders no other."""
        try:
            write()
        except StoreUnavailableError as error:
            self.telemetry.warning("a connection's row could not be written", reason=error.detail)
