"""The guard around a provider: who may call when, what is shared, and that nothing is written while all is well."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.adapters.guarded_provider import (
    BURST,
    CACHE_SECONDS,
    FAILURES_UNTIL_OPEN,
    FIRST_OPENING_SECONDS,
    PROBE_SECONDS,
    GuardedProvider,
)
from shared.adapters.providers.replicate.profile import PREDICTION
from shared.adapters.providers.replicate.profile import PROFILE as REPLICATE
from shared.domain import state_keys
from shared.domain.errors import (
    ProviderAnswerInvalidError,
    ProviderError,
    ProviderJobNotFoundError,
    ProviderNotConfiguredError,
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderTokenRejectedError,
    ProviderUnavailableError,
    StoreUnavailableError,
)
from shared.domain.job import JobStatus, to_iso
from shared.domain.observation import Look, Observation
from shared.domain.stored import StateItem
from shared.ports import Provider
from tests.builders import an_observation
from tests.fakes.clock import FakeClock
from tests.fakes.doubles import FakeProvider
from tests.fakes.stores import FakeStateStore, FakeStores

DOWN = ProviderUnavailableError("Replicate could not be reached.")
KEY = state_keys.provider_hold("replicate")


class SkewedClock(FakeClock):
    """Its time of day can be wrong, as a machine's can; its monotonic time cannot."""

    skew = timedelta()

    def now(self) -> datetime:
        return super().now() + self.skew


class World:
    """One provider, one store and one clock; `process()` is another function in front of them."""

    def __init__(self) -> None:
        self.clock = SkewedClock()
        self.stores = FakeStores(self.clock)
        self.provider = FakeProvider(self.clock)
        self.provider.put(an_observation("job", observed_at=self.clock.now()))
        self.one = self.process()

    def process(self, chance: Callable[[], float] = lambda: 0.0, rate: float | None = None) -> GuardedProvider:
        if rate is not None:
            self.provider.profile = replace(REPLICATE, requests_per_second=rate)
        return GuardedProvider(self.provider, state=self.stores.state, clock=self.clock, chance=chance)

    @property
    def calls(self) -> int:
        return self.provider.calls.total()

    @property
    def writes(self) -> int:
        return self.requests("state.put") + self.requests("state.delete")

    @property
    def reads(self) -> int:
        return self.requests("state.get")

    def requests(self, operation: str) -> int:
        usage = self.stores.usage.get(operation)
        return usage.requests if usage else 0

    def fail(self, times: int, error: ProviderError = DOWN, guard: GuardedProvider | None = None) -> None:
        self.provider.fail("get", *[error] * times)
        for _ in range(times):
            with pytest.raises(type(error)):
                look(guard or self.one)


def look(guard: Provider) -> Observation:
    return guard.get("job", PREDICTION).observation


@pytest.fixture
def world() -> World:
    return World()


def assert_held(world: World, guard: GuardedProvider, error: type[ProviderError]) -> ProviderError:
    before = world.calls
    with pytest.raises(error) as raised:
        look(guard)
    assert world.calls == before
    return raised.value


def test_every_call_reaches_the_provider(world: World) -> None:
    guard = world.one
    assert (guard.profile.name, guard.profile.label) == ("replicate", "Replicate")
    assert guard.account() == world.provider.user
    assert guard.list_page(PREDICTION).observations[0].external_id == "job"
    assert look(guard).status is JobStatus.RUNNING
    assert guard.full_log("job", PREDICTION) is None
    assert guard.last_look("job", PREDICTION).observation.status is JobStatus.RUNNING
    guard.cancel("job", PREDICTION)
    assert guard.webhook_secret() == world.provider.secret
    assert world.provider.cancelled == ["job"]


def test_nothing_is_written_while_all_is_well(world: World) -> None:
    for _ in range(1000):
        look(world.one)
    assert world.writes == 0


def test_the_shared_state_is_read_once_in_two_seconds(world: World) -> None:
    for _ in range(100):
        look(world.one)
        world.clock.advance(0.1)
    assert world.reads <= 10 / CACHE_SECONDS + 1


def test_after_a_429_nobody_calls_before_retry_after(world: World) -> None:
    other = world.process()
    world.fail(1, ProviderThrottledError("Too many.", retry_after=30))
    held = assert_held(world, world.one, ProviderThrottledError)
    assert isinstance(held, ProviderThrottledError)
    assert held.retry_after == 30
    world.clock.advance(29.9)
    assert_held(world, world.one, ProviderThrottledError)
    assert_held(world, other, ProviderThrottledError)
    with pytest.raises(ProviderThrottledError):
        other.account()
    with pytest.raises(ProviderThrottledError):
        other.cancel("job", PREDICTION)
    world.clock.advance(0.2)
    assert look(world.one).status is JobStatus.RUNNING
    assert look(other).status is JobStatus.RUNNING


def test_functions_come_back_spread_over_a_tenth_of_the_wait(world: World) -> None:
    late = world.process(chance=lambda: 1.0)
    world.fail(1, ProviderThrottledError("Too many.", retry_after=30), late)
    world.clock.advance(32.9)
    assert_held(world, late, ProviderThrottledError)
    world.clock.advance(0.2)
    look(late)


def test_another_function_learns_of_a_429_within_the_cache_time(world: World) -> None:
    other = world.process()
    look(other)
    world.fail(1, ProviderThrottledError("Too many.", retry_after=30))
    world.clock.advance(CACHE_SECONDS)
    assert_held(world, other, ProviderThrottledError)


def test_a_shorter_wait_never_replaces_a_longer_one(world: World) -> None:
    other = world.process()
    look(other)
    world.fail(1, ProviderThrottledError("Too many.", retry_after=60))
    world.fail(1, ProviderThrottledError("Too many.", retry_after=5), other)
    world.clock.advance(10)
    assert_held(world, world.one, ProviderThrottledError)
    assert_held(world, other, ProviderThrottledError)


def test_a_hold_from_a_clock_that_was_ahead_holds_nobody_back(world: World) -> None:
    now = world.clock.now()
    world.stores.state.put(KEY, {"not_before": to_iso(now + timedelta(hours=5))}, now=now)
    look(world.one)
    world.fail(1, ProviderThrottledError("Too many.", retry_after=30))
    assert_held(world, world.one, ProviderThrottledError)
    assert_held(world, world.process(), ProviderThrottledError)


def test_a_clock_that_is_set_back_lets_go_of_what_it_held_back(world: World) -> None:
    world.clock.skew = timedelta(hours=5)
    world.fail(1, ProviderThrottledError("Too many.", retry_after=30))
    world.clock.skew = timedelta()
    look(world.one)
    world.fail(1, ProviderThrottledError("Too many.", retry_after=30))
    assert_held(world, world.one, ProviderThrottledError)


def test_two_429_at_the_same_moment_leave_the_longer_wait(world: World) -> None:
    """Another function's shorter hold comes between this one's read and its write."""

    class Raced(FakeStateStore):
        def put(self, key: str, value: Mapping[str, object], **options: Any) -> int:
            if not raced.is_set():
                raced.set()
                world.fail(1, ProviderThrottledError("Too many.", retry_after=5), world.process())
            return super().put(key, value, **options)

    raced = threading.Event()
    guard = GuardedProvider(world.provider, state=Raced(world.stores), clock=world.clock, chance=lambda: 0.0)
    world.fail(1, ProviderThrottledError("Too many.", retry_after=60), guard)
    world.clock.advance(10)
    assert_held(world, world.process(), ProviderThrottledError)


def test_many_429_at_once_are_written_once(world: World) -> None:
    world.provider.fail("get", *[ProviderThrottledError("Too many.", retry_after=30)] * 8)
    gate = threading.Barrier(8)
    inner_get = world.provider.get

    def together(external_id: str, kind: str, *, with_log: bool = False) -> Look:
        gate.wait(5)
        return inner_get(external_id, kind, with_log=with_log)

    world.provider.get = together  # type: ignore[method-assign]
    refused: list[ProviderThrottledError] = []

    def look_and_tell() -> None:
        try:
            look(world.one)
        except ProviderThrottledError as error:
            refused.append(error)

    threads = [threading.Thread(target=look_and_tell) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == world.calls == 8
    assert world.writes == 1


def test_failures_in_a_row_open_the_breaker_of_this_process_alone(world: World) -> None:
    other = world.process()
    world.fail(FAILURES_UNTIL_OPEN)
    assert_held(world, world.one, ProviderUnavailableError)
    look(other)
    assert world.writes == 0


def test_one_answer_between_failures_keeps_it_closed(world: World) -> None:
    for _ in range(5):
        world.fail(FAILURES_UNTIL_OPEN - 1)
        look(world.one)
    assert world.writes == 0


@pytest.mark.parametrize(
    "error",
    [
        ProviderTokenRejectedError("401"),
        ProviderRefusedError("422"),
        ProviderJobNotFoundError("404"),
        ProviderAnswerInvalidError("too large"),
        ProviderNotConfiguredError("no token"),
    ],
)
def test_an_answer_never_opens_the_breaker(world: World, error: ProviderError) -> None:
    world.fail(50, error)
    assert world.writes == 0
    look(world.one)


def test_after_the_opening_one_call_alone_tries(world: World) -> None:
    world.fail(FAILURES_UNTIL_OPEN)
    world.clock.advance(FIRST_OPENING_SECONDS + 0.1)

    def during_the_probe(external_id: str, kind: str, *, with_log: bool = False) -> Look:
        world.provider.get = inner_get  # type: ignore[method-assign]
        assert_held(world, world.one, ProviderUnavailableError)
        return inner_get(external_id, kind, with_log=with_log)

    inner_get = world.provider.get
    world.provider.get = during_the_probe  # type: ignore[method-assign]
    look(world.one)
    look(world.one)


def test_calls_that_wait_for_their_turn_while_the_breaker_opens_are_not_made(world: World) -> None:
    guard = world.process(rate=1)
    for _ in range(BURST):
        look(guard)
    sleep = world.clock.sleep

    def opened_meanwhile(seconds: float) -> None:
        world.clock.sleep = sleep  # type: ignore[method-assign]
        sleep(seconds)
        world.fail(FAILURES_UNTIL_OPEN, guard=guard)

    world.clock.sleep = opened_meanwhile  # type: ignore[method-assign]
    calls = world.calls
    with pytest.raises(ProviderUnavailableError, match="has not been answering"):
        look(guard)
    assert world.calls == calls + FAILURES_UNTIL_OPEN


def test_openings_grow_and_keep_the_poller_from_one_round_at_the_most(world: World) -> None:
    world.fail(FAILURES_UNTIL_OPEN)
    lengths = []
    for _ in range(8):
        begun = world.clock.now()
        while True:
            world.clock.advance(1)
            before = world.calls
            world.provider.fail("get", DOWN)
            with pytest.raises(ProviderUnavailableError):
                look(world.one)
            if world.calls > before:
                break
            world.provider._failures["get"].clear()
        lengths.append((world.clock.now() - begun).total_seconds())
    assert lengths == [4, 8, 15, 15, 15, 15, 15, 15]


def test_an_opening_is_shortened_by_chance_to_half_at_most(world: World) -> None:
    guard = world.process(chance=lambda: 1.0)
    world.fail(FAILURES_UNTIL_OPEN, guard=guard)
    world.clock.advance(FIRST_OPENING_SECONDS / 2 - 0.1)
    assert_held(world, guard, ProviderUnavailableError)
    world.clock.advance(0.2)
    look(guard)


def test_when_a_probe_never_reports_another_call_tries(world: World) -> None:
    world.fail(FAILURES_UNTIL_OPEN)
    world.clock.advance(FIRST_OPENING_SECONDS + 0.1)

    class Frozen(BaseException):
        """The process stops in the middle of its call."""

    inner_get = world.provider.get

    def frozen(external_id: str, kind: str, *, with_log: bool = False) -> Look:
        raise Frozen

    world.provider.get = frozen  # type: ignore[method-assign]
    with pytest.raises(Frozen):
        look(world.one)
    world.provider.get = inner_get  # type: ignore[method-assign]
    assert_held(world, world.one, ProviderUnavailableError)
    world.clock.advance(PROBE_SECONDS)
    look(world.one)


def test_a_rejected_token_while_trying_proves_that_the_provider_is_back(world: World) -> None:
    world.fail(FAILURES_UNTIL_OPEN)
    world.clock.advance(FIRST_OPENING_SECONDS + 0.1)
    world.fail(1, ProviderTokenRejectedError("401"))
    look(world.one)


def test_a_429_while_trying_closes_the_breaker_and_holds_back(world: World) -> None:
    world.fail(FAILURES_UNTIL_OPEN)
    world.clock.advance(FIRST_OPENING_SECONDS + 0.1)
    world.fail(1, ProviderThrottledError("Too many.", retry_after=7))
    assert_held(world, world.one, ProviderThrottledError)
    world.clock.advance(7.1)
    look(world.one)


def test_validating_a_token_passes_an_open_breaker_and_closes_it(world: World) -> None:
    world.fail(FAILURES_UNTIL_OPEN)
    assert_held(world, world.one, ProviderUnavailableError)
    assert world.one.account() == world.provider.user
    look(world.one)


def test_a_cancel_passes_an_open_breaker(world: World) -> None:
    world.fail(FAILURES_UNTIL_OPEN)
    world.one.cancel("job", PREDICTION)
    assert world.provider.cancelled == ["job"]


def test_a_person_who_asks_again_and_again_never_lengthens_the_opening(world: World) -> None:
    world.fail(FAILURES_UNTIL_OPEN)
    world.provider.fail("account", *[DOWN] * 20)
    for _ in range(20):
        with pytest.raises(ProviderUnavailableError):
            world.one.account()
    world.clock.advance(FIRST_OPENING_SECONDS + 0.1)
    look(world.one)


def test_a_late_failure_of_a_call_begun_before_changes_nothing(world: World) -> None:
    inner_get = world.provider.get

    def fails_late(external_id: str, kind: str, *, with_log: bool = False) -> Look:
        world.provider.get = inner_get  # type: ignore[method-assign]
        world.fail(FAILURES_UNTIL_OPEN)
        world.clock.advance(FIRST_OPENING_SECONDS - 0.1)
        raise DOWN

    world.provider.get = fails_late  # type: ignore[method-assign]
    with pytest.raises(ProviderUnavailableError):
        look(world.one)
    world.clock.advance(0.2)
    look(world.one)


class DownState(FakeStateStore):
    """A state store of which reads, writes or both fail."""

    def __init__(self, stores: FakeStores, *, can_read: bool) -> None:
        super().__init__(stores)
        self._can_read = can_read

    def get(self, key: str, *, now: datetime) -> StateItem | None:
        if not self._can_read:
            raise StoreUnavailableError("The store is down.")
        return super().get(key, now=now)

    def put(self, *_: object, **__: object) -> int:
        raise StoreUnavailableError("The store is down.")

    def delete(self, *_: object, **__: object) -> StateItem | None:
        raise StoreUnavailableError("The store is down.")


@pytest.fixture(params=[True, False], ids=["readable", "down"])
def lonely(world: World, request: pytest.FixtureRequest) -> GuardedProvider:
    """A guard whose state store takes no writes."""
    state = DownState(world.stores, can_read=request.param)
    return GuardedProvider(world.provider, state=state, clock=world.clock, chance=lambda: 0.0)


def test_a_store_that_is_down_stops_no_call(lonely: GuardedProvider) -> None:
    assert look(lonely).status is JobStatus.RUNNING


def test_with_the_store_down_a_429_still_counts_in_this_process(world: World, lonely: GuardedProvider) -> None:
    world.fail(1, ProviderThrottledError("Too many.", retry_after=30), lonely)
    world.clock.advance(20)
    assert_held(world, lonely, ProviderThrottledError)
    world.clock.advance(10.1)
    look(lonely)


def test_with_the_store_down_the_breaker_still_works_in_this_process(world: World, lonely: GuardedProvider) -> None:
    world.fail(FAILURES_UNTIL_OPEN, guard=lonely)
    assert_held(world, lonely, ProviderUnavailableError)
    world.clock.advance(FIRST_OPENING_SECONDS + 0.1)
    world.fail(1, guard=lonely)
    assert_held(world, lonely, ProviderUnavailableError)
    world.clock.advance(2 * FIRST_OPENING_SECONDS + 0.1)
    look(lonely)
    look(lonely)


@pytest.mark.parametrize(
    "value", [{}, {"not_before": "soon"}, {"not_before": 17}, {"not_before": None}, {"not_before": "2026-03-01T12:00"}]
)
def test_a_damaged_shared_state_holds_nobody_back(world: World, value: dict[str, object]) -> None:
    world.stores.state.put(KEY, value, now=world.clock.now())
    assert look(world.one).status is JobStatus.RUNNING


def test_the_shared_state_lapses_by_itself(world: World) -> None:
    world.fail(1, ProviderThrottledError("Too many.", retry_after=30))
    assert world.stores.state.get(KEY, now=world.clock.now()) is not None
    world.clock.advance(31)
    assert world.stores.state.get(KEY, now=world.clock.now()) is None


def test_no_more_calls_begin_in_any_second_than_the_provider_bears(world: World) -> None:
    moments: list[float] = []
    for _ in range(400):
        look(world.one)
        moments.append(world.clock.monotonic())
    busiest = max(sum(1 for moment in moments if start <= moment < start + 1) for start in moments)
    rate = REPLICATE.requests_per_second
    assert rate <= busiest <= rate + BURST <= 50


def test_a_call_that_would_wait_too_long_for_its_turn_is_throttled_at_once() -> None:
    world = World()
    guard = world.process(rate=0.1)
    for _ in range(BURST):
        look(guard)
    error = assert_held(world, guard, ProviderThrottledError)
    assert isinstance(error, ProviderThrottledError)
    assert error.retry_after == pytest.approx(10)
    assert world.clock.slept == []
