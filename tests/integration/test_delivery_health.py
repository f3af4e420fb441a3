"""Health knows whether pushes stand still."""

from __future__ import annotations

import pytest

from shared.domain import state_keys
from shared.services.delivery.push_events import PushEvents
from shared.services.health.check_health import UNPUSHED_AFTER, CheckHealth, Component
from tests.delivery import Delivery
from tests.fakes import FakeClock

LATE = UNPUSHED_AFTER.total_seconds() + 1


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def world(clock: FakeClock) -> Delivery:
    return Delivery(clock=clock)


def delivery(world: Delivery) -> Component:
    (found,) = [one for one in world.parts.use(CheckHealth).check() if one.name == "delivery"]
    return found


def test_nothing_was_ever_changed(world: Delivery, clock: FakeClock) -> None:
    clock.advance(1_000_000)
    assert delivery(world).status == "healthy"


def test_a_change_that_waits_is_told_after_a_while_until_it_is_pushed(world: Delivery, clock: FakeClock) -> None:
    world.publish(3)
    assert delivery(world).status == "healthy"
    clock.advance(LATE)
    component = delivery(world)
    assert component.status == "degraded"
    assert component.message.startswith("Changes that wait to be pushed: 3, the oldest for 16 s; ")
    world.parts.use(PushEvents).run()
    assert delivery(world).status == "healthy"


def test_only_what_came_after_the_cursor_counts_by_when_it_was_written(world: Delivery, clock: FakeClock) -> None:
    world.publish()
    world.parts.use(PushEvents).run()
    clock.advance(1_000_000)
    assert delivery(world).status == "healthy"
    world.publish()
    assert delivery(world).message == "Changes that wait to be pushed: 1, the oldest for 0 s."
    clock.advance(LATE)
    assert delivery(world).status == "degraded"


@pytest.mark.parametrize("cursor", [{"epoch": "another", "seq": 99}, {"seq": "odd"}, {}])
def test_a_cursor_of_another_log_and_one_that_cannot_be_read_are_none(
    world: Delivery, clock: FakeClock, cursor: dict[str, object]
) -> None:
    world.publish(2)
    world.stores.state.put(state_keys.PUSHER_CURSOR, cursor, now=clock.now())
    clock.advance(LATE)
    assert delivery(world).message.startswith("Changes that wait to be pushed: 2,")


def test_a_healthy_answer_costs_two_reads(world: Delivery) -> None:
    world.publish()
    world.parts.use(PushEvents).run()
    health = world.parts.use(CheckHealth)
    world.stores.reset_usage()
    health._delivery()
    assert world.stores.total_usage.requests == 2
