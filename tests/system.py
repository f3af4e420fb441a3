"""The whole service over fakes: every use case wired as in production, reached through its real HTTP app."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fastapi import APIRouter
from starlette.testclient import TestClient

from functions.http._app import build_app
from shared.config import AuthMode, Settings
from shared.domain.job import JobStatus
from shared.domain.observation import Observation
from shared.wiring import Wiring, use_wiring
from tests.builders import a_sighting
from tests.fakes.clock import FakeClock
from tests.fakes.doubles import FakeProvider, FakeQueue, FakeSecrets, FakeSender, FakeTelemetry
from tests.fakes.stores import FakeStores


@dataclass
class System:
    """`wiring` is the process's wiring while the system stands; `stores`, `provider`, `queue` are its fakes."""

    clock: FakeClock
    stores: FakeStores
    provider: FakeProvider
    queue: FakeQueue
    sender: FakeSender
    secrets: FakeSecrets
    telemetry: FakeTelemetry
    wiring: Wiring

    def client(self, *routers: APIRouter, access: bool = True) -> TestClient:
        """Requests to these routes, as a client on this machine sends them; errors are answers, never exceptions."""
        return TestClient(build_app(*routers, access=access), raise_server_exceptions=False)

    def remote_job(
        self, external_id: str, status: JobStatus = JobStatus.RUNNING, *, age: float = 600, **fields: Any
    ) -> Observation:
        """Let the provider have a job that was created `age` seconds ago."""
        created_at = self.clock.now() - timedelta(seconds=age)
        values: dict[str, Any] = {"created_at": created_at, "observed_at": self.clock.now()}
        if status is not JobStatus.QUEUED:
            values["started_at"] = created_at + timedelta(seconds=1)
        if status.is_terminal:
            values["completed_at"] = created_at + timedelta(seconds=2)
        seen = a_sighting(external_id, status, **(values | fields))
        self.provider.put(seen)
        return seen

    def sync(self) -> None:
        """Record everything that the provider has."""
        self.wiring.recorder.record(list(self.provider.jobs.values()))


@contextmanager
def a_system(**settings: Any) -> Iterator[System]:
    """A fresh system, and the process's wiring for as long as the context lasts."""
    clock = FakeClock()
    stores = FakeStores(clock)
    provider, queue, sender = FakeProvider(clock), FakeQueue(), FakeSender()
    secrets, telemetry = FakeSecrets(), FakeTelemetry()
    wiring = Wiring(
        Settings(**({"auth_mode": AuthMode.NONE, "stack": "local"} | settings)),
        clock=clock,
        telemetry=telemetry,
        jobs=stores.jobs,
        events=stores.events,
        texts=stores.texts,
        state=stores.state,
        connections=stores.connections,
        secrets=secrets,
        sender=sender,
        observations_queue=queue,
        providers={"replicate": provider},
    )
    use_wiring(wiring)
    try:
        yield System(clock, stores, provider, queue, sender, secrets, telemetry, wiring)
    finally:
        use_wiring(None)
