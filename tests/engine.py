"""The status engine over fakes: a system with its queues, a schedule that fires, and time that passes with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from functions.work import poll_provider, start_ticks
from shared.domain import state_keys
from shared.domain.job import Job, JobStatus
from shared.enterprise_config import EnterpriseConfig
from shared.services.polling.decide_polling import DecidePolling
from tests.fakes import FakeQueue
from tests.system import System, a_system

WEBHOOK_URL = "https://jobs.example.com/api/webhooks/replicate"


@dataclass
class Engine:
    """`run` lets minutes pass as AWS does: the schedule fires, ticks arrive after their delay."""

    system: System
    ticks: FakeQueue = field(default_factory=FakeQueue)
    final_logs: FakeQueue = field(default_factory=FakeQueue)
    outcomes: list[str] = field(default_factory=list)

    def configure(self, **values: object) -> None:
        """Store these in the provider's settings."""
        state, now = self.system.stores.state, self.system.clock.now()
        state.put(state_keys.provider_config("replicate"), values, now=now)

    def enterprise(self, **values: Any) -> None:
        """Let simpletuner-enterprise.yaml say this from now on."""
        self.system.parts["enterprise"] = EnterpriseConfig(**values)
        self.system.start_another_process()

    @property
    def polling(self) -> DecidePolling:
        return self.system.wiring.use(DecidePolling)

    def job(self, job_id: str) -> Job:
        job = self.system.stores.jobs.get(job_id)
        assert job is not None
        return job

    def statuses(self) -> dict[str, JobStatus]:
        return {job_id: job.status for job_id, job in self.system.stores.job_rows.items()}

    def minute(self) -> None:
        """One firing of the schedule and all that comes of it until the next."""
        clock = self.system.clock
        begun = clock.monotonic()
        start_ticks.handler({}, None)
        for message, delay in sorted(self.ticks.messages, key=lambda sent: sent[1]):
            self.advance_to(begun + delay)
            self.tick(message)
        self.ticks.messages.clear()
        self.advance_to(begun + 60)

    def run(self, minutes: int) -> None:
        for _ in range(minutes):
            self.minute()

    def tick(self, message: str) -> str:
        """Deliver a tick; returns what became of it."""
        answer = poll_provider.handler({"Records": [{"messageId": "m", "body": message}]}, None)
        outcome = str((answer["outcomes"] or ["dropped"])[0])
        self.outcomes.append(outcome)
        return outcome

    def advance_to(self, seconds: float) -> None:
        clock = self.system.clock
        clock.advance(max(0.0, seconds - clock.monotonic()))


@contextmanager
def an_engine(**settings: Any) -> Iterator[Engine]:
    with a_system(**settings) as system:
        engine = Engine(system)
        system.parts["ticks_queue"] = engine.ticks
        system.parts["final_logs_queue"] = engine.final_logs
        engine.enterprise()
        yield engine
