"""Live events on the running stack: emulated gateway, real tables, the stream relay and every function in between."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.local.replicate_webhooks import WebhookSource, new_job_id
from tests.local.stack import RunningStack

pytestmark = pytest.mark.local

PATIENCE_SECONDS = 30.0


@pytest.fixture(scope="module")
def webhooks(running_stack: RunningStack) -> Iterator[WebhookSource]:
    source = WebhookSource(running_stack)
    yield source
    source.close()


def ticket_url(stack: RunningStack) -> str:
    answer = httpx.post(f"{stack.http_url}/api/ws-tickets", timeout=30)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"ticket", "url", "expires_in"}
    assert body["expires_in"] == 60
    return str(body["url"])


def receive(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(socket.recv(timeout=PATIENCE_SECONDS))
    return message


def hello(socket: ClientConnection, after: str | None = None) -> str:
    """Say hello and return the head that it is answered with."""
    socket.send(json.dumps({"action": "hello", "after": after}))
    greeting = receive(socket)
    assert greeting["type"] == "connected"
    return str(greeting["head"])


def head_of(stack: RunningStack) -> str:
    """Where the log ends, without being held for it."""
    with connect(ticket_url(stack), proxy=None) as socket:
        return hello(socket)


def frames_of(socket: ClientConnection, job_id: str, count: int) -> list[dict[str, Any]]:
    """The next `count` frames that are about this job; the simulator's own jobs go on beside it."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        found += [event for event in receive(socket).get("events", []) if event["job_id"] == job_id]
    return found


def ask(stack: RunningStack, last_id: str | None = None) -> list[ServerSentEvent]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    answer = httpx.get(f"{stack.http_url}/api/events", headers=headers, timeout=40)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("retry: ")
    return list(EventSource(answer).iter_sse())


def test_a_webhook_becomes_the_same_two_frames_on_both_transports(
    running_stack: RunningStack, webhooks: WebhookSource
) -> None:
    job_id = new_job_id()
    with connect(ticket_url(running_stack), proxy=None) as socket:
        head = hello(socket)
        webhooks.send(job_id, "processing")
        pushed = frames_of(socket, job_id, 2)

    streamed = [event for event in ask(running_stack, head) if event.event == "message"]
    by_stream = [{"id": event.id, **json.loads(event.data)} for event in streamed]
    assert [frame for frame in by_stream if frame["job_id"] == job_id] == pushed
    assert [frame["type"] for frame in pushed] == ["job_status_changed", "cloud_job_update"]
    assert pushed[0]["status"] == "running"
    assert pushed[0]["previous_status"] is None
    first, second = (int(frame["id"].rsplit("-", 1)[1]) for frame in pushed)
    assert second == first + 1
    assert second % 2 == 0


def test_a_hello_with_the_last_id_brings_what_was_missed(running_stack: RunningStack, webhooks: WebhookSource) -> None:
    job_id = new_job_id()
    with connect(ticket_url(running_stack), proxy=None) as socket:
        head = hello(socket)
    webhooks.send(job_id, "processing")
    webhooks.send(job_id, "succeeded")

    with connect(ticket_url(running_stack), proxy=None) as socket:
        hello(socket, head)
        missed = frames_of(socket, job_id, 4)

    assert [frame["status"] for frame in missed] == ["running", "running", "completed", "completed"]


def test_a_held_request_is_answered_with_the_news(running_stack: RunningStack, webhooks: WebhookSource) -> None:
    webhooks.send(new_job_id(), "processing")
    job_id = new_job_id()
    position = head_of(running_stack)
    sender = threading.Timer(1.5, webhooks.send, (job_id, "processing"))
    sender.start()
    began = time.monotonic()
    heard: list[str] = []
    while job_id not in heard:
        assert time.monotonic() - began < PATIENCE_SECONDS
        events = ask(running_stack, position)
        position = events[-1].id
        heard += [json.loads(event.data)["job_id"] for event in events if event.event == "message"]
    sender.join()


def test_ping_is_answered_with_the_head(running_stack: RunningStack) -> None:
    with connect(ticket_url(running_stack), proxy=None) as socket:
        head = hello(socket)
        socket.send(json.dumps({"action": "ping"}))
        while (message := receive(socket))["type"] != "heartbeat":
            continue

    assert message["head"].rsplit("-", 1)[0] == head.rsplit("-", 1)[0]


@pytest.mark.parametrize("after", ["elsewhere-4", "nonsense", "x" * 300])
def test_a_bad_cursor_is_reset_on_both_transports(running_stack: RunningStack, after: str) -> None:
    with connect(ticket_url(running_stack), proxy=None) as socket:
        hello(socket, after)
        assert receive(socket)["type"] == "reset"

    assert [event.event for event in ask(running_stack, after)] == ["connection", "reset"]


def test_a_ticket_opens_one_socket_only(running_stack: RunningStack) -> None:
    url = ticket_url(running_stack)
    with connect(url, proxy=None) as socket:
        hello(socket)

    for refused_url in (url, f"{running_stack.ws_url}?ticket=wrong"):
        with pytest.raises(InvalidStatus) as refused, connect(refused_url, proxy=None):
            pass
        assert refused.value.response.status_code in (401, 403)


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_a_page_of_another_origin_gets_no_socket(running_stack: RunningStack, origin: str) -> None:
    with pytest.raises(InvalidStatus), connect(ticket_url(running_stack), origin=Origin(origin), proxy=None):
        pass


def test_our_own_page_gets_a_socket(running_stack: RunningStack) -> None:
    with connect(ticket_url(running_stack), origin=Origin(running_stack.http_url), proxy=None) as socket:
        assert hello(socket)


def test_the_sixth_stream_of_an_address_is_refused(running_stack: RunningStack, webhooks: WebhookSource) -> None:
    def together(position: str) -> list[httpx.Response]:
        headers = {"Last-Event-ID": position}

        def hold(_: int) -> httpx.Response:
            return httpx.get(f"{running_stack.http_url}/api/events", headers=headers, timeout=60)

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(hold, range(8)))

    # Other jobs of the stack move, too, and a change ends every stream before the sixth has come.
    for _ in range(6):
        webhooks.send(new_job_id(), "processing")
        answers = together(head_of(running_stack))
        refused = [answer for answer in answers if answer.status_code == 503]
        if refused:
            break
    assert refused
    assert {answer.status_code for answer in answers} == {200, 503}
    assert all(answer.json()["error"] == "Connection limit reached" for answer in refused)
    assert all("retry-after" in answer.headers for answer in refused)
