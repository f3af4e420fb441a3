"""List, get, sync and progress: requests counted, times as ratios within one run.

python -m tests.bench.bench_jobs
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from shared.adapters.clock import SystemClock
from shared.adapters.dynamo.items import encode_job
from shared.adapters.providers.replicate.profile import PROFILE as REPLICATE
from shared.domain.job import Job, JobStatus, Transition
from shared.services.jobs.cursor_key import CursorKey
from shared.services.jobs.list_jobs import JobFilter, ListJobs
from shared.services.polling.sync_provider import SyncProvider
from shared.services.providers.provider_settings import ProviderSettings
from shared.services.recording.commit_changes import CommitChanges
from shared.services.recording.record_observations import RecordObservations
from tests.bench.engine import BenchStores, Engine, running_engine
from tests.bench.modelled import modelled_stores
from tests.builders import H100, an_observation
from tests.fakes.doubles import FakeProvider, FakeQueue, FakeTelemetry
from tests.fakes.stores import FakeStores

SMALL, LARGE = 100, 100_000
PROVIDER_SECONDS = 0.05


def fill(engine: Engine, stores: BenchStores, first: int, last: int) -> None:
    """Jobs that ended in the past, written as the table holds them, 25 a request and eight requests at once."""
    now = SystemClock().now()

    def write(start: int) -> None:
        puts = []
        for number in range(start, min(start + 25, last)):
            created_at = now - timedelta(seconds=number)
            job = Job(
                job_id=f"{number:08d}benchjob",
                external_id=f"{number:08d}benchjob",
                provider="replicate",
                kind=REPLICATE.kinds[0],
                status=JobStatus.COMPLETED,
                created_at=created_at,
                started_at=created_at,
                completed_at=created_at,
                cost_usd=Decimal("0.5"),
                hardware_type="H100",
                price_per_second=H100.price_per_second,
                transitions=(Transition(JobStatus.COMPLETED, created_at),),
            )
            puts.append({"PutRequest": {"Item": encode_job(replace(job, version=1))}})
        left = {stores.jobs_table: puts}
        while left:
            left = engine.client.batch_write_item(RequestItems=left)["UnprocessedItems"]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(first, last, 25)))


def milliseconds(act: Callable[[], object], rounds: int = 40) -> float:
    """The median of `rounds`, after three to warm up."""
    times = []
    for number in range(rounds + 3):
        started = time.perf_counter()
        act()
        if number >= 3:
            times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


class SlowProvider(FakeProvider):
    """50 ms a call."""

    def _begin(self, call: str, external_id: str | None = None) -> None:
        time.sleep(PROVIDER_SECONDS)
        super()._begin(call, external_id)


def main() -> None:
    with running_engine() as engine:
        bench_list(engine, engine.stores())
        bench_sync(engine.stores(), "local")
    bench_sync(modelled_stores(SystemClock()), "modelled")


def bench_list(engine: Engine, stores: BenchStores) -> None:
    clock = SystemClock()
    lister = ListJobs(stores.jobs, stores.events, CursorKey(FakeStores(clock).state, clock, lambda: "k" * 32))

    def a_page() -> object:
        return lister.run(JobFilter(), limit=50)

    fill(engine, stores, 0, SMALL)
    small = milliseconds(a_page)
    fill(engine, stores, SMALL, LARGE)
    large = milliseconds(a_page)
    stores.requests.reset()
    a_page()
    print(f"list 50 of {SMALL:>7,} jobs: {small:6.1f} ms")
    print(f"list 50 of {LARGE:>7,} jobs: {large:6.1f} ms, {large / small:.2f} x; requests {dict(stores.requests.sent)}")
    stores.requests.reset()
    stores.jobs.get("00000500benchjob")
    print(f"get one job: requests {dict(stores.requests.sent)}")


def bench_sync(stores: BenchStores | FakeStores, column: str) -> None:
    clock = SystemClock()
    provider = SlowProvider(clock)
    telemetry = FakeTelemetry()
    settings = ProviderSettings(FakeStores(clock).state, clock, {REPLICATE.name: REPLICATE}, {})
    commit = CommitChanges(
        jobs=stores.jobs, clock=clock, telemetry=telemetry, provider_settings=settings, retention=None
    )
    recorder = RecordObservations(
        jobs=stores.jobs, commit_changes=commit, telemetry=telemetry, observations_queue=FakeQueue()
    )
    syncer = SyncProvider(record_observations=recorder, clock=clock, telemetry=telemetry, provider_settings=settings)
    now = clock.now()
    for number in range(100):
        seen = an_observation(f"sync{number:04d}{column}", JobStatus.COMPLETED, observed_at=now)
        provider.put(replace(seen, created_at=now - timedelta(seconds=number)))
    for title in ("new", "known unchanged"):
        provider.calls.clear()
        if isinstance(stores, BenchStores):
            stores.requests.reset()
        started = time.perf_counter()
        result = syncer.run(provider, budget_seconds=8)
        seconds = time.perf_counter() - started
        sent = f"requests {dict(stores.requests.sent)}, " if isinstance(stores, BenchStores) else ""
        print(
            f"sync of 100 {title} jobs ({column}): {seconds:.2f} s, {result.discovered} new; "
            f"{sent}provider calls {dict(provider.calls)}"
        )


if __name__ == "__main__":
    main()
