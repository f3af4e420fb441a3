"""After an illness of the provider: every job terminal within two configured intervals of its recovery (I9, I25)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from shared.adapters.guarded_provider import LONGEST_OPENING_SECONDS, GuardedProvider
from shared.domain.errors import (
    ProviderAnswerInvalidError,
    ProviderJobNotFoundError,
    ProviderThrottledError,
    ProviderTokenRejectedError,
    ProviderUnavailableError,
)
from shared.domain.job import JobStatus
from shared.domain.observation import Look, Observation, ObservationPage
from shared.services.polling import walk_round
from shared.services.polling.poll_state import PollState, read_poll_state
from tests.engine import WEBHOOK_URL, Engine, an_engine
from tests.fakes import Crash, FakeClock, FakeProvider
from tests.proof import IS_PROOF, scaled

DOWN = ProviderUnavailableError("Replicate has a fault of its own (HTTP 503).")
PAGE_SECONDS, SINGLE_SECONDS, TIME_OUT = 0.5, 0.2, 8.0
ILL_SECONDS = 600.0

Illness = Callable[["IllProvider", str], None]
"""What a call (`list` or `single`) suffers while the provider is ill: time, and an error or not."""


@dataclass
class IllProvider(FakeProvider):
    """Ill until `well_at`, at which everything has ended there. Single requests go eight at a time.

    `told` is how many seconds after that each end was first told to us.
    """

    clock: FakeClock
    illness: Illness
    well_at: datetime = field(init=False)
    times: list[tuple[datetime, str]] = field(default_factory=list)
    told: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.clock)
        self.well_at = self.clock.now()

    def list_page(self, kind: str, *, page: str | None = None, active_since: datetime | None = None) -> ObservationPage:
        self._suffer("list", PAGE_SECONDS)
        found = super().list_page(kind, page=page, active_since=active_since)
        self._tell(found.observations)
        return found

    def get(self, external_id: str, kind: str, *, with_log: bool = False) -> Look:
        self._suffer("single", SINGLE_SECONDS / walk_round.SINGLES_AT_ONCE)
        found = super().get(external_id, kind, with_log=with_log)
        self._tell([found.observation])
        return found

    def _tell(self, seen: Iterable[Observation]) -> None:
        for one in seen:
            if one.status is JobStatus.COMPLETED:
                self.told.setdefault(one.external_id, (self.clock.now() - self.well_at).total_seconds())

    def _suffer(self, call: str, seconds: float) -> None:
        now = self.clock.now()
        self.times.append((now, call))
        if now < self.well_at:
            return self.illness(self, call)
        self.clock.advance(seconds)
        if self.jobs and next(iter(self.jobs.values())).status is JobStatus.RUNNING:
            ended = {"status": JobStatus.COMPLETED, "provider_status": "succeeded", "completed_at": self.well_at}
            self.jobs = {key: replace(seen, **ended) for key, seen in self.jobs.items()}  # type: ignore[arg-type]
        return None

    def hang(self, call: str) -> None:
        """The call takes its whole time; of eight single requests at once about three do."""
        self.clock.advance(TIME_OUT if call == "list" else TIME_OUT / 3)
        raise ProviderUnavailableError("Replicate did not answer in time (8 s).")


def every_third_single_times_out(provider: IllProvider, call: str) -> None:
    if call == "list":
        raise DOWN
    provider.clock.advance(SINGLE_SECONDS / walk_round.SINGLES_AT_ONCE)
    if len(provider.times) % 3 == 0:
        provider.hang(call)


def everything_fails_at_once(provider: IllProvider, call: str) -> None:
    raise DOWN


def everything_hangs(provider: IllProvider, call: str) -> None:
    provider.hang(call)


def lists_hang(provider: IllProvider, call: str) -> None:
    if call == "list":
        provider.hang(call)
    provider.clock.advance(SINGLE_SECONDS / walk_round.SINGLES_AT_ONCE)


def web_pages(provider: IllProvider, call: str) -> None:
    raise ProviderAnswerInvalidError("Replicate answered with a web page.")


def nothing_is_known(provider: IllProvider, call: str) -> None:
    raise ProviderAnswerInvalidError("404") if call == "list" else ProviderJobNotFoundError("404")


def the_token_is_refused(provider: IllProvider, call: str) -> None:
    raise ProviderTokenRejectedError("Replicate refused the token.")


def throttled_without_a_time(provider: IllProvider, call: str) -> None:
    raise ProviderThrottledError("Replicate asks to wait.", retry_after=5)


def slow_answers(provider: IllProvider, call: str) -> None:
    provider.clock.advance(7 if call == "list" else 7 / walk_round.SINGLES_AT_ONCE)


def slow_answers_and_a_fault(provider: IllProvider, call: str) -> None:
    slow_answers(provider, call)
    if len(provider.times) % 10 == 0:
        raise DOWN


def killed_now_and_then(provider: IllProvider, call: str) -> None:
    provider.clock.advance(PAGE_SECONDS)
    if len(provider.times) % 7 == 0:
        raise Crash


ILLNESSES: list[Illness] = [
    every_third_single_times_out,
    everything_fails_at_once,
    everything_hangs,
    lists_hang,
    web_pages,
    nothing_is_known,
    the_token_is_refused,
    throttled_without_a_time,
    slow_answers_and_a_fault,
    killed_now_and_then,
]


def ill(engine: Engine, illness: Illness, jobs: int, *, interval: float = 30, phase: float = 0) -> IllProvider:
    """So many running jobs at a provider that falls ill now for ILL_SECONDS and `phase` more."""
    system = engine.system
    provider = IllProvider(system.clock, illness)
    for place in range(jobs):
        system.remote_job(f"job{place:09d}", JobStatus.RUNNING, age=600 + (jobs - place))
    provider.jobs = system.provider.jobs
    system.sync()
    provider.well_at = system.clock.now() + timedelta(seconds=ILL_SECONDS + phase)
    longest = min(LONGEST_OPENING_SECONDS, interval / 2)
    system.use_providers(
        GuardedProvider(provider, state=system.stores.state, clock=system.clock, longest_opening=longest)
    )
    return provider


def run(engine: Engine, minutes: int) -> None:
    """Minutes in which a tick may be killed; the next one is sent all the same."""
    end = engine.system.clock.monotonic() + 60 * minutes
    while engine.system.clock.monotonic() < end:
        try:
            engine.minute()
        except Crash:
            engine.ticks.messages.clear()
            engine.advance_to((engine.system.clock.monotonic() // 60 + 1) * 60)


def state_of(engine: Engine) -> PollState:
    return read_poll_state(engine.system.stores.state, "replicate", now=engine.system.clock.now())


def seconds_until_all_was_told(engine: Engine, provider: IllProvider) -> float:
    """From the recovery until the last job's end was told, and all are stored."""
    assert set(engine.statuses().values()) == {JobStatus.COMPLETED}
    assert provider.told.keys() == engine.statuses().keys()
    return max(provider.told.values())


def recovery(illness: Illness, jobs: int, *, phase: float, interval: float = 30) -> float:
    with an_engine(simpletuner_job_poll_interval=interval) as engine:
        provider = ill(engine, illness, jobs, interval=interval, phase=phase)
        run(engine, 13)
        return seconds_until_all_was_told(engine, provider)


@pytest.mark.parametrize("illness", ILLNESSES, ids=lambda illness: illness.__name__)
@pytest.mark.parametrize("jobs", [2, 300, 1000] if IS_PROOF else [40])
def test_after_ten_bad_minutes_every_end_is_told_within_two_configured_intervals(illness: Illness, jobs: int) -> None:
    phases = range(1, 60, 59 // scaled(10))
    late = {phase: recovery(illness, jobs, phase=phase) for phase in phases}
    assert max(late.values()) <= 60, late


@pytest.mark.parametrize("interval", [5, 12, 45, 300])
def test_the_bound_is_that_of_the_interval_that_is_configured(interval: float) -> None:
    assert recovery(every_third_single_times_out, scaled(1000), phase=0.5, interval=interval) <= 2 * interval


def test_three_hundred_jobs_of_which_every_third_request_timed_out_wait_for_nothing() -> None:
    with an_engine() as engine:
        provider = ill(engine, every_third_single_times_out, 300, phase=7)
        run(engine, 10)
        assert state_of(engine).effective_interval(30) == 30
        assert len(provider.times) <= 600, "a call a second, of which most failed"
        run(engine, 1)
        assert seconds_until_all_was_told(engine, provider) <= 60


def test_a_retry_after_is_kept_and_the_first_round_after_it_sees_all() -> None:
    """I29: not one request before its time, however long that is."""

    def throttled(provider: IllProvider, call: str) -> None:
        left = (provider.well_at - provider.clock.now()).total_seconds()
        raise ProviderThrottledError("Replicate asks to wait.", retry_after=left)

    with an_engine() as engine:
        provider = ill(engine, throttled, 120, phase=7)
        run(engine, 13)
        assert sum(at < provider.well_at for at, _ in provider.times) == 1
        assert seconds_until_all_was_told(engine, provider) <= 60 + ILL_SECONDS / 10


def test_webhooks_that_are_lost_in_an_illness_are_made_up_for_by_the_slow_round() -> None:
    with an_engine() as engine:
        provider = ill(engine, every_third_single_times_out, 40, phase=11)
        engine.configure(webhook_url=WEBHOOK_URL)
        for job_id, job in list(engine.system.stores.job_rows.items()):
            engine.system.stores.put_job(job_id, replace(job, webhook_covered=True))
        run(engine, 21)
        assert seconds_until_all_was_told(engine, provider) <= 600


def test_a_round_that_was_killed_is_begun_again_as_soon_as_its_lease_is_over() -> None:
    with an_engine() as engine:
        provider = ill(engine, killed_now_and_then, 40)
        engine.configure(webhook_url=WEBHOOK_URL)
        for job_id, job in list(engine.system.stores.job_rows.items()):
            engine.system.stores.put_job(job_id, replace(job, webhook_covered=True))
        provider.times = [(engine.system.clock.now(), "earlier")] * 6
        run(engine, 2)
        assert len(provider.times) > 7, "and not only at the next slow round"


def test_single_requests_go_on_behind_those_that_failed_while_the_lists_fail() -> None:
    """I25 and I28: eight jobs whose requests always fail are the oldest, and no list can be read."""

    def poisoned(provider: IllProvider, call: str) -> None:
        raise DOWN

    with an_engine() as engine:
        provider = ill(engine, poisoned, 40)
        poison = sorted(provider.jobs)[:8]
        seen: set[str] = set()
        real = FakeProvider.get

        def get(external_id: str, kind: str, *, with_log: bool = False) -> Look:
            if external_id in poison:
                raise DOWN
            seen.add(external_id)
            return real(provider, external_id, kind, with_log=with_log)

        provider.get = get  # type: ignore[method-assign]
        engine.system.use_providers(provider)
        run(engine, 2)
        assert seen == provider.jobs.keys() - set(poison)


def test_lists_that_fail_alone_keep_no_open_breaker_from_finding_out_that_the_rest_is_well() -> None:
    def lists_fail(provider: IllProvider, call: str) -> None:
        if call == "list" or provider.clock.monotonic() < 300:
            raise DOWN

    with an_engine() as engine:
        provider = ill(engine, lists_fail, 40)
        run(engine, 6)
        assert {call for _, call in provider.times[-8:]} == {"single"}
        assert len({at for at, _ in provider.times}) > 15
