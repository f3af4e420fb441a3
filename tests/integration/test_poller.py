"""The poller over simulated minutes: ticks, leases, places, reconcile, any number of jobs (I9, I25–I29, I31)."""

from __future__ import annotations

import itertools
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from functions.work import poll_provider, start_ticks
from shared.adapters.providers.replicate.profile import PREDICTION, TRAINING
from shared.domain import state_keys
from shared.domain.change import JobChange
from shared.domain.errors import (
    ProviderAnswerInvalidError,
    ProviderError,
    ProviderNotConfiguredError,
    ProviderThrottledError,
    ProviderTokenRejectedError,
    ProviderUnavailableError,
    StoreUnavailableError,
)
from shared.domain.event import LogHead
from shared.domain.job import JobStatus, to_iso
from shared.domain.observation import Look, Observation, ObservationPage
from shared.domain.stored import StateItem
from shared.services.health.check_health import CheckHealth
from shared.services.polling import refresh_active
from shared.services.polling.poll_provider import (
    TICK_BUDGET,
    PollProvider,
    TickOutcome,
)
from shared.services.polling.poll_state import (
    PollFault,
    PollState,
    decode_poll_state,
    encode_poll_state,
    read_poll_state,
)
from shared.services.polling.resume_point import ListCursor, SinglesCursor
from shared.services.polling.start_ticks import Tick
from shared.services.recording.record_observations import RecordObservations
from tests.engine import WEBHOOK_URL, Engine, an_engine
from tests.fakes import Crash, FakeClock, FakeProvider
from tests.proof import scaled

DOWN = ProviderUnavailableError("Replicate did not answer.")


class SlowProvider(FakeProvider):
    """Every call takes `seconds`; `faults` is the share of calls that fail."""

    def __init__(self, clock: FakeClock, *, seconds: float = 0.05, faults: float = 0, seed: int = 1) -> None:
        super().__init__(clock)
        self._time = clock
        self.seconds = seconds
        self.faults = faults
        self.chance = random.Random(seed)
        self.looked_at: dict[str, list[datetime]] = {}
        self.hold: list[str] = []

    def list_page(self, kind: str, *, page: str | None = None, active_since: datetime | None = None) -> ObservationPage:
        self._suffer()
        found = super().list_page(kind, page=page, active_since=active_since)
        for seen in found.observations:
            self.looked_at.setdefault(seen.external_id, []).append(self._time.now())
        return found

    def get(self, external_id: str, kind: str, *, with_log: bool = False) -> Look:
        self._suffer(share=1 / 8)
        self.looked_at.setdefault(external_id, []).append(self._time.now())
        return super().get(external_id, kind, with_log=with_log)

    def _suffer(self, share: float = 1) -> None:
        self._time.advance(self.seconds * share)
        if self.chance.random() < self.faults:
            raise DOWN


def slow(engine: Engine, **behaviour: float) -> SlowProvider:
    """Put a slow provider in the place of the fake."""
    provider = SlowProvider(engine.system.clock, **behaviour)  # type: ignore[arg-type]
    provider.jobs = engine.system.provider.jobs
    engine.system.provider = provider
    engine.system.use_providers(provider)
    return provider


def active_jobs(engine: Engine, count: int, *, kind: str = PREDICTION, spacing: float = 1) -> list[str]:
    """So many running jobs, known here and at the provider, the oldest first."""
    ids = [f"job{number:09d}" for number in range(count)]
    for place, external_id in enumerate(ids):
        engine.system.remote_job(external_id, JobStatus.RUNNING, age=600 + (count - place) * spacing, kind=kind)
    engine.system.sync()
    return ids


def cover_all(engine: Engine) -> None:
    """Every job reports to our webhook."""
    for job_id, job in list(engine.system.stores.job_rows.items()):
        engine.system.stores.put_job(job_id, replace(job, webhook_covered=True))


def end_all(engine: Engine) -> None:
    """Everything at the provider has succeeded."""
    now = engine.system.clock.now()
    for seen in list(engine.system.provider.jobs.values()):
        engine.system.provider.put(
            replace(seen, status=JobStatus.COMPLETED, provider_status="succeeded", completed_at=now)
        )


def state_of(engine: Engine) -> PollState:
    return read_poll_state(engine.system.stores.state, "replicate", now=engine.system.clock.now())


@pytest.fixture
def engine() -> Iterator[Engine]:
    with an_engine() as engine:
        yield engine


def delays(engine: Engine) -> list[int]:
    """Fire the schedule, and take the delays of the ticks it sent."""
    start_ticks.handler({}, None)
    sent = [delay for _, delay in engine.ticks.messages]
    engine.ticks.messages.clear()
    return sent


@pytest.mark.parametrize(("interval", "expected"), [(30, [0, 30]), (5, list(range(0, 60, 5))), (45, [0, 45])])
def test_ticks_of_a_minute_are_spaced_by_the_interval(interval: float, expected: list[int]) -> None:
    with an_engine(simpletuner_job_poll_interval=interval) as engine:
        active_jobs(engine, 1)
        assert delays(engine) == expected


def test_an_odd_interval_keeps_its_rhythm_over_minutes() -> None:
    with an_engine(simpletuner_job_poll_interval=45) as engine:
        active_jobs(engine, 1)
        moments = []
        for minute in range(6):
            moments += [minute * 60 + delay for delay in delays(engine)]
            engine.system.clock.advance(60)
        assert moments == list(range(0, 360, 45))


def test_a_long_interval_ticks_only_when_due() -> None:
    with an_engine(simpletuner_job_poll_interval=180) as engine:
        active_jobs(engine, 1)
        sent = []
        for _ in range(7):
            sent.append(len(delays(engine)))
            engine.system.clock.advance(60)
        assert sent == [1, 0, 0, 1, 0, 0, 1]


def test_a_schedule_that_fires_twice_sends_its_ticks_once(engine: Engine) -> None:
    active_jobs(engine, 1)
    assert len(delays(engine)) == 2
    assert delays(engine) == []


def test_a_late_schedule_neither_skips_nor_bunches(engine: Engine) -> None:
    active_jobs(engine, 1)
    delays(engine)
    engine.system.clock.advance(200)
    assert delays(engine) == [0, 30]


@pytest.mark.parametrize("status", [JobStatus.COMPLETED, None])
def test_nothing_to_do_means_no_ticks(engine: Engine, status: JobStatus | None) -> None:
    if status is not None:
        engine.system.remote_job("abcdefgh1234", status)
        engine.system.sync()
    engine.run(5)
    assert engine.outcomes == []
    assert engine.system.provider.calls.total() == 0


def test_an_idle_schedule_writes_seldom_but_stays_healthy(engine: Engine) -> None:
    engine.system.stores.reset_usage()
    for _ in range(60):
        engine.minute()
        poller = engine.system.wiring.use(CheckHealth).check()[1]
        assert poller.status == "healthy"
    assert engine.system.stores.usage["state.put"].calls <= 31
    assert engine.system.telemetry.counts["SchedulerRan"] == 60


def test_a_schedule_whose_clock_was_ahead_is_not_taken_for_one_that_runs(engine: Engine) -> None:
    now = engine.system.clock.now()
    ahead = {"at": (now + timedelta(hours=5)).timestamp(), "last": {}}
    engine.system.stores.state.put(state_keys.SCHEDULE, ahead, now=now)
    health = engine.system.wiring.use(CheckHealth)
    assert health.check()[1].status == "degraded"
    engine.minute()
    assert health.check()[1].status == "healthy"


def test_polling_and_reconcile_switched_off_send_no_ticks(engine: Engine) -> None:
    active_jobs(engine, 1)
    engine.enterprise(reconcile_interval=0)
    engine.polling.prefer(False)
    assert delays(engine) == []


def test_a_tick_that_could_do_nothing_is_tried_again_before_the_next_interval(engine: Engine) -> None:
    active_jobs(engine, 2)
    engine.configure(webhook_url=WEBHOOK_URL)
    cover_all(engine)
    end_all(engine)
    engine.system.provider.fail("list_page", DOWN)
    engine.system.provider.fail("get", *[DOWN] * 2)
    engine.run(1)
    assert set(engine.statuses().values()) == {JobStatus.RUNNING}
    engine.run(1)
    assert set(engine.statuses().values()) == {JobStatus.COMPLETED}


def test_a_tick_older_than_an_interval_is_dropped(engine: Engine) -> None:
    active_jobs(engine, 2)
    tick = Tick("replicate", engine.system.clock.now().timestamp(), 30)
    engine.system.clock.advance(31)
    assert engine.tick(tick.encode()) == "late"
    assert engine.system.provider.calls.total() == 0


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"provider": "replicate", "due_at": "x", "interval": 1}',
        '{"provider": "elsewhere", "due_at": 9e9, "interval": 30}',
    ],
)
def test_a_message_that_is_no_tick_is_dropped(engine: Engine, body: str) -> None:
    assert poll_provider.handler({"Records": [{"body": body}]}, None) == {"outcomes": []}


def test_a_tick_delivered_twice_polls_once(engine: Engine) -> None:
    active_jobs(engine, 2)
    tick = Tick("replicate", engine.system.clock.now().timestamp(), 30).encode()
    assert [engine.tick(tick), engine.tick(tick)] == [TickOutcome.RAN, TickOutcome.NOT_DUE]
    assert engine.system.provider.calls["list_page"] == 1


def test_a_held_lease_keeps_every_other_tick_out_until_it_expires(engine: Engine) -> None:
    """I27: the process died while it held the lease."""
    active_jobs(engine, 2)
    engine.system.provider.fail("list_page", Crash())  # type: ignore[arg-type]
    with pytest.raises(Crash):
        engine.system.wiring.use(PollProvider).run(engine.system.provider, interval=30)
    begun = engine.system.clock.monotonic()
    outcomes = []
    for seconds in (1, 15, 29.9, 30, 31):
        engine.advance_to(begun + seconds)
        outcomes.append(engine.system.wiring.use(PollProvider).run(engine.system.provider, interval=30))
    assert outcomes == [TickOutcome.BUSY, TickOutcome.BUSY, TickOutcome.BUSY, TickOutcome.RAN, TickOutcome.NOT_DUE]


def test_a_paused_tick_cannot_write_its_place_but_what_it_saw_counts(engine: Engine) -> None:
    """I27: frozen between its call and its recording, overtaken, then thawed."""
    ids = active_jobs(engine, 2)
    system = engine.system
    poller = system.wiring.use(PollProvider)
    later: list[TickOutcome] = []

    class Freezing(FakeProvider):
        def list_page(
            self, kind: str, *, page: str | None = None, active_since: datetime | None = None
        ) -> ObservationPage:
            found = system.provider.list_page(kind, page=page, active_since=active_since)
            system.clock.advance(31)
            later.append(poller.run(system.provider, interval=30))
            return found

    end_all(engine)
    outcome = poller.run(Freezing(system.clock), interval=30)
    assert later == [TickOutcome.RAN]
    assert outcome is TickOutcome.OVERTAKEN
    assert state_of(engine).lease_until is None
    assert {engine.job(job_id).status for job_id in ids} == {JobStatus.COMPLETED}
    assert system.stores.events.head().seq == 4


def test_a_lease_from_a_clock_that_was_ahead_keeps_nobody_out(engine: Engine) -> None:
    active_jobs(engine, 2)
    system = engine.system
    now = system.clock.now()
    ahead = PollState(lease_until=now + timedelta(hours=5), round_began_at=now + timedelta(hours=5))
    system.stores.state.put(state_keys.poll("replicate"), encode_poll_state(ahead), now=now)
    assert system.wiring.use(PollProvider).run(system.provider, interval=30) is TickOutcome.RAN
    assert state_of(engine).round_began_at == now


def test_a_clock_a_little_behind_neither_breaks_a_lease_nor_a_round(engine: Engine) -> None:
    active_jobs(engine, 2)
    system = engine.system
    now = system.clock.now()
    resume = SinglesCursor(singles=("job000000001",))
    held = PollState(lease_until=now + timedelta(seconds=40), last_tick_at=now + timedelta(seconds=10), resume=resume)
    version = system.stores.state.put(state_keys.poll("replicate"), encode_poll_state(held), now=now)
    assert system.wiring.use(PollProvider).run(system.provider, interval=30) is TickOutcome.BUSY
    free = encode_poll_state(replace(held, lease_until=None))
    system.stores.state.put(state_keys.poll("replicate"), free, now=now, if_version=version)
    assert system.wiring.use(PollProvider).run(system.provider, interval=30) is TickOutcome.RAN
    assert system.provider.asked == ["job000000001"]


def test_two_ticks_that_start_together_become_one(engine: Engine) -> None:
    active_jobs(engine, 2)
    system = engine.system
    real = system.stores.state.get
    outcomes: list[str] = []

    def get_then_lose(key: str, *, now: datetime) -> object:
        found = real(key, now=now)
        if key == state_keys.poll("replicate") and not outcomes:
            outcomes.append("begun")
            outcomes.append(system.wiring.use(PollProvider).run(system.provider, interval=30))
        return found

    system.stores.state.get = get_then_lose  # type: ignore[method-assign, assignment]
    assert system.wiring.use(PollProvider).run(system.provider, interval=30) is TickOutcome.BUSY
    assert outcomes[1] is TickOutcome.RAN


def test_a_store_that_fails_in_a_tick_leaves_no_lease_behind(engine: Engine) -> None:
    active_jobs(engine, 2)
    end_all(engine)
    engine.system.queue.is_down = True
    engine.system.stores.faults.throttle_call(*range(4, 40))
    with pytest.raises(StoreUnavailableError):
        engine.system.wiring.use(PollProvider).run(engine.system.provider, interval=30)
    engine.system.stores.faults.clear()
    engine.system.clock.advance(30)
    assert engine.system.wiring.use(PollProvider).run(engine.system.provider, interval=30) is TickOutcome.RAN
    assert set(engine.statuses().values()) == {JobStatus.COMPLETED}


@pytest.mark.parametrize("count", [1, 99, 100, 101, 1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_every_active_job_is_seen_whatever_their_number(engine: Engine, count: int) -> None:
    """I25, and the figures of one round: lists before single requests."""
    active_jobs(engine, count)
    end_all(engine)
    slow(engine)
    engine.run(2 if count < 5000 else 3)
    assert set(engine.statuses().values()) == {JobStatus.COMPLETED}
    assert engine.system.provider.calls.total() <= max(12, count / 100 + 10)
    assert engine.system.stores.events.head().seq == 2 * count


def test_what_moves_between_the_look_at_the_index_and_its_writing_is_decided_anew(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh_active, "RECORD_EVERY", 20)
    ids = active_jobs(engine, 60)
    end_all(engine)
    oldest = engine.system.provider.jobs[ids[0]]
    failed = replace(oldest, status=JobStatus.FAILED, provider_status="failed", error="CUDA out of memory")
    record = engine.system.wiring.use(RecordObservations)
    engine.system.stores.before_commit(lambda _: record.run([failed]))
    engine.tick(Tick("replicate", engine.system.clock.now().timestamp(), 30).encode())
    assert engine.job(ids[0]).status is JobStatus.FAILED
    assert {engine.job(external_id).status for external_id in ids[1:]} == {JobStatus.COMPLETED}
    assert engine.system.stores.events.head().seq == 2 * len(ids)


def test_reading_runs_ahead_of_slow_writing_by_a_bounded_number_of_jobs(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh_active, "RECORD_EVERY", 20)
    ids = active_jobs(engine, 600)
    end_all(engine)
    provider, jobs = engine.system.provider, engine.system.stores.jobs
    written: list[int] = []
    ahead: list[int] = []
    commit, list_page = jobs.commit, provider.list_page

    def slow_commit(changes: Sequence[JobChange], **given: Any) -> LogHead:
        time.sleep(0.003)
        answer = commit(changes, **given)
        written.append(len(changes))
        return answer

    def counted_page(kind: str, **options: Any) -> ObservationPage:
        ahead.append(sum(len(page.observations) for page in pages) - sum(written))
        pages.append(list_page(kind, **options))
        return pages[-1]

    pages: list[ObservationPage] = []
    monkeypatch.setattr(jobs, "commit", slow_commit)
    monkeypatch.setattr(provider, "list_page", counted_page)
    engine.tick(Tick("replicate", engine.system.clock.now().timestamp(), 30).encode())
    assert set(engine.statuses().values()) == {JobStatus.COMPLETED}
    assert sum(written) == len(ids)
    assert max(ahead) <= 20 * (refresh_active.BATCHES_AHEAD + 1) + len(pages[0].observations)


@pytest.mark.parametrize("count", [1, 99, 100, 101, 1000])
def test_a_round_in_which_nothing_changed_writes_nothing_but_its_lease(engine: Engine, count: int) -> None:
    active_jobs(engine, count)
    engine.system.stores.reset_usage()
    assert engine.system.wiring.use(PollProvider).run(engine.system.provider, interval=30) is TickOutcome.RAN
    assert engine.system.telemetry.counts["JobsPolled"] == count
    usage = engine.system.stores.usage
    assert usage.pop("state.put").calls == 2
    assert sum(one.items_written for one in usage.values()) == 0
    assert engine.system.provider.calls.total() <= 12


@pytest.mark.parametrize("have_ended", [False, True])
def test_a_round_reads_no_job_beside_the_index(engine: Engine, have_ended: bool) -> None:
    """Neither one that is as it was, nor one that has ended: one read of the head for each RECORD_EVERY of them."""
    active_jobs(engine, 1000)
    if have_ended:
        end_all(engine)
    engine.system.stores.reset_usage()
    assert engine.system.wiring.use(PollProvider).run(engine.system.provider, interval=30) is TickOutcome.RAN
    usage = engine.system.stores.usage
    assert usage.pop("jobs.active").items_read == 1000
    assert usage.pop("events.head").items_read == math.ceil(1000 / refresh_active.RECORD_EVERY)
    assert usage.pop("state.get").items_read <= 2
    assert sum(one.items_read for one in usage.values()) == 0
    assert set(engine.statuses().values()) == {JobStatus.COMPLETED if have_ended else JobStatus.RUNNING}


def test_an_end_that_the_index_does_not_show_yet_stays_as_it_was(engine: Engine) -> None:
    ids = active_jobs(engine, 2)
    system = engine.system
    record = system.wiring.use(RecordObservations)
    system.stores.faults.index_lag = timedelta(minutes=5)
    for external_id in ids:
        record.run([replace(system.provider.jobs[external_id], status=JobStatus.FAILED, error="CUDA out of memory")])
    succeeded = replace(system.provider.jobs[ids[1]], status=JobStatus.COMPLETED)
    system.provider.put(succeeded)
    engine.run(2)
    assert [engine.job(external_id).status for external_id in ids] == [JobStatus.FAILED] * 2
    assert system.stores.events.head().seq == 4


def test_nothing_that_a_list_tells_is_lost_by_an_index_that_lags() -> None:
    """Webhooks and polls cross each other; when all is quiet, the provider tells nothing that is not known."""
    for seed in range(scaled(60)):
        with an_engine() as engine:
            chance, system = random.Random(seed), engine.system
            ids = active_jobs(engine, 3)
            record, poll = system.wiring.use(RecordObservations), system.wiring.use(PollProvider)
            for _ in range(15):
                system.stores.faults.index_lag = timedelta(seconds=chance.choice([0, 1, 20, 45, 90]))
                seen = told_otherwise(system.provider.jobs[chance.choice(ids)], chance, system.clock.now())
                system.provider.put(seen)
                if chance.random() < 0.4:
                    record.run([seen])
                if chance.random() < 0.7:
                    poll.run(system.provider, interval=5)
                system.clock.advance(chance.choice([1, 6, 30, 61]))
            system.stores.faults.clear()
            engine.run(3)
            recorded = record.run(list(system.provider.jobs.values()))
            assert recorded.changed == set(), seed
            for external_id, seen in system.provider.jobs.items():
                assert seen.status in (None, engine.job(external_id).status), seed


def told_otherwise(seen: Observation, chance: random.Random, now: datetime) -> Observation:
    """What a provider may say next of a job: one more fact, a word that nobody knows, or its end."""
    if seen.status is not None and seen.status.is_terminal:
        return seen
    seen = replace(seen, status=JobStatus.RUNNING, provider_status="processing", observed_at=now)
    earlier = (seen.started_at or now) - timedelta(seconds=1)
    succeeded = {"status": JobStatus.COMPLETED, "provider_status": "succeeded", "completed_at": now}
    changes: list[dict[str, Any]] = [
        {},
        {"started_at": earlier},
        {"model": "owner/name"},
        {"output_url": "https://example.com/out"},
        {"webhook_url": WEBHOOK_URL},
        {"provider_status": "processing at last"},
        {"status": None, "provider_status": "rebooting"},
        succeeded | {"billed_seconds": Decimal(12)},
    ]
    return replace(seen, **chance.choice(changes))


def test_a_round_longer_than_a_tick_goes_on_where_it_stopped(engine: Engine) -> None:
    """A slow list: three ticks for one round, no page and no job twice."""
    ids = active_jobs(engine, 1200)
    provider = slow(engine, seconds=3)
    end_all(engine)
    engine.run(2)
    assert {engine.job(job_id).status for job_id in ids} == {JobStatus.COMPLETED}
    assert provider.calls["list_page"] == 12
    assert provider.calls["get"] == 0


def test_a_round_that_was_broken_off_for_long_begins_anew_and_makes_no_long_interval(engine: Engine) -> None:
    """Its rest was dealt with by webhooks, and what comes a day later must not wait for three days."""
    active_jobs(engine, 900)
    slow(engine, seconds=3)
    start_ticks.handler({}, None)
    engine.tick(engine.ticks.drain()[0])
    assert state_of(engine).resume is not None
    end_all(engine)
    engine.system.sync()
    engine.system.clock.advance(86_400)
    engine.system.remote_job("newcomer0001", JobStatus.RUNNING)
    engine.system.sync()
    engine.system.remote_job("newcomer0001", JobStatus.COMPLETED)
    engine.run(1)
    assert engine.job("newcomer0001").status is JobStatus.COMPLETED
    assert state_of(engine).effective_interval(30) == 30


def test_the_time_in_which_the_provider_held_us_back_is_no_part_of_a_round(engine: Engine) -> None:
    active_jobs(engine, 300)
    provider = slow(engine)
    held = ProviderThrottledError("Replicate asks to wait.", retry_after=900)
    real, held_until = provider.list_page, engine.system.clock.now() + timedelta(minutes=15)

    def list_page(kind: str, **options: Any) -> ObservationPage:
        if provider.calls["list_page"] > 1 and engine.system.clock.now() < held_until:
            raise held
        return real(kind, **options)

    provider.list_page = list_page  # type: ignore[method-assign]
    engine.run(16)
    assert state_of(engine).resume is None
    assert state_of(engine).effective_interval(30) <= 90


def test_a_clock_that_jumps_within_a_round_makes_no_endless_interval(engine: Engine) -> None:
    active_jobs(engine, 2)
    real = engine.system.provider.list_page

    def list_page(kind: str, **options: Any) -> ObservationPage:
        engine.system.clock.advance(86_400)
        return real(kind, **options)

    engine.system.provider.list_page = list_page  # type: ignore[method-assign]
    engine.system.wiring.use(PollProvider).run(engine.system.provider, interval=30)
    assert state_of(engine).effective_interval(30) <= 1800


def test_jobs_that_no_list_shows_are_asked_singly_each_once_a_round(engine: Engine) -> None:
    """Behind four pages of finished jobs: 900 single requests, over several ticks."""
    hidden = active_jobs(engine, 900, spacing=0.1)
    for number in range(400):
        engine.system.remote_job(f"done{number:09d}", JobStatus.COMPLETED, age=300)
    provider = slow(engine, seconds=0.5)
    engine.run(3)
    assert {len(provider.looked_at[job_id]) for job_id in hidden} <= {1, 2}
    assert all(provider.looked_at[job_id] for job_id in hidden)


def test_the_effective_interval_is_three_rounds_long(engine: Engine) -> None:
    active_jobs(engine, 2000)
    slow(engine, seconds=1.59)
    engine.run(1)
    state = state_of(engine)
    assert 20 <= state.round_seconds <= 60
    assert state.effective_interval(30) == pytest.approx(3 * state.round_seconds, abs=1)
    assert engine.system.provider.calls["list_page"] == 20
    engine.advance_to(60)
    assert start_ticks.handler({}, None) == {"ticks": 2}
    for message, delay in engine.ticks.messages:
        engine.advance_to(60 + delay)
        assert engine.tick(message) == "not due"
    engine.ticks.messages.clear()
    engine.run(2)
    assert engine.system.provider.calls["list_page"] == 40


def test_a_provider_whose_faults_never_end_is_asked_for_everybody_all_the_same(engine: Engine) -> None:
    """I25 with slow lists, hidden jobs and faults together: two intervals, and three for requests that fail again."""
    ids = active_jobs(engine, 300, spacing=3)
    for number in range(500):
        engine.system.remote_job(f"done{number:09d}", JobStatus.COMPLETED, age=1 + number / 1000)
    provider = slow(engine, seconds=0.4, faults=0.1)
    start = engine.system.clock.now()
    for _ in range(scaled(30)):
        engine.minute()
        assert state_of(engine).effective_interval(30) == 30
    for job_id in ids:
        moments = [start, *provider.looked_at[job_id], engine.system.clock.now()]
        longest = max((late - early).total_seconds() for early, late in itertools.pairwise(moments))
        assert longest <= (2 + 3) * 30


def test_jobs_that_always_fail_starve_nobody(engine: Engine) -> None:
    """I28: more poison than one group of requests, all of it older than the rest."""
    ids = active_jobs(engine, 40)
    system = engine.system
    poison, healthy = set(ids[:20]), ids[20:]
    end_all(engine)

    class Poisoned(FakeProvider):
        def list_page(
            self, kind: str, *, page: str | None = None, active_since: datetime | None = None
        ) -> ObservationPage:
            return ObservationPage((), None)

        def get(self, external_id: str, kind: str, *, with_log: bool = False) -> Look:
            if external_id in poison:
                raise DOWN
            return super().get(external_id, kind, with_log=with_log)

    provider = Poisoned(system.clock)
    provider.jobs = system.provider.jobs
    system.use_providers(provider)
    engine.run(4)
    assert {engine.job(job_id).status for job_id in healthy} == {JobStatus.COMPLETED}
    assert {engine.job(job_id).status for job_id in poison} == {JobStatus.RUNNING}


@pytest.mark.parametrize(
    "error",
    [
        DOWN,
        ProviderAnswerInvalidError("Replicate answered with a web page."),
        ProviderTokenRejectedError("Replicate refused the token."),
        ProviderNotConfiguredError("No token."),
        ProviderThrottledError("Replicate asks to wait.", retry_after=5),
    ],
)
def test_whatever_the_provider_does_the_next_ticks_set_it_right(engine: Engine, error: ProviderError) -> None:
    ids = active_jobs(engine, 150)
    end_all(engine)
    engine.system.provider.fail("list_page", *[error] * 3)
    engine.run(3)
    assert {engine.job(job_id).status for job_id in ids} == {JobStatus.COMPLETED}


def test_a_list_that_is_always_broken_leaves_single_requests(engine: Engine) -> None:
    ids = active_jobs(engine, 30)
    end_all(engine)
    engine.system.provider.fail("list_page", *[ProviderAnswerInvalidError("Half a page.")] * 50)
    engine.run(1)
    assert {engine.job(job_id).status for job_id in ids} == {JobStatus.COMPLETED}


def test_a_throttled_round_goes_on_behind_the_place_where_it_was_held(engine: Engine) -> None:
    """I25 and I29: a limit that always strikes after twenty requests must not starve the twenty-first."""
    ids = active_jobs(engine, 100)
    system = engine.system
    end_all(engine)

    class Limited(FakeProvider):
        left = 0

        def list_page(
            self, kind: str, *, page: str | None = None, active_since: datetime | None = None
        ) -> ObservationPage:
            return ObservationPage((), None)

        def get(self, external_id: str, kind: str, *, with_log: bool = False) -> Look:
            self.left -= 1
            if self.left < 0:
                raise ProviderThrottledError("Wait.", retry_after=1)
            return super().get(external_id, kind, with_log=with_log)

    provider = Limited(system.clock)
    provider.jobs = system.provider.jobs
    for _ in range(6):
        provider.left = 20
        system.wiring.use(PollProvider).run(provider, interval=30)
        system.clock.advance(30)
    assert {engine.job(job_id).status for job_id in ids} == {JobStatus.COMPLETED}


def test_no_call_begins_after_the_budget(engine: Engine) -> None:
    """I28: 16 s to begin calls in, 8 s for the last one, so that a tick ends within 25 s."""
    active_jobs(engine, 1000)
    slow(engine, seconds=7.9)
    begun = engine.system.clock.monotonic()
    engine.system.wiring.use(PollProvider).run(engine.system.provider, interval=30)
    assert engine.system.clock.monotonic() - begun <= TICK_BUDGET + 8


@pytest.mark.parametrize(
    "resume",
    [
        None,
        ListCursor(kind=TRAINING),
        ListCursor(kind=TRAINING, page="cursor=x", horizon=FakeClock().now(), singles=("a", "b")),
        SinglesCursor(singles=("a", "b"), rest_after="2026#a"),
    ],
)
def test_the_resume_point_survives_its_storage(resume: ListCursor | SinglesCursor | None) -> None:
    now = FakeClock().now()
    state = PollState(
        lease_until=now,
        round_began_at=now - timedelta(seconds=3),
        last_tick_at=now,
        round_seconds=1.5,
        resume=resume,
        failed=("c",),
        fault=PollFault("down", "Replicate did not answer.", now),
    )
    assert decode_poll_state(StateItem(json.loads(json.dumps(encode_poll_state(state))), 1)) == state


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"resume": 7, "lease_until": "soon", "failed": "x", "fault": []},
        {"resume": {"at": "elsewhere"}},
        {"resume": {"kind": "prediction"}},
        {"lease_until": "2026-01-01T00:00:00"},
        {"round_seconds": "inf"},
    ],
)
def test_a_state_that_cannot_be_read_begins_a_new_round(value: dict[str, object]) -> None:
    assert decode_poll_state(StateItem(value, 1)) == PollState()


def test_a_round_left_by_an_earlier_release_begins_anew(engine: Engine) -> None:
    active_jobs(engine, 2)
    now = to_iso(engine.system.clock.now())
    place: dict[str, object] = {"kind": "prediction", "page": "7", "horizon": now, "singles": [], "rest_after": None}
    older = {"round_began_at": now, "last_tick_at": now, "round_seconds": 1.5, "place": place}
    engine.system.stores.state.put(state_keys.poll("replicate"), older, now=engine.system.clock.now())
    engine.run(1)
    assert engine.system.provider.calls["list_page"] > 0


def test_a_job_waiting_here_is_never_asked_for(engine: Engine) -> None:
    system = engine.system
    active_jobs(engine, 1)
    system.stores.put_job("job000000000", replace(engine.job("job000000000"), external_id=None))
    engine.run(3)
    assert system.provider.calls.total() == 0


def test_a_vanished_job_becomes_lost_after_three_spaced_looks_and_may_return(engine: Engine) -> None:
    """I31: and then it is asked for once an hour."""
    active_jobs(engine, 1)
    seen = engine.system.provider.jobs["job000000000"]
    engine.system.provider.forget("job000000000")
    engine.run(1)
    assert not engine.job("job000000000").is_lost
    engine.run(4)
    job = engine.job("job000000000")
    assert job.is_lost
    assert job.status is JobStatus.RUNNING
    engine.system.provider.calls.clear()
    engine.outcomes.clear()
    engine.run(120)
    assert engine.system.provider.calls["get"] == 2
    assert len(engine.outcomes) <= 8, "ticks are sent only while there is somebody to ask for"
    engine.system.provider.put(replace(seen, status=JobStatus.COMPLETED, completed_at=engine.system.clock.now()))
    engine.run(61)
    job = engine.job("job000000000")
    assert (job.status, job.is_lost) == (JobStatus.COMPLETED, False)


def test_where_every_address_answers_404_no_job_is_lost(engine: Engine) -> None:
    """A wrong base URL: neither lists nor jobs are there."""
    ids = active_jobs(engine, 3)
    for external_id in ids:
        engine.system.provider.forget(external_id)
    engine.system.provider.fail("list_page", *[ProviderAnswerInvalidError("There is no such page.")] * 100)
    engine.run(10)
    assert not any(engine.job(external_id).is_lost for external_id in ids)
    assert engine.system.provider.calls["get"] > 0


def test_a_job_lost_by_a_word_that_nobody_knows_is_asked_for_once_an_hour(engine: Engine) -> None:
    active_jobs(engine, 1)
    system = engine.system
    system.provider.put(replace(system.provider.jobs["job000000000"], status=None, provider_status="rebooting"))
    engine.run(1)
    system.clock.advance(timedelta(days=7).total_seconds())
    engine.run(1)
    assert engine.job("job000000000").is_lost
    system.provider.calls.clear()
    system.stores.reset_usage()
    engine.run(120)
    assert system.provider.calls["get"] == 2
    assert system.stores.usage["jobs.commit"].calls == 2


def test_absence_from_every_list_ends_nothing(engine: Engine) -> None:
    ids = active_jobs(engine, 5)
    system = engine.system

    class Unlisted(FakeProvider):
        def list_page(
            self, kind: str, *, page: str | None = None, active_since: datetime | None = None
        ) -> ObservationPage:
            self.calls["list_page"] += 1
            return ObservationPage((), None)

    provider = Unlisted(system.clock)
    provider.jobs = system.provider.jobs
    system.use_providers(provider)
    engine.run(10)
    assert {engine.job(job_id).status for job_id in ids} == {JobStatus.RUNNING}


def test_with_webhooks_the_reconcile_looks_every_five_minutes(engine: Engine) -> None:
    active_jobs(engine, 2)
    engine.configure(webhook_url=WEBHOOK_URL)
    cover_all(engine)
    engine.run(21)
    assert engine.outcomes == [TickOutcome.RAN] * 5
    assert 4 <= engine.system.provider.calls["list_page"] <= 5


def test_a_job_that_does_not_report_to_us_is_looked_at_every_minute(engine: Engine) -> None:
    active_jobs(engine, 1)
    engine.configure(webhook_url=WEBHOOK_URL)
    engine.run(10)
    assert engine.system.provider.calls["get"] == 10


@pytest.mark.parametrize(("yaml", "minutes", "looks"), [({"reconcile_interval": 0}, 30, 0), ({}, 30, 30)])
def test_polling_switched_off_leaves_the_reconcile_unless_that_is_off_too(
    engine: Engine, yaml: dict[str, float], minutes: int, looks: int
) -> None:
    active_jobs(engine, 1)
    engine.enterprise(polling_enabled=False, **yaml)
    engine.run(minutes)
    assert engine.system.provider.calls["get"] == looks


def test_while_polling_is_on_the_reconcile_asks_nothing_of_its_own(engine: Engine) -> None:
    active_jobs(engine, 1)
    engine.run(10)
    assert engine.system.provider.calls["get"] == 20


def test_with_all_webhooks_lost_the_reconcile_finds_the_end_in_time() -> None:
    """I9: 30 % of the calls fail, every webhook is lost; terminal within two configured intervals of the provider."""
    late = []
    for seed in range(scaled(100)):
        with an_engine() as engine:
            engine.configure(webhook_url=WEBHOOK_URL)
            ids = active_jobs(engine, 3)
            cover_all(engine)
            slow(engine, faults=0.3, seed=seed)
            engine.run(random.Random(seed).randrange(1, 9))
            end_all(engine)
            engine.run(10)
            late += [seed for job_id in ids if engine.job(job_id).status is not JobStatus.COMPLETED]
    assert late == []
