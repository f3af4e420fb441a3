"""The pusher: all that is new, once, in order, to everyone who may hear it and takes it (I21, I23, I24)."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.adapters.clock import SystemClock
from shared.domain import state_keys
from shared.domain.connection import CONNECTION_LIFE, Connection
from shared.domain.errors import ConnectionGone, SendFailed, SendThrottled, StoreUnavailableError
from shared.services.access.revoke_access import RevokeAccess
from shared.services.delivery.deliver_events import SENDS_AT_ONCE, DeliverEvents
from shared.services.delivery.push_events import GATHER_SECONDS, PushEvents
from tests.delivery import Delivery
from tests.fakes import Crash, FakeClock


def test_a_wake_sends_one_message_with_all_that_is_new() -> None:
    world = Delivery()
    world.greet("a")
    world.publish(3)

    assert world.parts.use(PushEvents).run()

    assert world.heard("a") == [{"type": "events", "events": world.frames()}]


def test_a_second_wake_without_news_sends_nothing_and_writes_nothing() -> None:
    world = Delivery()
    world.greet("a")
    world.publish(2)
    world.parts.use(PushEvents).run()
    world.stores.reset_usage()

    assert world.parts.use(PushEvents).run()

    assert len(world.heard("a")) == 1
    assert world.stores.total_usage.items_written == 0


def test_wakes_at_once_lose_nothing_and_send_each_client_the_log_in_order() -> None:
    """Each pusher sends in order; what two of them sent is dropped by its id."""
    world = Delivery(clock=SystemClock())
    connections = [f"c{number}" for number in range(20)]
    for connection in connections:
        world.greet(connection)
    for _ in range(10):
        world.publish(3)
        wakes = [threading.Thread(target=world.parts.use(PushEvents).run) for _ in range(3)]
        for wake in wakes:
            wake.start()
        for wake in wakes:
            wake.join()

    for connection in connections:
        assert kept(world.heard_ids(connection)) == world.ids(1, 60)


def kept(ids: list[str]) -> list[str]:
    """What a client hands to its page: no id that is not beyond the last, and nothing after a gap."""
    handed: list[str] = []
    for id_ in ids:
        if int(id_.rsplit("-", 1)[1]) == len(handed) + 1:
            handed.append(id_)
    return handed


def test_a_pusher_that_died_holds_up_nobody_and_what_it_sent_is_sent_again() -> None:
    """The process ends before, and after, the write of its cursor; the next wake comes at once."""
    for crash in ("crash_before_write", "crash_after_write"):
        clock = FakeClock()
        world = Delivery(clock=clock)
        world.greet("a")
        world.publish(1)
        getattr(world.stores.faults, crash)(1)
        with pytest.raises(Crash):
            world.parts.use(PushEvents).run()
        world.publish(1)
        before = clock.monotonic()

        world.parts.use(PushEvents).run()

        assert clock.monotonic() - before <= GATHER_SECONDS
        assert kept(world.heard_ids("a")) == world.ids(1, 4)


@pytest.mark.parametrize("stored", [{"epoch": "x", "seq": None}, {"seq": "far"}, {"pushed_at": "soon"}])
def test_a_cursor_that_cannot_be_read_stops_no_push(stored: dict[str, object]) -> None:
    """Another version of the pusher may have left it."""
    world = Delivery()
    world.stores.state.put(state_keys.PUSHER_CURSOR, stored, now=world.clock.now())
    world.greet("a")
    world.publish(2)

    assert world.parts.use(PushEvents).run()

    assert world.heard("a") == [{"type": "events", "events": world.frames()}]


def test_a_pusher_that_was_overtaken_leaves_the_cursor_where_the_other_one_put_it() -> None:
    """The second reads the same cursor, goes further and is done before the first one writes (I23)."""
    world = Delivery()
    world.greet("a")
    world.publish(2)
    update = world.stores.state.put
    overtaken: list[bool] = []

    def overtake(key: str, value: Mapping[str, object], **guards: Any) -> int:
        if not overtaken:
            overtaken.append(True)
            world.publish(3)
            world.parts.use(PushEvents).run()
        return update(key, value, **guards)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.stores.state, "put", overtake)
        world.parts.use(PushEvents).run()
    world.publish(1)
    world.parts.use(PushEvents).run()

    cursor = world.stores.state.get(state_keys.PUSHER_CURSOR, now=world.clock.now())
    assert cursor is not None
    assert cursor.value["seq"] == 6
    assert kept(world.heard_ids("a")) == world.ids(1, 12)


def test_a_failure_that_one_pusher_noted_is_seen_by_the_one_that_moves_on() -> None:
    """Two tell the same at once; the send of one of them fails, so the row is behind and its client hears it again."""
    world = Delivery()
    world.greet("a")
    world.publish(2)
    send = world.fake_sender.send

    def fail_and_let_another_push(connection_id: str, body: bytes) -> None:
        world.fake_sender.send = send  # type: ignore[method-assign]
        world.parts.use(PushEvents).run()
        world.fake_sender.sent["a"].clear()
        raise SendFailed("The connection did not take the message in time.")

    world.fake_sender.send = fail_and_let_another_push  # type: ignore[method-assign]
    world.parts.use(PushEvents).run()
    world.publish(1)
    world.parts.use(PushEvents).run()

    assert kept(world.heard_ids("a")) == world.ids(1, 6)


def test_a_client_that_hellos_later_hears_only_what_comes_after_its_hello() -> None:
    world = Delivery()
    world.greet("early")
    world.publish(2)
    world.greet("late")
    world.publish(1)

    world.parts.use(PushEvents).run()

    assert world.heard_ids("early") == world.ids(1, 6)
    assert world.heard_ids("late") == world.ids(5, 6)


def test_a_connection_without_hello_hears_nothing() -> None:
    world = Delivery()
    world.connect("silent")
    world.publish(1)

    world.parts.use(PushEvents).run()

    assert world.heard("silent") == []


def test_a_gone_connection_is_removed_and_the_others_hear() -> None:
    world = Delivery()
    world.greet("gone")
    world.greet("there")
    world.fake_sender.gone.add("gone")
    world.publish(1)

    assert world.parts.use(PushEvents).run()

    assert world.stores.connections.get("gone") is None
    assert world.heard_ids("there") == world.ids(1, 2)


def test_a_send_that_timed_out_is_made_good_with_the_next_news() -> None:
    world = Delivery()
    world.greet("slow")
    world.fake_sender.failing["slow"] = 1
    world.publish(1)
    world.parts.use(PushEvents).run()
    world.publish(1)

    world.parts.use(PushEvents).run()

    assert world.heard_ids("slow") == world.ids(1, 4)
    row = world.stores.connections.get("slow")
    assert row is not None
    assert row.failures == 0


def test_the_third_time_out_in_a_row_drops_a_connection() -> None:
    world = Delivery()
    world.greet("dead")
    world.fake_sender.failing["dead"] = 99
    for wake in range(1, 4):
        assert world.stores.connections.get("dead") is not None, f"dropped before wake {wake}"
        world.publish(1)
        world.parts.use(PushEvents).run()

    assert world.stores.connections.get("dead") is None
    assert world.fake_sender.disconnected == ["dead"]


def test_two_time_outs_and_a_success_start_the_count_anew() -> None:
    world = Delivery()
    world.greet("shaky")
    for failures in (2, 0, 2, 0):
        world.fake_sender.failing["shaky"] = failures
        for _ in range(failures or 1):
            world.publish(1)
            world.parts.use(PushEvents).run()

    assert world.stores.connections.get("shaky") is not None
    assert world.heard_ids("shaky") == world.ids(1, 12)


def test_throttling_by_the_gateway_never_drops_a_connection() -> None:
    world = Delivery()
    world.greet("a")
    world.fake_sender.throttled.add("a")
    for _ in range(5):
        world.publish(1)
        world.parts.use(PushEvents).run()
    world.fake_sender.throttled.clear()
    world.publish(1)
    world.parts.use(PushEvents).run()

    assert world.heard_ids("a") == world.ids(1, 12)


def test_those_that_failed_last_time_are_sent_to_last() -> None:
    """As many healthy ones as there is room for are under way before the one that failed gets its turn (I21)."""
    world = Delivery()
    healthy = [f"c{number:03d}" for number in range(SENDS_AT_ONCE)]
    for name in ["failed", *healthy]:
        world.greet(name)
    world.fake_sender.failing["failed"] = 1
    world.publish(1)
    world.parts.use(PushEvents).run()
    send = world.fake_sender.send
    all_under_way = threading.Barrier(SENDS_AT_ONCE, timeout=20)
    order: list[str] = []

    def noting(connection_id: str, body: bytes) -> None:
        if connection_id != "failed":
            all_under_way.wait()
        order.append(connection_id)
        send(connection_id, body)

    world.fake_sender.send = noting  # type: ignore[method-assign]
    world.publish(1)
    world.parts.use(PushEvents).run()

    assert order.index("failed") > 0
    assert sorted(order) == sorted(["failed", *healthy])


def test_a_revoked_key_is_cut_off_at_the_next_send() -> None:
    world = Delivery()
    world.greet("theirs", user_id="mallory", key_id="k1")
    world.greet("other", user_id="mallory", key_id="k2")
    revoked = {"key#k1": (world.clock.now() + timedelta(seconds=1)).isoformat()}
    world.stores.state.put("revocations", revoked, now=world.clock.now())
    world.publish(1)

    world.parts.use(PushEvents).run()

    assert world.heard("theirs") == []
    assert world.fake_sender.disconnected == ["theirs"]
    assert world.stores.connections.get("theirs") is None
    assert world.heard_ids("other") == world.ids(1, 2)


def test_revocations_cost_one_read_a_wake_however_many_connections_there_are() -> None:
    world = Delivery()
    for number in range(200):
        world.greet(f"c{number}")
    world.publish(1)
    world.stores.reset_usage()

    world.parts.use(PushEvents).run()

    # The cursor before and after, and the revocations.
    assert world.stores.usage["state.get"].calls == 3
    assert world.stores.total_usage.items_written == 1


def test_revoking_ends_open_connections_at_once() -> None:
    world = Delivery()
    world.greet("theirs", user_id="mallory", key_id="k1")
    world.greet("mine", user_id="alice", key_id="k2")

    world.parts.use(RevokeAccess).run(key_id="k1")

    assert world.fake_sender.disconnected == ["theirs"]
    assert world.stores.connections.get("theirs") is None
    assert world.stores.connections.get("mine") is not None


def test_a_user_let_in_again_after_a_revocation_hears() -> None:
    clock = FakeClock()
    world = Delivery(clock=clock)
    world.parts.use(RevokeAccess).run(user_id="bob")
    clock.advance(5)
    world.greet("again", user_id="bob")
    world.publish(1)

    world.parts.use(PushEvents).run()

    assert world.heard_ids("again") == world.ids(1, 2)


def test_an_expired_row_is_passed_over_although_nobody_deleted_it() -> None:
    clock = FakeClock()
    world = Delivery(clock=clock)
    world.greet("old")
    clock.advance(CONNECTION_LIFE.total_seconds() + 1)
    world.publish(1)

    world.parts.use(PushEvents).run()

    assert world.heard("old") == []


def test_a_client_of_another_epoch_is_reset_once() -> None:
    world = Delivery()
    world.greet("a")
    connection = world.stores.connections.get("a")
    assert connection is not None
    world.stores.connections.advance(connection, cursor=7, epoch="older")
    world.publish(1)
    world.parts.use(PushEvents).run()
    world.publish(1)
    world.parts.use(PushEvents).run()

    assert world.heard("a")[0] == {"type": "reset", "head": f"{world.epoch}-2"}
    assert world.heard_ids("a") == world.ids(3, 4)


def test_a_pusher_that_slept_past_the_retention_resets_instead_of_skipping() -> None:
    world = Delivery()
    world.greet("a")
    world.publish(1)
    world.parts.use(PushEvents).run()
    world.publish(5)
    world.trim_all()
    world.publish(1)

    world.parts.use(PushEvents).run()

    assert world.heard("a")[1:] == [{"type": "reset", "head": f"{world.epoch}-14"}]


def test_a_hole_is_read_again_and_then_left_for_the_next_wake() -> None:
    world = Delivery()
    world.greet("a")
    world.publish(3)
    world.stores.faults.tear_reads(2, times=100)
    world.parts.use(PushEvents).run()
    assert world.heard_ids("a") == world.ids(1, 2)

    world.stores.faults.clear()
    world.parts.use(PushEvents).run()

    assert world.heard_ids("a") == world.ids(1, 6)


def test_a_hole_that_closes_while_it_is_read_again_is_not_noticed() -> None:
    world = Delivery()
    world.greet("a")
    world.publish(3)
    world.stores.faults.tear_reads(2, times=1)

    world.parts.use(PushEvents).run()

    assert world.heard_ids("a") == world.ids(1, 6)


def test_a_last_event_that_shows_after_the_head_goes_out_with_the_same_wake() -> None:
    world = Delivery()
    world.greet("a")
    world.publish(3)
    world.stores.faults.tear_reads(3, times=2)

    world.parts.use(PushEvents).run()

    assert world.heard_ids("a") == world.ids(1, 6)


def test_a_client_that_hellos_while_the_registry_is_read_misses_nothing() -> None:
    world = Delivery()
    world.greet("early")
    world.publish(1)
    read_all = world.stores.connections.all
    listings = 0

    def all_and_then_a_hello(*, now: datetime) -> Iterator[Connection]:
        nonlocal listings
        listings += 1
        listed = list(read_all(now=now))
        if listings == 1:
            world.greet("late")
            world.publish(1)
        return iter(listed)

    world.stores.connections.all = all_and_then_a_hello  # type: ignore[method-assign]
    world.parts.use(PushEvents).run()
    world.parts.use(PushEvents).run()

    assert world.heard_ids("late") == world.ids(3, 4)
    assert world.heard_ids("early") == world.ids(1, 4)


def test_news_within_100_ms_of_the_last_push_is_gathered() -> None:
    clock = FakeClock()
    world = Delivery(clock=clock)
    world.greet("a")
    world.publish(1)
    world.parts.use(PushEvents).run()
    clock.advance(0.03)
    before = clock.monotonic()
    world.publish(1)

    world.parts.use(PushEvents).run()

    assert 0 < clock.monotonic() - before <= 0.1


def test_a_long_backlog_arrives_whole_in_messages_of_bounded_size() -> None:
    world = Delivery()
    world.greet("a")
    world.publish(450)

    assert world.parts.use(PushEvents).run()

    assert world.heard_ids("a") == world.ids(1, 900)
    assert max(len(body) for body in world.fake_sender.sent["a"]) <= 30_000


def test_a_store_that_fails_in_the_middle_leaves_the_cursor_so_that_the_next_wake_repeats() -> None:
    world = Delivery()
    world.greet("a")
    world.publish(2)
    failed = 0
    for call in range(1, 12):
        world.stores.faults.clear()
        world.stores.faults.throttle_call(call)
        try:
            world.parts.use(PushEvents).run()
        except StoreUnavailableError:
            failed += 1
        world.stores.faults.clear()
        world.publish(1)
        world.parts.use(PushEvents).run()

    assert failed
    heard = world.heard_ids("a")
    assert list(dict.fromkeys(heard)) == world.ids(1, 26)


def test_wakes_in_any_number_and_order_change_nothing_that_a_client_sees() -> None:
    rng = random.Random(7)
    world = Delivery()
    world.greet("a")
    for _ in range(60):
        world.publish(rng.randint(0, 3))
        for _ in range(rng.randint(0, 3)):
            world.parts.use(PushEvents).run()
    world.parts.use(PushEvents).run()

    last = 2 * world.stores.events.head().seq
    assert world.heard_ids("a") == world.ids(1, last)


def test_of_a_thousand_connections_a_tenth_that_fails_delays_and_hurts_no_other() -> None:
    """34 gone, 33 throttled, 33 that hang until every healthy one has been served (I21)."""
    world = Delivery(clock=SystemClock())
    names = [f"c{number:04d}" for number in range(1000)]
    faulty = random.Random(21).sample(names, 100)
    gone, throttled, hanging = set(faulty[:34]), set(faulty[34:67]), set(faulty[67:])
    for name in names:
        world.greet(name)
    all_healthy_served = threading.Event()
    served: list[str] = []
    gave_up: list[str] = []

    class FaultySender:
        def send(self, connection_id: str, body: bytes) -> None:
            if connection_id in gone:
                raise ConnectionGone("The connection is gone.")
            if connection_id in throttled:
                raise SendThrottled("The gateway refused the message with 429.")
            if connection_id in hanging:
                if not all_healthy_served.wait(30):
                    gave_up.append(connection_id)
                raise SendFailed("The connection did not take the message in time.")
            served.append(connection_id)
            if len(served) == 900:
                all_healthy_served.set()

        def disconnect(self, connection_id: str) -> None:
            raise ConnectionGone("The connection is gone.")

    world.publish(1)
    deliver_events = replace(world.parts.use(DeliverEvents), sender=FaultySender())

    assert replace(world.parts.use(PushEvents), deliver_events=deliver_events).run()

    assert gave_up == []
    assert sorted(served) == sorted(set(names) - set(faulty))
    rows = world.stores.connection_rows
    assert not gone & rows.keys()
    assert all(rows[name].failures == 1 for name in throttled | hanging)
    assert sum(row.failures for row in rows.values()) == 66
