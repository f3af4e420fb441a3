"""Queues that a kill does not empty: SQS's rules over one SQLite file.

A message is on disk before its sender hears of it, becomes visible again when its reader does not delete it in time,
and goes to the dead-letter queue after so many receives. Readers in this process wait for a message; they ask nobody.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from infra.local.queues.definitions import QueueRules

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
  number INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, message_id TEXT NOT NULL, body TEXT NOT NULL,
  attributes TEXT NOT NULL, sent_at REAL NOT NULL, visible_at REAL NOT NULL, receives INTEGER NOT NULL DEFAULT 0,
  first_received_at REAL, receipt TEXT
);
CREATE INDEX IF NOT EXISTS messages_by_time ON messages (queue, visible_at);
CREATE INDEX IF NOT EXISTS messages_by_receipt ON messages (receipt);
"""


class NoSuchQueueError(Exception):
    """Nobody has defined a queue of this name."""


class ReceiptError(Exception):
    """This receipt is not the newest of any message."""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """`attributes` are message attributes in SQS's JSON form; `delay` is in seconds, None for the queue's own."""

    body: str
    delay: float | None = None
    attributes: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A received message. Times are epoch seconds."""

    message_id: str
    body: str
    attributes: Mapping[str, object]
    receipt: str
    sent_at: float
    first_received_at: float
    receives: int

    @property
    def md5(self) -> str:
        return md5_of(self.body)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages can be received now, are in a reader's hands, and wait for their first time."""

    visible: int
    in_flight: int
    delayed: int


def md5_of(body: str) -> str:
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


class KeptQueues:
    """All queues of a stack; safe to share between threads. Raises NoSuchQueueError for any other name."""

    def __init__(self, path: Path, rules: Mapping[str, QueueRules], now: Callable[[], float] = time.time) -> None:
        self._rules = dict(rules)
        self._now = now
        self._changed = threading.Condition()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(_SCHEMA)
        # Who had messages in hand ended with the process before: they are for the next reader now.
        self._database.execute("UPDATE messages SET visible_at = ? WHERE receives > 0", (now(),))

    def close(self) -> None:
        with self._changed:
            self._database.close()

    @property
    def names(self) -> list[str]:
        return list(self._rules)

    def rules_of(self, queue: str) -> QueueRules:
        try:
            return self._rules[queue]
        except KeyError:
            raise NoSuchQueueError(queue) from None

    def send(self, queue: str, messages: Sequence[NewMessage]) -> list[str]:
        """The ids of the messages, all kept on return or none. Raises sqlite3.Error when the disk takes nothing."""
        rules, now = self.rules_of(queue), self._now()
        ids = [str(uuid4()) for _ in messages]
        rows = [
            (
                queue,
                message_id,
                message.body,
                json.dumps(dict(message.attributes or {})),
                now,
                now + _delay(message, rules),
            )
            for message_id, message in zip(ids, messages, strict=True)
        ]
        with self._transaction():
            self._database.executemany(
                "INSERT INTO messages (queue, message_id, body, attributes, sent_at, visible_at) VALUES (?,?,?,?,?,?)",
                rows,
            )
            self._changed.notify_all()
        return ids

    def receive(self, queue: str, most: int, *, visibility: float | None = None) -> list[Message]:
        """Up to so many visible messages, the oldest first; hidden from then on for `visibility` seconds."""
        rules, now = self.rules_of(queue), self._now()
        until = now + (rules.visibility if visibility is None else visibility)
        with self._transaction():
            self._database.execute(
                "DELETE FROM messages WHERE queue = ? AND sent_at < ?", (queue, now - rules.retention)
            )
            if rules.dead_letters:
                self._database.execute(
                    "UPDATE messages SET queue = ?, receives = 0, receipt = NULL"
                    " WHERE queue = ? AND visible_at <= ? AND receives >= ?",
                    (rules.dead_letters, queue, now, rules.most_receives),
                )
            found = self._database.execute(
                "SELECT number, message_id, body, attributes, sent_at, first_received_at, receives FROM messages"
                " WHERE queue = ? AND visible_at <= ? ORDER BY number LIMIT ?",
                (queue, now, most),
            ).fetchall()
            received = [_received(row, now) for row in found]
            self._database.executemany(
                "UPDATE messages SET visible_at = ?, receives = ?, first_received_at = ?, receipt = ? WHERE number = ?",
                [
                    (until, message.receives, message.first_received_at, message.receipt, row[0])
                    for row, message in zip(found, received, strict=True)
                ],
            )
        return received

    def delete(self, queue: str, receipts: Sequence[str]) -> None:
        """Forgets messages; one that is gone is no error."""
        self.rules_of(queue)
        with self._transaction():
            self._database.executemany(
                "DELETE FROM messages WHERE queue = ? AND receipt = ?", [(queue, receipt) for receipt in receipts]
            )

    def change_visibility(self, queue: str, receipt: str, seconds: float) -> None:
        """Hides a received message for so many seconds from now. Raises ReceiptError."""
        self.rules_of(queue)
        with self._transaction():
            changed = self._database.execute(
                "UPDATE messages SET visible_at = ? WHERE queue = ? AND receipt = ?",
                (self._now() + seconds, queue, receipt),
            )
            if not changed.rowcount:
                raise ReceiptError(receipt)
            self._changed.notify_all()

    def count(self, queue: str) -> Counts:
        self.rules_of(queue)
        with self._changed:
            row = self._database.execute(
                "SELECT COALESCE(SUM(visible_at <= ?1), 0), COALESCE(SUM(visible_at > ?1 AND receives > 0), 0),"
                " COALESCE(SUM(visible_at > ?1 AND receives = 0), 0) FROM messages WHERE queue = ?2",
                (self._now(), queue),
            ).fetchone()
        return Counts(*row)

    def purge(self, queue: str) -> None:
        self.rules_of(queue)
        with self._transaction():
            self._database.execute("DELETE FROM messages WHERE queue = ?", (queue,))

    def wait(self, queue: str, seconds: float) -> bool:
        """Until the queue has a visible message, at most so long; whether it has one."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                row = self._database.execute(
                    "SELECT MIN(visible_at) FROM messages WHERE queue = ?", (queue,)
                ).fetchone()
                until_visible = float("inf") if row[0] is None else row[0] - self._now()
                if until_visible <= 0:
                    return True
                left = min(deadline - time.monotonic(), until_visible)
                if left <= 0:
                    return False
                self._changed.wait(left)

    def wake(self) -> None:
        """Ends every wait, so that readers see that they shall stop."""
        with self._changed:
            self._changed.notify_all()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._changed:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")


def _delay(message: NewMessage, rules: QueueRules) -> float:
    return rules.delay if message.delay is None else message.delay


def _received(row: tuple[int, str, str, str, float, float | None, int], now: float) -> Message:
    _, message_id, body, attributes, sent_at, first_received_at, receives = row
    return Message(
        message_id=message_id,
        body=body,
        attributes=json.loads(attributes),
        receipt=uuid4().hex,
        sent_at=sent_at,
        first_received_at=first_received_at or now,
        receives=receives + 1,
    )
