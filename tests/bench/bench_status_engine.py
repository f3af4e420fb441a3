"""The status engine's figures: a tick over many jobs, what a webhook costs, and bursts of webhooks.

python -m tests.bench.bench_status_engine [seconds of the webhook load]
Two columns: DynamoDB Local as it is, and with AWS's latencies and conflicts (`tests.bench.modelled`).
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

from standardwebhooks.webhooks import Webhook

from shared.adapters.clock import SystemClock
from shared.adapters.providers.replicate.profile import PROFILE
from shared.config import AuthMode, Settings
from shared.domain import state_keys
from shared.domain.errors import StoreUnavailableError
from shared.domain.job import JobStatus
from shared.domain.observation import Report
from shared.enterprise_config import EnterpriseConfig
from shared.ports import Clock
from shared.services.polling.poll_provider import PollProvider, TickOutcome
from shared.services.polling.poll_state import read_poll_state
from shared.services.recording.commit_changes import CommitChanges
from shared.services.recording.commit_queued import CommitQueued, Delivered
from shared.services.recording.decide import fold
from shared.services.webhooks.receive_webhook import Delivery, ReceiveWebhook
from shared.services.webhooks.webhook_keys import webhook_secret_name
from shared.wiring import Wiring
from tests.bench.burst import run_burst
from tests.bench.engine import BenchStores, Engine, Requests, running_engine
from tests.bench.modelled import modelled_stores
from tests.builders import an_observation
from tests.fakes import FakeStores
from tests.fakes.doubles import FakeProvider, FakeQueue, FakeSecrets, FakeTelemetry

PROVIDER_SECONDS = 0.05
WEBHOOK_URL = "https://jobs.example.com/api/webhooks/replicate"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WEBHOOKS_A_SECOND = 100
CHANGES_IN = 10
MODEL = "owner/name"
BURST = 1000
BURST_SECONDS = 10.0
FUNCTIONS = 16
"""How many webhooks are worked on at once, each by a function that shares nothing with the others but the stores; an
answer's time counts from the moment its webhook was due."""
WRITES = {"TransactWriteItems", "PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"}


class SlowProvider(FakeProvider):
    """50 ms a call."""

    def _begin(self, call: str, external_id: str | None = None) -> None:
        time.sleep(PROVIDER_SECONDS)
        super()._begin(call, external_id)


class DurableQueue(FakeQueue):
    """The queue `observations` with its one committer behind it, in a thread; `drained` waits until it is empty."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._is_done = threading.Event()
        self.handed_over = 0

    def send(self, messages: Sequence[str], *, delay_seconds: int = 0) -> None:
        with self._lock:
            super().send(messages, delay_seconds=delay_seconds)
            self.handed_over += len(messages)

    def take(self, count: int) -> list[str]:
        with self._lock:
            taken = [message for message, _ in self.messages[:count]]
            del self.messages[:count]
            return taken

    def work(self, wiring: Wiring) -> None:
        while not (self._is_done.is_set() and not self.messages):
            batch = self.take(100)
            if not batch:
                time.sleep(0.05)
                continue
            kept = wiring.use(CommitQueued).run([Delivered(body, "") for body in batch])
            self.send([batch[place] for place in kept])

    def finish(self) -> None:
        self._is_done.set()


@dataclass
class Bench:
    """A service over stores: `wiring` is one function's, `another` makes one more; `requests` went to DynamoDB."""

    stores: BenchStores | FakeStores
    requests: Requests
    provider: SlowProvider
    queue: DurableQueue
    another: Callable[[], Wiring]
    wiring: Wiring

    @classmethod
    def over(cls, engine: Engine | None, *, has_stream: bool = True) -> Bench:
        """On the engine, or on the modelled stores where there is none."""
        clock = SystemClock()
        if engine is None:
            return cls.of(modelled_stores(clock), clock)
        return cls.of(engine.stores(has_stream=has_stream), clock, engine.requests)

    @classmethod
    def of(cls, stores: BenchStores | FakeStores, clock: Clock, requests: Requests | None = None) -> Bench:
        queue, provider = DurableQueue(), SlowProvider(clock)
        another = partial(
            Wiring,
            Settings(auth_mode=AuthMode.NONE),
            clock=clock,
            telemetry=FakeTelemetry(),
            jobs=stores.jobs,
            events=stores.events,
            texts=stores.texts,
            state=stores.state,
            secrets=FakeSecrets(**{webhook_secret_name(PROFILE.name): SECRET}),
            observations_queue=queue,
            providers={PROFILE.name: provider},
            enterprise=EnterpriseConfig(provider_defaults={PROFILE.name: {"webhook_url": WEBHOOK_URL}}),
        )
        return cls(stores, requests or Requests(), provider, queue, another, another())

    def fill(self, count: int) -> None:
        """So many running jobs, known here and at the provider, that report to our webhook."""
        now = self.wiring.clock.now()
        seen = [
            an_observation(
                f"bench{number:08d}",
                JobStatus.RUNNING,
                created_at=now - timedelta(seconds=count - number),
                started_at=now - timedelta(seconds=count - number - 1),
                observed_at=now,
                webhook_url=WEBHOOK_URL,
                model=MODEL,
            )
            for number in range(count)
        ]
        for one in seen:
            self.provider.put(one)
        for start in range(0, count, 1000):
            groups = fold(map(Report, seen[start : start + 1000]))
            committed = self.wiring.use(CommitChanges).run_as_committer(groups, seconds=60)
            assert not committed.left

    def end_all(self) -> None:
        now = self.wiring.clock.now()
        for one in list(self.provider.jobs.values()):
            self.provider.put(replace(one, status=JobStatus.COMPLETED, provider_status="succeeded", completed_at=now))

    def count(self, status: JobStatus) -> int:
        return self.stores.events.head().count(statuses=frozenset({status}))


def poll_rounds(bench: Bench) -> tuple[float, int]:
    """Ticks until a round is finished: its seconds of work, and the provider's calls."""
    bench.provider.calls.clear()
    bench.stores.state.delete(state_keys.poll(PROFILE.name), now=bench.wiring.clock.now())
    bench.requests.reset()
    worked = 0.0
    while True:
        started = time.perf_counter()
        outcome = bench.wiring.use(PollProvider).run(bench.provider, interval=30)
        worked += time.perf_counter() - started
        assert outcome is TickOutcome.RAN
        if not _has_rest(bench):
            return worked, bench.provider.calls.total()


def _has_rest(bench: Bench) -> bool:
    return read_poll_state(bench.stores.state, PROFILE.name, now=bench.wiring.clock.now()).resume is not None


def bench_ticks(bench: Bench) -> list[tuple[str, str]]:
    bench.fill(1000)
    seconds, calls = poll_rounds(bench)
    sent = bench.requests.sent
    writes = sum(number for name, number in sent.items() if name in WRITES)
    told = f", {sent.total()} DynamoDB requests, {writes} of them writes (its lease: 2)" if writes else ""
    rows = [("1,000 active, nothing changed", f"{seconds:.2f} s, {calls} calls{told}")]
    bench.end_all()
    seconds, calls = poll_rounds(bench)
    worker = threading.Thread(target=bench.queue.work, args=(bench.wiring,))
    worker.start()
    bench.queue.finish()
    worker.join()
    rows.append(
        ("1,000 active, all ended", f"{seconds:.2f} s, {calls} calls, {bench.count(JobStatus.COMPLETED)} right")
    )
    return rows


def bench_many() -> list[tuple[str, str]]:
    """Calls alone: over stores in memory, because filling tables with 10,000 jobs would take most of the run."""
    clock = SystemClock()
    stores = FakeStores(clock)
    bench = Bench.of(stores, clock)
    bench.fill(10_000)
    bench.end_all()
    _, calls = poll_rounds(bench)
    return [("10,000 active, all ended", f"{calls} calls, {bench.count(JobStatus.COMPLETED)} right")]


@dataclass
class Load:
    """What became of a load of webhooks; times in seconds."""

    answered: list[float] = field(default_factory=list)
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, seconds: float, *, is_taken: bool) -> None:
        with self.lock:
            self.answered.append(seconds)
            self.refused += not is_taken


def webhook(bench: Bench, number: int, name: str, status: str) -> Delivery:
    now = bench.wiring.clock.now()
    body: dict[str, Any] = {"id": name, "status": status, "created_at": now.isoformat(), "model": MODEL}
    if status == "processing":
        body["logs"] = f"Steps:  12%|#2        | {number}/20000 [05:27<38:12,  1.31s/it, step_loss=0.123]\n"
    if status == "succeeded":
        body |= {"completed_at": now.isoformat(), "metrics": {"predict_time": 12.5}}
    raw = json.dumps(body)
    webhook_id = f"msg_{number}"
    signature = Webhook(SECRET).sign(webhook_id, now, raw)
    return Delivery(
        provider=PROFILE.name,
        body=raw.encode(),
        headers={
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        },
    )


def send_all(bench: Bench, jobs: Sequence[tuple[str, str]], seconds: float) -> tuple[Load, float]:
    """Send them evenly over `seconds`; returns how they were answered and how long after the last all was told."""
    load = Load()
    functions = threading.local()

    def start_function() -> None:
        functions.receive_webhook = bench.another().use(ReceiveWebhook)

    worker = threading.Thread(target=bench.queue.work, args=(bench.wiring,))
    worker.start()

    def one(number: int, name: str, status: str, due: float) -> None:
        delivery = webhook(bench, number, name, status)
        try:
            functions.receive_webhook.run(delivery)
            load.add(time.perf_counter() - due, is_taken=True)
        except StoreUnavailableError:
            load.add(time.perf_counter() - due, is_taken=False)

    begun = time.perf_counter()
    with ThreadPoolExecutor(FUNCTIONS, initializer=start_function) as pool:
        for number, (name, status) in enumerate(jobs):
            due = begun + number * seconds / len(jobs)
            time.sleep(max(0.0, due - time.perf_counter()))
            pool.submit(one, number, name, status, due)
    last = time.perf_counter()
    bench.queue.finish()
    worker.join()
    return load, time.perf_counter() - last


def told(load: Load, late: float, bench: Bench, expected: int) -> str:
    p99 = statistics.quantiles(load.answered, n=100)[98] * 1000
    right = bench.count(JobStatus.COMPLETED)
    queued = bench.queue.handed_over
    return (
        f"{len(load.answered)} answered, {load.refused} refused, p99 {p99:.0f} ms, {right}/{expected} told "
        f"{late:.1f} s after the last, {queued} by the queue"
    )


def bench_steady(bench: Bench, seconds: int) -> list[tuple[str, str]]:
    total = WEBHOOKS_A_SECOND * seconds
    changes = total // CHANGES_IN
    bench.fill(changes)
    jobs = [
        (f"bench{number // CHANGES_IN:08d}", "succeeded" if number % CHANGES_IN == 0 else "processing")
        for number in range(total)
    ]
    load, late = send_all(bench, jobs, seconds)
    return [(f"{WEBHOOKS_A_SECOND} webhooks/s for {seconds} s", told(load, late, bench, changes))]


def bench_burst(bench: Bench) -> list[tuple[str, str]]:
    bench.fill(BURST)
    names = [(f"bench{number:08d}", "succeeded") for number in range(BURST)]
    load, late = send_all(bench, names, BURST_SECONDS)
    return [(f"{BURST} changes in {BURST_SECONDS:g} s", told(load, late, bench, BURST))]


LARGE_BURST = 12_000
LARGE_BURST_SECONDS = 30.0


def bench_large_burst() -> list[tuple[str, str]]:
    """In virtual time, with as many functions as Lambda would start: this machine alone would be what is measured."""
    burst = run_burst(LARGE_BURST, LARGE_BURST_SECONDS)
    figures = (
        f"{len(burst.answered)} answered, {burst.refused} refused, p99 {burst.p99 * 1000:.0f} ms, "
        f"{len(burst.told)}/{LARGE_BURST} told {max(0.0, burst.drained_after):.1f} s after the last, "
        f"{burst.longest_untold:.1f} s after its answer at the latest, {burst.queued} by the queue"
    )
    return [(f"{LARGE_BURST:,} new jobs' ends in {LARGE_BURST_SECONDS:g} s", figures)]


def bench_one_webhook(engine: Engine) -> list[tuple[str, str]]:
    bench = Bench.over(engine)
    bench.fill(1)
    bench.wiring.use(ReceiveWebhook).run(webhook(bench, 0, "bench00000000", "processing"))
    bench.requests.reset()
    bench.provider.calls.clear()
    bench.wiring.use(ReceiveWebhook).run(webhook(bench, 1, "bench00000000", "succeeded"))
    requests = bench.requests.sent.total()
    return [("one webhook, a change", f"{requests} DynamoDB requests, {bench.provider.calls.total()} provider calls")]


BASE_ITEMS = 99


def bench_baseline(engine: Engine) -> list[tuple[str, str]]:
    """What this machine's engine takes for a full transaction of plain items: no index, stream or condition."""
    engine.client.create_table(
        TableName="plain",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    times = []
    for turn in range(60):
        items = [
            {"Put": {"TableName": "plain", "Item": {"id": {"S": f"{turn}-{number}"}, "text": {"S": "x" * 600}}}}
            for number in range(BASE_ITEMS)
        ]
        started = time.perf_counter()
        engine.client.transact_write_items(TransactItems=items)
        times.append(time.perf_counter() - started)
    middle = statistics.median(times[20:]) * 1000
    return [(f"baseline: a transaction of {BASE_ITEMS} plain items", f"{middle:.0f} ms")]


WARM_UP_SECONDS = 10


def warm_up(engine: Engine) -> None:
    """Until Java has compiled what the loads use: a cold engine is five times slower for its first half minute."""
    bench_ticks(Bench.over(engine, has_stream=False))
    bench_steady(Bench.over(engine, has_stream=False), WARM_UP_SECONDS)


def main(seconds: int = 60) -> None:
    """Prints each figure as soon as it is measured; the last column says over which store."""
    show("in memory", bench_many())
    show("modelled", bench_large_burst())
    with running_engine() as engine:
        show("local", bench_one_webhook(engine))
        warm_up(engine)
        show("local", bench_baseline(engine))
    for load in (bench_ticks, partial(bench_steady, seconds=seconds), bench_burst):
        with running_engine() as engine:
            warm_up(engine)
            show("local", load(Bench.over(engine)))
        show("modelled", load(Bench.over(None)))


def show(store: str, rows: Sequence[tuple[str, str]]) -> None:
    for what, figure in rows:
        print(f"| {what} | {figure} | {store} |", flush=True)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
