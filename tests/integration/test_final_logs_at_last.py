"""Final logs of a provider that answers with anything but the log for a while, or for ever (I47)."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.work import keep_final_log, route_ended_jobs
from infra.local.queues.definitions import queue_definitions
from shared.adapters.dynamo.items import encode_commit
from shared.adapters.providers.replicate.profile import PROFILE as REPLICATE
from shared.domain.errors import (
    ProviderAnswerInvalidError,
    ProviderError,
    ProviderJobNotFoundError,
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderTokenRejectedError,
    ProviderUnavailableError,
)
from shared.domain.event import status_event
from shared.domain.job import JobStatus
from shared.domain.metric import Metric
from shared.domain.observation import LastLook, Observation
from shared.domain.provider_profile import ProviderProfile
from shared.services.logs.keep_final_log import LONGEST_ASKED, pause_before_next_look
from shared.services.logs.read_log import ReadLog
from shared.services.logs.stored_texts import StoredTexts
from shared.services.recording.record_observations import RecordObservations
from tests.engine import Engine, an_engine
from tests.fakes.doubles import FakeProvider
from tests.proof import scaled

HOUR = timedelta(hours=1)
QUEUE = queue_definitions()["FinalLogsQueue"]
ENDS = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)
Answer = Callable[[Observation, str], LastLook]


def raises(error: ProviderError) -> Answer:
    def answer(seen: Observation, log: str) -> LastLook:
        raise error

    return answer


def still(status: JobStatus | None) -> Answer:
    """As the job was before its end, with half of its log."""
    return lambda seen, log: LastLook(replace(seen, status=status, completed_at=None), log[: len(log) // 2])


TROUBLE: dict[str, Answer] = {
    "404": raises(ProviderJobNotFoundError("gone")),
    "5xx": raises(ProviderUnavailableError("down")),
    "429": raises(ProviderThrottledError("slowly", retry_after=30)),
    "401": raises(ProviderTokenRejectedError("who?")),
    "402": raises(ProviderRefusedError("no credit")),
    "no JSON": raises(ProviderAnswerInvalidError("html")),
    "null": lambda seen, log: LastLook(seen, None),
    "empty": lambda seen, log: LastLook(seen, ""),
    "running": still(JobStatus.RUNNING),
    "queued": lambda seen, log: LastLook(replace(seen, status=JobStatus.QUEUED, started_at=None), None),
    "unknown": still(None),
    "removed, running": lambda seen, log: LastLook(replace(seen, status=JobStatus.RUNNING), None, is_log_removed=True),
}


class TroubledProvider(FakeProvider):
    """`trouble` are the answers to the next last looks at a job; `looks` are the seconds at which it was looked at."""

    def __init__(self, engine: Engine, profile: ProviderProfile = REPLICATE) -> None:
        super().__init__(engine.system.clock, profile)
        self.clock = engine.system.clock
        self.trouble: dict[str, deque[Answer]] = defaultdict(deque)
        self.for_ever: Answer | None = None
        self.looks: dict[str, list[float]] = defaultdict(list)

    def last_look(self, external_id: str, kind: str) -> LastLook:
        self.looks[external_id].append(self.clock.monotonic())
        planned = self.trouble[external_id]
        answer = planned.popleft() if planned else self.for_ever
        if answer is None:
            return super().last_look(external_id, kind)
        return answer(self.jobs[external_id], str(self.logs[external_id]))


@dataclass
class Message:
    body: str
    sent: float
    visible_at: float
    receives: int = 0


@dataclass
class Queue:
    """The queue of final logs as SQS gives it out: batches of five, hidden while they are worked on."""

    engine: Engine
    messages: dict[str, Message] = field(default_factory=dict)
    dead: list[str] = field(default_factory=list)

    def empty(self) -> None:
        """Let time pass until nothing waits any more."""
        clock = self.engine.system.clock
        for body in self.engine.final_logs.drain():
            now = clock.now().timestamp()
            self.messages[f"receipt {len(self.messages)}"] = Message(body, now, now)
        while self.messages:
            first = min(message.visible_at for message in self.messages.values())
            clock.advance(max(0.0, first - clock.now().timestamp()) + 0.001)
            self._deliver()

    def _deliver(self) -> None:
        now = self.engine.system.clock.now().timestamp()
        batch = [name for name, message in self.messages.items() if message.visible_at <= now][:5]
        records = [self._record(name, now) for name in batch]
        answer = keep_final_log.handler({"Records": records}, None)
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        postponed = self.engine.final_logs.postponed
        for name in batch:
            message = self.messages[name]
            if name not in failed or message.receives >= QUEUE["RedrivePolicy"]["maxReceiveCount"]:
                del self.messages[name]
                if name in failed:
                    self.dead.append(message.body)
                continue
            message.visible_at = now + postponed.pop(name, float(QUEUE["VisibilityTimeout"]))

    def _record(self, name: str, now: float) -> dict[str, Any]:
        message = self.messages[name]
        message.receives += 1
        assert now - message.sent < QUEUE["MessageRetentionPeriod"], "SQS would have dropped it silently"
        attributes = {"SentTimestamp": str(int(message.sent * 1000)), "ApproximateReceiveCount": str(message.receives)}
        return {"messageId": name, "receiptHandle": name, "body": message.body, "attributes": attributes}


@pytest.fixture
def engine() -> Iterator[Engine]:
    with an_engine() as engine:
        yield engine


def provider_of(engine: Engine, **profile: Any) -> TroubledProvider:
    provider = TroubledProvider(engine, replace(REPLICATE, **profile))
    engine.system.provider = provider
    engine.system.use_providers(provider)
    return provider


def end(engine: Engine, external_id: str, log: str, status: JobStatus = JobStatus.COMPLETED, **fields: Any) -> None:
    engine.system.provider.logs[external_id] = log
    record(engine, engine.system.remote_job(external_id, status, **fields))
    image = encode_commit(1, [status_event(engine.job(external_id), JobStatus.RUNNING)], 0)
    route_ended_jobs.handler({"Records": [{"dynamodb": {"NewImage": image}}]}, None)


def record(engine: Engine, seen: Observation) -> None:
    engine.system.wiring.use(RecordObservations).run([seen])


def run_and_read(engine: Engine, external_id: str, log: str) -> None:
    """Let the job run, and a reader gather this much of its log."""
    engine.system.provider.logs[external_id] = log
    record(engine, engine.system.remote_job(external_id, JobStatus.RUNNING))
    engine.system.wiring.use(ReadLog).run(engine.job(external_id))


def kept_log(engine: Engine, external_id: str) -> str:
    texts = engine.system.wiring.use(StoredTexts)
    return texts.log_from(external_id, 0, texts.log(external_id).size)[0].decode()


def is_final(engine: Engine, external_id: str) -> bool:
    return engine.system.wiring.use(StoredTexts).log(external_id).is_final


def a_log(name: str, lines: int) -> str:
    return "".join(f"{name} line {number}\n" for number in range(lines))


def test_no_order_of_wrong_answers_loses_a_final_log(engine: Engine) -> None:
    chance = random.Random(47)
    provider = provider_of(engine)
    logs = {f"jobjob{number:06d}": a_log(str(number), chance.randint(2, 40)) for number in range(scaled(1000))}
    for name, log in logs.items():
        if chance.random() < 0.5:
            run_and_read(engine, name, log[: chance.randint(0, len(log))])
        provider.trouble[name].extend(chance.choice([*TROUBLE.values()]) for _ in range(chance.randint(0, 6)))
        end(engine, name, log, chance.choice(ENDS))
    wanted = {name: len(answers) + 1 for name, answers in provider.trouble.items()}
    queue = Queue(engine)
    queue.empty()
    assert [name for name, log in logs.items() if kept_log(engine, name) != log or not is_final(engine, name)] == []
    assert {name: len(looks) for name, looks in provider.looks.items()} == wanted
    assert queue.dead == []
    assert engine.system.telemetry.counts[Metric.FINAL_LOG_GIVEN_UP] == 0


@pytest.mark.parametrize("answer", TROUBLE.values(), ids=TROUBLE)
def test_what_was_read_while_a_job_ran_stays_when_its_final_log_is_given_up(engine: Engine, answer: Answer) -> None:
    provider = provider_of(engine)
    provider.for_ever = answer
    whole = a_log("JOB", 40)
    read = whole[: whole.index("JOB line 30")]
    run_and_read(engine, "abcdefgh1234", read)
    end(engine, "abcdefgh1234", whole)
    queue = Queue(engine)
    queue.empty()
    assert kept_log(engine, "abcdefgh1234") == read
    looks = provider.looks["abcdefgh1234"]
    assert len(looks) <= 15
    assert looks[-1] - looks[0] >= HOUR.total_seconds() - 1
    assert engine.system.telemetry.counts[Metric.FINAL_LOG_GIVEN_UP] == 1
    assert ("warning", "final log given up") in [record[:2] for record in engine.system.telemetry.records]
    assert queue.dead == []


def test_a_stale_answer_that_holds_more_than_was_read_adds_to_it(engine: Engine) -> None:
    provider = provider_of(engine)
    provider.for_ever = still(JobStatus.RUNNING)
    whole = a_log("JOB", 40)
    end(engine, "abcdefgh1234", whole)
    Queue(engine).empty()
    half = whole[: len(whole) // 2]
    assert kept_log(engine, "abcdefgh1234") == half[: half.rindex("\n") + 1]


def test_an_end_that_tells_less_than_was_read_is_no_final_log(engine: Engine) -> None:
    provider = provider_of(engine)
    whole = a_log("JOB", 40)
    run_and_read(engine, "abcdefgh1234", whole[: whole.index("JOB line 30")])
    provider.trouble["abcdefgh1234"].append(lambda seen, log: LastLook(seen, log[:100]))
    end(engine, "abcdefgh1234", whole)
    Queue(engine).empty()
    assert (kept_log(engine, "abcdefgh1234"), len(provider.looks["abcdefgh1234"])) == (whole, 2)


@pytest.mark.parametrize(
    ("kept_for", "most_looks"), [(HOUR, 15), (timedelta(days=1), 20), (timedelta(days=30), 70), (None, 70)]
)
def test_a_provider_is_asked_as_long_as_it_keeps_logs_and_rarely(
    engine: Engine, kept_for: timedelta | None, most_looks: int
) -> None:
    """Also its last moment is used; the queue's own limits are further away."""
    provider = provider_of(engine, log_kept_for=kept_for)
    provider.for_ever = TROUBLE["404"]
    end(engine, "abcdefgh1234", "log\n")
    queue = Queue(engine)
    queue.empty()
    looks = provider.looks["abcdefgh1234"]
    asked_for = min(kept_for or LONGEST_ASKED, LONGEST_ASKED).total_seconds()
    assert asked_for - 1 <= looks[-1] - looks[0] <= asked_for + 15
    assert len(looks) <= most_looks
    assert queue.dead == []
    pauses = [after - before for before, after in pairwise(looks)][:-1]
    assert all(later >= pause - 1 for pause, later in pairwise(pauses)), "they only grow"


@given(st.timedeltas(timedelta(seconds=-60), timedelta(days=13)), st.timedeltas(timedelta(0), timedelta(days=13)))
def test_a_pause_is_neither_a_hammer_nor_longer_than_sqs_hides_a_message(age: timedelta, kept_for: timedelta) -> None:
    assert timedelta(seconds=15) <= pause_before_next_look(age, kept_for) <= timedelta(hours=6)


def test_a_429_is_waited_for(engine: Engine) -> None:
    provider = provider_of(engine)
    provider.trouble["abcdefgh1234"].append(raises(ProviderThrottledError("slowly", retry_after=600)))
    end(engine, "abcdefgh1234", "log\n")
    Queue(engine).empty()
    first, second = provider.looks["abcdefgh1234"]
    assert second - first >= 600


def test_messages_that_are_none_end_among_the_dead_and_hold_no_other_up(engine: Engine) -> None:
    provider_of(engine)
    poison = ["", "7", '{"job": 1}', "[]", '{"job_id": "../x"}']
    engine.final_logs.send(poison)
    for number in range(7):
        end(engine, f"jobjob{number:06d}", "log\n")
    begun = engine.system.clock.monotonic()
    queue = Queue(engine)
    queue.empty()
    assert sorted(queue.dead) == sorted(poison)
    assert all(kept_log(engine, f"jobjob{number:06d}") == "log\n" for number in range(7))
    assert engine.system.clock.monotonic() - begun < 1200


@pytest.mark.parametrize("status", ENDS)
def test_the_look_for_the_log_brings_the_figure_and_the_whole_error_without_a_call_of_their_own(
    engine: Engine, status: JobStatus
) -> None:
    """I46"""
    provider = provider_of(engine)
    end(engine, "abcdefgh1234", "log\n", status, billed_seconds=None, error=None)
    job = engine.job("abcdefgh1234")
    seen = provider.jobs["abcdefgh1234"]
    provider.put(replace(seen, billed_seconds=Decimal(7), error="it broke " * 100, output_url="https://x.example/y"))
    seq = engine.system.stores.events.head().seq
    Queue(engine).empty()
    told = engine.job("abcdefgh1234")
    assert (told.cost_usd, told.is_cost_estimated) == (Decimal(7) * job.price_per_second, False)
    assert told.output_url == "https://x.example/y"
    assert engine.system.wiring.use(StoredTexts).whole_error(told) == "it broke " * 100
    assert engine.system.stores.events.head().seq == seq
    assert {call: count for call, count in provider.calls.items() if count} == {"last_look": 1}


def test_a_look_that_cannot_be_recorded_comes_again(engine: Engine) -> None:
    provider = provider_of(engine)
    end(engine, "abcdefgh1234", "log\n", billed_seconds=None)
    seen = provider.jobs["abcdefgh1234"]
    provider.put(replace(seen, billed_seconds=Decimal(7)))
    engine.system.queue.is_down = True
    engine.system.stores.faults.throttle_call(3, 4, 5)
    Queue(engine).empty()
    assert engine.job("abcdefgh1234").billed_seconds == 7
    assert is_final(engine, "abcdefgh1234")
