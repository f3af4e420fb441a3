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
from shared.ports import Provider
from shared.services.recording.record_observations import RecordObservations
from shared.wiring import Parts, Wiring, use_wiring
from tests.builders import an_observation
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
    parts: Parts

    def use_providers(self, *providers: Provider) -> None:
        """Let these providers stand in the place of `provider`, in a process that knows no other."""
        self.parts["providers"] = {provider.profile.name: provider for provider in providers}
        self.parts["profiles"] = {provider.profile.name: provider.profile for provider in providers}
        self.start_another_process()

    def start_another_process(self) -> None:
        """The same stores, provider and queues, seen by a process that remembers nothing."""
        self.wiring = Wiring(self.wiring.settings, **self.parts)
        use_wiring(self.wiring)

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
        seen = an_observation(external_id, status, **(values | fields))
        self.provider.put(seen)
        return seen

    def sync(self) -> None:
        """Record everything that the provider has."""
        self.wiring.use(RecordObservations).run(list(self.provider.jobs.values()))


@contextmanager
def a_system(**settings: Any) -> Iterator[System]:
    """A fresh system, and the process's wiring for as long as the context lasts."""
    clock = FakeClock()
    stores = FakeStores(clock)
    provider, queue, sender = FakeProvider(clock), FakeQueue(), FakeSender()
    secrets, telemetry = FakeSecrets(), FakeTelemetry()
    parts: Parts = {
        "clock": clock,
        "telemetry": telemetry,
        "jobs": stores.jobs,
        "events": stores.events,
        "texts": stores.texts,
        "state": stores.state,
        "connections": stores.connections,
        "secrets": secrets,
        "sender": sender,
        "observations_queue": queue,
        "providers": {"replicate": provider},
    }
    wiring = Wiring(Settings(**({"auth_mode": AuthMode.NONE, "stack": "local"} | settings)), **parts)
    use_wiring(wiring)
    try:
        yield System(clock, stores, provider, queue, sender, secrets, telemetry, wiring, parts)
    finally:
        use_wiring(None)
