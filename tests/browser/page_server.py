"""The page and the whole HTTP API over fakes, on a free port of this machine: the fast way to try the page."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import uvicorn

from functions.http._whole_app import whole_app
from shared.adapters.clock import SystemClock
from shared.adapters.providers.replicate.profile import PROFILE as REPLICATE
from shared.config import AuthMode, Settings
from shared.domain.account import Account
from shared.domain.change import Claim, JobChange, RemoteId
from shared.domain.errors import ProviderError
from shared.domain.job import Job, JobStatus, Transition
from shared.domain.observation import Observation
from shared.domain.provider_profile import ProviderProfile
from shared.services.recording.record_observations import RecordObservations
from shared.telemetry import logger
from shared.wiring import Wiring, use_wiring
from tests.builders import H100, an_observation
from tests.fakes.doubles import FakeProvider, FakeQueue, FakeSecrets, FakeSender, FakeTelemetry
from tests.fakes.stores import FakeStores
from tests.listener import a_listener


class PageProvider(FakeProvider):
    """A provider that goes on saying what is wrong with the account until it is right again."""

    account_error: ProviderError | None = None

    def account(self, token: str | None = None) -> Account:
        if self.account_error is not None:
            raise self.account_error
        return super().account(token)


class PageServer:
    """`stores`, `provider` and `secrets` are the fakes behind the page at `url`.

    `providers` are that provider and one for each further profile, by name.
    """

    def __init__(self, *further: ProviderProfile, **settings: Any) -> None:
        self._socket = a_listener()
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.clock = SystemClock()
        self.stores = FakeStores(self.clock)
        self.provider = PageProvider(self.clock)
        others = {profile.name: PageProvider(self.clock, profile) for profile in further}
        self.providers = {REPLICATE.name: self.provider, **others}
        profiles = {name: provider.profile for name, provider in self.providers.items()}
        self.secrets = FakeSecrets(replicate_api_token="r8_token-of-a-test")
        given = {
            "auth_mode": AuthMode.NONE,
            "stack": "local",
            "public_base_url": self.url,
            "sse_hold_seconds": 5,
            "sse_connections_per_ip": 50,
        }
        self.wiring = Wiring(
            Settings(**{**given, **settings}),
            clock=self.clock,
            telemetry=FakeTelemetry(),
            jobs=self.stores.jobs,
            events=self.stores.events,
            texts=self.stores.texts,
            state=self.stores.state,
            connections=self.stores.connections,
            secrets=self.secrets,
            sender=FakeSender(),
            observations_queue=FakeQueue(),
            profiles=profiles,
            providers=self.providers,
        )

    @contextmanager
    def running(self) -> Iterator[PageServer]:
        config = uvicorn.Config(whole_app(), lifespan="off", log_config=None, access_log=False, timeout_keep_alive=30)
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        server = uvicorn.Server(config)
        level = logger.log_level
        logger.setLevel("CRITICAL")
        use_wiring(self.wiring)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [self._socket]})
        thread.start()
        try:
            yield self
        finally:
            server.should_exit = True
            server.force_exit = True
            thread.join(20)
            use_wiring(None)
            logger.setLevel(level)

    def now(self, seconds: float = 0) -> datetime:
        return self.clock.now() + timedelta(seconds=seconds)

    def remote(
        self, external_id: str, status: JobStatus, *, age: float = 600, lasts: float | None = None, **fields: Any
    ) -> Observation:
        """Let the provider have a job created `age` seconds ago, without this service knowing it."""
        created = self.now(-age)
        values: dict[str, Any] = {"created_at": created, "observed_at": self.now(), "provider_status": status.value}
        if status is not JobStatus.QUEUED:
            values["started_at"] = created + timedelta(seconds=min(42, age / 4))
        if status.is_terminal:
            ended = created + timedelta(seconds=lasts or age * 0.8)
            seconds = Decimal(round((ended - values["started_at"]).total_seconds(), 3))
            values |= {"completed_at": ended, "billed_seconds": seconds}
        seen = an_observation(external_id, status, **(values | fields))
        self.providers[seen.provider].put(seen)
        return seen

    def record(self, *seen: Observation) -> None:
        """Let this service see what the provider has, as a poll does."""
        self.wiring.use(RecordObservations).run(list(seen))

    def add(
        self, external_id: str, status: JobStatus, *, age: float = 600, name: str | None = None, **fields: Any
    ) -> Job:
        """A job that this service knows, with its whole life so far; `fields` are the job's own.

        Its id is the external one unless `job_id` is given.
        """
        observed = {key: fields.pop(key) for key in ("model", "error", "lasts", "provider", "kind") if key in fields}
        seen = self.remote(external_id, status, age=age, **observed)
        known = Job(
            job_id=external_id,
            external_id=external_id,
            provider=seen.provider,
            kind=seen.kind,
            status=JobStatus.PENDING,
            created_at=seen.created_at or self.now(),
            hardware_type="H100",
            price_per_second=H100.price_per_second,
            config_name=name,
            model=seen.model,
            transitions=(Transition(JobStatus.PENDING, seen.created_at or self.now()),),
        )
        known = replace(known, **fields)
        key = RemoteId(known.provider, external_id)
        change = JobChange(before=None, after=known, claim=Claim(key, known.job_id))
        self.stores.jobs.commit([change], head=self.stores.events.head(), at=self.now())
        stages = [JobStatus.QUEUED, JobStatus.RUNNING, status]
        for stage in dict.fromkeys(stages[: stages.index(status) + 1]):
            self.record(self._stage_of(seen, stage))
        job = self.stores.jobs.get(known.job_id)
        assert job is not None
        return job

    @staticmethod
    def _stage_of(seen: Observation, stage: JobStatus) -> Observation:
        if stage is seen.status:
            return seen
        started = None if stage is JobStatus.QUEUED else seen.started_at
        return replace(
            seen,
            status=stage,
            provider_status=stage.value,
            started_at=started,
            completed_at=None,
            billed_seconds=None,
            error=None,
        )

    def end(self, external_id: str, status: JobStatus = JobStatus.COMPLETED, **fields: Any) -> None:
        """The job ends now, and this service sees it."""
        before = self.provider.jobs[external_id]
        seconds = Decimal(round((self.now() - (before.started_at or self.now())).total_seconds(), 3))
        values: dict[str, Any] = {"completed_at": self.now(), "billed_seconds": seconds}
        ended = replace(
            before, status=status, provider_status=status.value, observed_at=self.now(), **(values | fields)
        )
        self.provider.put(ended)
        self.record(ended)
