"""One at a time, and nobody for ever."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta

import pytest

from shared.services.leases import Leases
from tests.fakes.clock import FakeClock
from tests.fakes.doubles import FakeTelemetry
from tests.fakes.stores import FakeStores

LIFE = timedelta(seconds=30)
SLOTS = ("slot#0", "slot#1", "slot#2")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def leases(clock: FakeClock) -> Leases:
    return Leases(FakeStores(clock).state, clock, FakeTelemetry())


def test_a_lease_is_held_once_and_free_after_its_block(leases: Leases) -> None:
    with leases.hold("one", life=LIFE) as first, leases.hold("one", life=LIFE) as second:
        assert (first, second) == (True, False)
    with leases.hold("one", life=LIFE) as third:
        assert third


def test_a_lease_whose_holder_died_is_free_after_its_life(leases: Leases, clock: FakeClock) -> None:
    assert leases.take("one", life=LIFE) is not None
    clock.advance(29)
    assert leases.take("one", life=LIFE) is None
    clock.advance(2)
    assert leases.take("one", life=LIFE) is not None


def test_who_was_overtaken_gives_nobody_elses_lease_back(leases: Leases, clock: FakeClock) -> None:
    with leases.hold("one", life=LIFE):
        clock.advance(31)
        assert leases.take("one", life=LIFE) is not None
    assert leases.take("one", life=LIFE) is None


def test_slots_are_given_to_as_many_as_there_are(leases: Leases) -> None:
    with ExitStack() as held:
        got = [held.enter_context(leases.hold(*SLOTS, life=LIFE)) for _ in range(len(SLOTS) + 1)]
        assert got == [True, True, True, False]
    with leases.hold(life=LIFE) as none:
        assert not none


def test_one_waits_for_a_lease_as_long_as_it_is_told(leases: Leases, clock: FakeClock) -> None:
    assert leases.take("one", life=LIFE) is not None
    began = clock.monotonic()
    with leases.hold("one", life=LIFE, wait_seconds=10) as early:
        assert not early
        assert clock.monotonic() - began == pytest.approx(10)
    with leases.hold("one", life=LIFE, wait_seconds=25) as late:
        assert late
