"""What goes over the wire: whole frames, in order, never too large, never broken by text from outside (T9, I42)."""

from __future__ import annotations

import json
from typing import Any

import httpx
from httpx_sse import EventSource
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.event import EventId, Frame, JobStatusChanged, LoggedEvent
from shared.domain.event_stream import stream_text
from shared.domain.job import MAX_ERROR_LENGTH, MAX_NAME_LENGTH, JobStatus
from shared.domain.push_message import MAX_MESSAGE_BYTES, events_messages
from tests.builders import NOON

HOSTILE = st.text(st.characters(codec=None, exclude_categories=()), max_size=80)


def changes(count: int, **fields: Any) -> list[Frame]:
    values: dict[str, Any] = {
        "job_id": "abc123def456ghij",
        "provider": "replicate",
        "at": NOON,
        "status": JobStatus.FAILED,
        "previous_status": JobStatus.RUNNING,
    }
    event = JobStatusChanged(**(values | fields))
    return [frame for seq in range(1, count + 1) for frame in LoggedEvent(seq, event).frames("e1")]


def parsed(text: str) -> list[tuple[str, str, Any]]:
    """(event, id, data) as an independent reader of Server-Sent Events sees them."""
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=text.encode())
    return [(one.event, one.id, json.loads(one.data)) for one in EventSource(response).iter_sse()]


def test_every_message_is_within_its_limit_with_every_field_at_its_largest() -> None:
    largest = changes(60, config_name="\u0001" * MAX_NAME_LENGTH, error_message="\U0001f4a5" * MAX_ERROR_LENGTH)

    messages = events_messages(largest)

    assert max(len(message) for message in messages) <= MAX_MESSAGE_BYTES
    events = [event for message in messages for event in json.loads(message)["events"]]
    assert [event["id"] for event in events] == [f"e1-{n}" for n in range(1, 121)]


def test_messages_may_cut_a_change_between_its_two_frames() -> None:
    frames = changes(2)
    room_for_one = len(events_messages(frames[:1])[0]) + 20

    messages = events_messages(frames, limit=room_for_one)

    assert [len(json.loads(message)["events"]) for message in messages] == [1, 1, 1, 1]


def test_no_frames_make_no_message() -> None:
    assert events_messages([]) == ()


@given(job=HOSTILE, config=HOSTILE, error=HOSTILE)
def test_no_text_from_outside_breaks_a_frame_of_the_stream(job: str, config: str, error: str) -> None:
    frames = changes(1, job_id=job, config_name=config, error_message=error)

    text = stream_text(retry_ms=1000, start=EventId("e1", 0), head=EventId("e1", 2), frames=frames)

    told = parsed(text)
    assert [(name, id_) for name, id_, _ in told] == [("connection", "e1-0"), ("message", "e1-1"), ("message", "e1-2")]
    assert [data for _, _, data in told[1:]] == [dict(frame.body) for frame in frames]


@given(job=HOSTILE, config=HOSTILE, error=HOSTILE)
def test_pushed_frames_read_back_as_they_were(job: str, config: str, error: str) -> None:
    frames = changes(1, job_id=job, config_name=config, error_message=error)

    (message,) = events_messages(frames)

    assert json.loads(message)["events"] == [{"id": str(frame.id), **frame.body} for frame in frames]


def test_stream_begins_with_retry_and_the_position_it_starts_from() -> None:
    text = stream_text(retry_ms=15000, start=EventId("e1", 3), head=EventId("e1", 4), frames=())

    assert text.startswith("retry: 15000\nevent: connection\nid: e1-3\n")
    assert parsed(text)[1] == ("heartbeat", "e1-3", {"type": "heartbeat", "head": "e1-4"})
    assert text.count("\nid: ") == 1
