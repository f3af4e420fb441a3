"""A service in memory for tests of delivery: fake stores, real use cases and handlers, and changes to tell."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from shared.config import AuthMode, Settings
from shared.domain.change import JobChange
from shared.domain.connection import CONNECTION_LIFE, Connection
from shared.domain.event import LoggedEvent, deletion_event, status_event
from shared.domain.job import JobStatus
from shared.ports import Clock, Sender
from shared.services.delivery.greet_connection import GreetConnection
from shared.wiring import Wiring
from tests.builders import a_job
from tests.fakes import FakeClock, FakeSecrets, FakeSender, FakeStores, FakeTelemetry


class Delivery:
    """`parts` is the wiring; `sender` is a FakeSender unless another one is given."""

    def __init__(self, *, clock: Clock | None = None, sender: Sender | None = None, **settings: Any) -> None:
        self.clock = clock or FakeClock()
        self.stores = FakeStores(self.clock)
        self.fake_sender = FakeSender()
        self.telemetry = FakeTelemetry()
        self.settings = Settings(**({"auth_mode": AuthMode.NONE} | settings))
        self.parts = Wiring(
            self.settings,
            clock=self.clock,
            telemetry=self.telemetry,
            jobs=self.stores.jobs,
            events=self.stores.events,
            state=self.stores.state,
            connections=self.stores.connections,
            texts=self.stores.texts,
            secrets=FakeSecrets(),
            sender=sender or self.fake_sender,
        )
        self._made = 0

    @property
    def epoch(self) -> str:
        return self.stores.events.head().epoch

    def publish(self, count: int = 1, status: JobStatus = JobStatus.RUNNING) -> None:
        """So many changes, each of a new job, each in a transaction of its own."""
        for _ in range(count):
            self._made += 1
            job = a_job(f"job{self._made:012d}", status)
            change = JobChange(before=None, after=job, events=(status_event(job, JobStatus.QUEUED),))
            self.stores.jobs.commit([change], head=self.stores.events.head(), at=self.clock.now())

    def delete(self, number: int) -> None:
        """Delete the job of the nth published change."""
        job = self.stores.jobs.get(f"job{number:012d}")
        assert job is not None
        change = JobChange(before=job, after=None, events=(deletion_event(job, self.clock.now()),))
        self.stores.jobs.commit([change], head=self.stores.events.head(), at=self.clock.now())

    def frames(self, first: int = 1) -> list[dict[str, Any]]:
        """Every frame of the log from number `first` on, as a client should hear it: its id within."""
        logged: tuple[LoggedEvent, ...] = self.stores.events.read(0, 100_000)
        frames = (frame for one in logged for frame in one.frames(self.epoch))
        return [{"id": str(frame.id), **frame.body} for frame in frames if frame.id.n >= first]

    def ids(self, first: int, last: int) -> list[str]:
        return [f"{self.epoch}-{n}" for n in range(first, last + 1)]

    def connect(self, connection_id: str, user_id: str = "local", key_id: str | None = None) -> Connection:
        """Register a connection as `$connect` does."""
        connection = Connection(connection_id, user_id, key_id, expires_at=self.clock.now() + CONNECTION_LIFE)
        self.stores.connections.add(connection)
        return connection

    def greet(self, connection_id: str, after: object = None, **who: Any) -> None:
        """Connect and say hello; what it is answered is forgotten."""
        self.connect(connection_id, **who)
        self.parts.use(GreetConnection).hello(connection_id, after)
        self.fake_sender.sent[connection_id].clear()

    def heard(self, connection_id: str) -> list[dict[str, Any]]:
        """All messages to a connection, in order."""
        return [json.loads(body) for body in self.fake_sender.sent[connection_id]]

    def heard_ids(self, connection_id: str) -> list[str]:
        """The ids of all event frames a connection was sent, in order, repeated ones too."""
        return [event["id"] for one in self.heard(connection_id) for event in one.get("events", [])]

    def trim_all(self) -> None:
        """Let every event written so far pass its seven days, and trim."""
        self.stores.events.trim(before=self.clock.now() + timedelta(days=1), limit=1000)
