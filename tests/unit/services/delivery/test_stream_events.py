"""The long poll: at once when there is news, held only where it may be, and never past its slot or time."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent

from shared.domain.access import LOCAL_ADMIN, Principal, Role
from shared.domain.errors import AuthenticationRequiredError, TooManyConnectionsError
from shared.domain.job import JobStatus
from shared.services.access.revoke_access import RevokeAccess
from shared.services.delivery.stream_events import Listener, StreamEvents
from tests.delivery import Delivery
from tests.fakes import Crash, FakeClock

HERE = Listener(LOCAL_ADMIN, "192.0.2.7", 27.0)


class SleepingClock(FakeClock):
    """Does something at a planned moment of a sleep, as the world does while a request is held."""

    def __init__(self) -> None:
        super().__init__()
        self.plans: list[tuple[float, Any]] = []

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        due = [plan for plan in self.plans if plan[0] <= self.monotonic()]
        for plan in due:
            self.plans.remove(plan)
            plan[1]()


def events_of(text: str) -> list[ServerSentEvent]:
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=text.encode())
    return list(EventSource(response).iter_sse())


def ask(world: Delivery, cursor: str | None = None, listener: Listener = HERE) -> list[ServerSentEvent]:
    return events_of(world.parts.use(StreamEvents).run(cursor, listener))


def message_ids(events: list[ServerSentEvent]) -> list[str]:
    return [event.id for event in events if event.event == "message"]


def test_news_is_answered_at_once_and_whole() -> None:
    world = Delivery(clock=FakeClock())
    world.publish(3)

    events = ask(world, f"{world.epoch}-0")

    assert [event.event for event in events] == ["connection"] + ["message"] * 6
    assert json.loads(events[0].data)["head"] == f"{world.epoch}-6"
    assert [{"id": event.id, **json.loads(event.data)} for event in events[1:]] == world.frames()
    assert world.clock.monotonic() == 0


def test_a_cut_between_two_frames_of_a_change_goes_on_with_the_second() -> None:
    world = Delivery()
    world.publish(2)

    events = ask(world, f"{world.epoch}-1")

    assert events[0].id == f"{world.epoch}-1"
    assert message_ids(events) == world.ids(2, 4)


def test_without_a_cursor_it_begins_now_and_the_next_answer_misses_nothing() -> None:
    world = Delivery()
    world.publish(2, JobStatus.COMPLETED)

    first = ask(world)
    world.publish(1)
    second = ask(world, first[-1].id)

    assert [event.event for event in first] == ["connection", "heartbeat"]
    assert first[0].id == f"{world.epoch}-4"
    assert message_ids(second) == world.ids(5, 6)


@pytest.mark.parametrize("cursor", [None, ""])
def test_who_has_no_cursor_is_answered_at_once_and_comes_back_soon_to_wait(cursor: str | None) -> None:
    world = Delivery(clock=FakeClock())
    world.publish(1)
    world.stores.reset_usage()

    first = ask(world, cursor)

    assert [event.event for event in first] == ["connection", "heartbeat"]
    assert world.clock.monotonic() == 0
    assert (first[0].id, first[0].retry) == (f"{world.epoch}-2", 1000)
    world.publish(1)
    assert message_ids(ask(world, first[0].id)) == world.ids(3, 4)


def test_nothing_is_held_while_no_job_is_active() -> None:
    world = Delivery(clock=FakeClock())
    world.publish(1, JobStatus.COMPLETED)

    events = ask(world, f"{world.epoch}-2")

    assert events[0].retry == 15000
    assert world.clock.monotonic() == 0


def test_a_held_request_ends_with_a_heartbeat_after_the_hold_time() -> None:
    world = Delivery(clock=FakeClock())
    world.publish(1)

    events = ask(world, f"{world.epoch}-2")

    assert [event.event for event in events] == ["connection", "heartbeat"]
    assert world.clock.monotonic() == pytest.approx(20, abs=0.01)
    assert events[0].retry == 1000


def test_while_it_holds_it_reads_at_most_once_a_second() -> None:
    world = Delivery(clock=FakeClock())
    world.publish(1)
    cursor = f"{world.epoch}-2"
    world.stores.reset_usage()

    ask(world, cursor)

    assert world.stores.usage["events.read"].calls <= 20
    assert world.stores.usage["events.head"].calls == 1


def test_news_ends_the_hold_within_a_second() -> None:
    clock = SleepingClock()
    world = Delivery(clock=clock)
    world.publish(1)
    clock.plans.append((7.0, world.publish))

    events = ask(world, f"{world.epoch}-2")

    assert message_ids(events) == world.ids(3, 4)
    assert json.loads(events[0].data)["head"] == f"{world.epoch}-4"
    assert clock.monotonic() == pytest.approx(7, abs=1)


def test_the_hold_ends_three_seconds_before_the_function() -> None:
    world = Delivery(clock=FakeClock())
    world.publish(1)

    ask(world, f"{world.epoch}-2", Listener(LOCAL_ADMIN, "192.0.2.7", 9.0))

    assert world.clock.monotonic() == pytest.approx(6, abs=0.01)


def test_more_than_the_slots_to_hold_are_answered_at_once() -> None:
    world = Delivery(clock=FakeClock(), sse_max_held=2)
    world.publish(1)
    for number in range(2):
        world.stores.state.put(f"sse-held#{number}", {}, now=world.clock.now())

    events = ask(world, f"{world.epoch}-2")

    assert world.clock.monotonic() == 0
    assert events[0].retry == 15000


def test_the_sixth_connection_of_an_address_is_refused_and_others_are_served() -> None:
    world = Delivery()
    for number in range(5):
        world.stores.state.put(f"sse-ip#192.0.2.7#{number}", {}, now=world.clock.now())

    with pytest.raises(TooManyConnectionsError):
        ask(world)

    assert ask(world, listener=Listener(LOCAL_ADMIN, "192.0.2.8", 27.0))


def test_slots_are_given_back_before_the_answer() -> None:
    world = Delivery()
    world.publish(1)
    for _ in range(30):
        ask(world, f"{world.epoch}-2")

    assert not [key for key in world.stores.state_rows if key.startswith("sse-")]


def test_the_slot_of_a_client_whose_function_died_is_free_after_thirty_seconds() -> None:
    clock = FakeClock()
    world = Delivery(clock=clock)
    while len(world.stores.state_rows) < 5:
        world.stores.faults.crash_before_write(2)
        with pytest.raises(Crash):
            ask(world)
    with pytest.raises(TooManyConnectionsError):
        ask(world)

    clock.advance(30.1)

    assert ask(world)


def test_of_many_requests_at_once_exactly_five_hold_a_slot() -> None:
    world = Delivery()
    streamer = world.parts.use(StreamEvents)
    inside = threading.Barrier(6, timeout=20)
    refused: list[TooManyConnectionsError] = []
    head = world.stores.events.head

    def head_while_all_are_inside() -> Any:
        inside.wait()
        return head()

    world.stores.events.head = head_while_all_are_inside  # type: ignore[method-assign]

    def request() -> None:
        try:
            streamer.run(None, HERE)
        except TooManyConnectionsError as error:
            refused.append(error)
            inside.wait()

    requests = [threading.Thread(target=request) for _ in range(6)]
    for one in requests:
        one.start()
    for one in requests:
        one.join()

    assert len(refused) == 1


def test_access_revoked_during_the_hold_hears_nothing() -> None:
    clock = SleepingClock()
    world = Delivery(clock=clock)
    world.publish(1)
    mallory = Listener(Principal("mallory", Role.VIEWER, "k1"), "192.0.2.7", 27.0)
    clock.plans.append((3.0, lambda: world.parts.use(RevokeAccess).run(key_id="k1")))
    clock.plans.append((5.0, world.publish))

    with pytest.raises(AuthenticationRequiredError):
        ask(world, f"{world.epoch}-2", mallory)


def test_a_cursor_that_cannot_be_served_is_reset_with_the_present_position() -> None:
    world = Delivery()
    world.publish(2)

    events = ask(world, "other-3")

    assert [event.event for event in events] == ["connection", "reset"]
    assert events[1].id == f"{world.epoch}-4"
    assert json.loads(events[1].data) == {"type": "reset", "head": f"{world.epoch}-4"}


def test_what_was_trimmed_between_two_looks_is_a_reset_and_no_silent_skip() -> None:
    world = Delivery()
    world.publish(4)
    cursor = f"{world.epoch}-2"
    head = world.stores.events.head()
    world.trim_all()
    heads = [head]
    read_head = world.stores.events.head
    world.stores.events.head = lambda: heads.pop() if heads else read_head()  # type: ignore[method-assign]

    events = ask(world, cursor)

    assert [event.event for event in events] == ["connection", "reset"]


def test_a_log_that_began_anew_during_the_hold_is_a_reset() -> None:
    """Its changes have numbers that meant others before, so none of them is handed out under the old epoch (I20)."""
    clock = SleepingClock()
    world = Delivery(clock=clock)
    world.publish(1)
    cursor = f"{world.epoch}-2"

    def begin_anew() -> None:
        world.stores.commit_rows.clear()
        world.stores.head = None
        world.publish(3)

    clock.plans.append((3.0, begin_anew))

    events = ask(world, cursor)

    assert [event.event for event in events] == ["connection", "reset"]
    assert events[1].id == f"{world.epoch}-6"
    assert cursor.split("-", maxsplit=1)[0] != world.epoch


def test_a_torn_read_hands_out_only_the_run_before_the_hole() -> None:
    world = Delivery()
    world.publish(4)
    world.stores.faults.tear_reads(3, times=100)

    events = ask(world, f"{world.epoch}-0")

    assert message_ids(events) == world.ids(1, 4)
    assert json.loads(events[0].data)["head"] == f"{world.epoch}-4"


def test_a_long_backlog_comes_in_several_answers_one_soon_after_the_other() -> None:
    world = Delivery()
    world.publish(450)
    cursor, heard = f"{world.epoch}-0", list[str]()
    retries = []
    while len(heard) < 900:
        events = ask(world, cursor)
        retries.append(events[0].retry)
        heard += message_ids(events)
        cursor = heard[-1]

    assert heard == world.ids(1, 900)
    assert retries == [100, 100, 1000]


def test_a_deletion_is_told_as_two_frames() -> None:
    world = Delivery()
    world.publish(1, JobStatus.COMPLETED)
    world.delete(1)

    first, second = ask(world, f"{world.epoch}-2")[1:]

    assert json.loads(first.data) == {"type": "job_deleted", "job_id": "job000000000001"}
    assert json.loads(second.data)["type"] == "cloud_job_update"
    assert json.loads(second.data)["status"] == "deleted"
