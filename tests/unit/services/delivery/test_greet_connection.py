"""Hello and ping: what was missed, once and in order, and no hole between history and live (I18, I20, I22)."""

from __future__ import annotations

import pytest

from functions.socket import receive_message
from shared.domain.connection import CONNECTION_LIFE
from shared.services.access.revoke_access import RevokeAccess
from shared.services.delivery.greet_connection import GreetConnection
from shared.services.delivery.push_events import PushEvents
from shared.wiring import use_wiring
from tests.delivery import Delivery
from tests.fakes import FakeClock


def greeted(world: Delivery, after: object) -> list[dict[str, object]]:
    world.connect("a")
    world.parts.use(GreetConnection).hello("a", after)
    return world.heard("a")


def test_hello_gets_connected_and_then_what_it_missed() -> None:
    world = Delivery()
    world.publish(3)

    connected, backlog = greeted(world, f"{world.epoch}-2")

    assert connected == {"type": "connected", "head": f"{world.epoch}-6"}
    assert backlog == {"type": "events", "events": world.frames(first=3)}


def test_hello_after_the_first_frame_of_a_change_gets_its_second() -> None:
    world = Delivery()
    world.publish(2)
    greeted(world, f"{world.epoch}-1")

    assert world.heard_ids("a") == world.ids(2, 4)


def test_hello_without_a_cursor_begins_now() -> None:
    world = Delivery()
    world.publish(3)

    assert greeted(world, None) == [{"type": "connected", "head": f"{world.epoch}-6"}]


@pytest.mark.parametrize("after", ["other-2", "x", -1, 4, [], {}, True, "e" * 1000, f"{'9' * 30}-1"])
def test_hello_with_a_bad_cursor_is_reset_to_the_present_and_then_hears_live(after: object) -> None:
    world = Delivery()
    world.publish(2)

    messages = greeted(world, after)
    world.publish(1)
    world.parts.use(PushEvents).run()

    assert messages[-1] == {"type": "reset", "head": f"{world.epoch}-4"}
    assert world.heard_ids("a") == world.ids(5, 6)


@pytest.mark.parametrize("step", range(1, 8))
def test_a_change_that_is_pushed_during_hello_is_heard(step: int) -> None:
    """At each of hello's seven steps at the store: before, while and after the connection goes live."""
    world = Delivery()
    world.publish(2)
    world.connect("a")
    begin_call = world.stores.faults.begin_call
    steps = 0

    def change_in_between() -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            world.publish(1)
            world.parts.use(PushEvents).run()
            steps = 100
        begin_call()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.stores.faults, "begin_call", change_in_between)
        world.parts.use(GreetConnection).hello("a", f"{world.epoch}-0")
    world.publish(1)
    world.parts.use(PushEvents).run()

    missed_step = [] if steps >= 100 else ["hello has fewer steps than this test believes"]
    assert sorted(set(world.heard_ids("a")), key=lambda id_: int(id_.split("-")[1])) == world.ids(1, 8), missed_step


def test_a_second_hello_fills_a_hole_and_stays_live() -> None:
    world = Delivery()
    world.greet("a")
    world.publish(3)
    world.parts.use(PushEvents).run()
    world.fake_sender.sent["a"].clear()

    world.parts.use(GreetConnection).hello("a", f"{world.epoch}-2")
    world.publish(1)
    world.parts.use(PushEvents).run()

    assert world.heard_ids("a") == world.ids(3, 8)


def test_a_backlog_of_any_length_arrives_in_messages_of_bounded_size() -> None:
    world = Delivery()
    world.publish(700)
    greeted(world, f"{world.epoch}-0")

    assert world.heard_ids("a") == world.ids(1, 1400)
    assert max(len(body) for body in world.fake_sender.sent["a"]) <= 30_000


def test_a_hello_of_an_unknown_connection_is_sent_away() -> None:
    world = Delivery()

    world.parts.use(GreetConnection).hello("stranger", None)

    assert world.heard("stranger") == []
    assert world.fake_sender.disconnected == ["stranger"]


def test_a_hello_of_a_revoked_key_replays_nothing() -> None:
    world = Delivery()
    world.publish(1)
    world.connect("a", "mallory", "k1")
    world.parts.use(RevokeAccess).run(key_id="k1")

    world.parts.use(GreetConnection).hello("a", f"{world.epoch}-0")

    assert world.heard("a") == []
    assert world.fake_sender.disconnected == ["a"]
    assert world.stores.connections.get("a") is None


def test_a_connection_that_ends_during_hello_is_removed() -> None:
    world = Delivery()
    world.connect("a")
    world.fake_sender.gone.add("a")

    world.parts.use(GreetConnection).hello("a", None)

    assert world.stores.connections.get("a") is None


def test_a_hello_whose_answer_timed_out_leaves_the_row_for_the_next_hello() -> None:
    world = Delivery()
    world.publish(1)
    world.connect("a")
    world.fake_sender.failing["a"] = 1
    world.parts.use(GreetConnection).hello("a", f"{world.epoch}-0")

    world.parts.use(GreetConnection).hello("a", f"{world.epoch}-0")

    assert world.heard_ids("a") == world.ids(1, 2)


def test_ping_tells_the_head_so_that_a_lost_push_is_noticed() -> None:
    world = Delivery()
    world.greet("a")
    world.publish(2)

    world.parts.use(GreetConnection).ping("a")

    assert world.heard("a") == [{"type": "heartbeat", "head": f"{world.epoch}-4"}]


def test_ping_of_a_dropped_connection_ends_it_so_that_it_connects_anew() -> None:
    world = Delivery()
    world.greet("a")
    world.stores.connections.remove("a")

    world.parts.use(GreetConnection).ping("a")

    assert world.fake_sender.disconnected == ["a"]


def test_a_ping_costs_two_requests_to_the_store() -> None:
    world = Delivery()
    world.greet("a")
    world.stores.reset_usage()

    world.parts.use(GreetConnection).ping("a")

    assert world.stores.total_usage.requests == 2


def test_of_many_messages_in_a_second_ten_are_answered() -> None:
    """T22; counted a socket, and whatever is said."""
    clock = FakeClock()
    world = Delivery(clock=clock)
    for name in ("loud", "quiet"):
        world.connect(name)
    for _ in range(4):
        world.parts.use(GreetConnection).hello("loud", None)
        world.parts.use(GreetConnection).pass_over("loud")
    for _ in range(30):
        world.parts.use(GreetConnection).ping("loud")
    world.parts.use(GreetConnection).ping("quiet")

    kinds = [message["type"] for message in world.heard("loud")]
    assert kinds == ["connected"] * 4 + ["heartbeat"] * 2
    assert len(world.heard("quiet")) == 1
    assert world.fake_sender.disconnected == []

    clock.advance(1)
    world.parts.use(GreetConnection).ping("loud")
    assert len(world.heard("loud")) == 7


def test_a_socket_that_goes_on_flooding_is_ended() -> None:
    world = Delivery(clock=FakeClock())
    world.greet("flood")
    said = {"requestContext": {"connectionId": "flood", "eventType": "MESSAGE"}, "body": "no message of ours"}
    use_wiring(world.parts)
    try:
        for _ in range(60):
            receive_message.handler(said, None)
    finally:
        use_wiring(None)

    assert set(world.fake_sender.disconnected) == {"flood"}
    assert world.stores.connections.get("flood") is None


def test_a_socket_past_its_life_is_sent_away_although_nobody_deleted_its_row() -> None:
    clock = FakeClock()
    world = Delivery(clock=clock)
    world.greet("old")
    clock.advance(CONNECTION_LIFE.total_seconds() + 1)

    world.parts.use(GreetConnection).ping("old")

    assert world.heard("old") == []
    assert world.fake_sender.disconnected == ["old"]


def test_a_ping_that_cannot_be_answered_in_time_does_no_harm() -> None:
    world = Delivery()
    world.greet("a")
    world.fake_sender.failing["a"] = 1

    world.parts.use(GreetConnection).ping("a")

    assert world.stores.connections.get("a") is not None
    assert world.heard("a") == []
