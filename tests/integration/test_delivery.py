"""Delivery over real sockets: whatever breaks, every change reaches the page once and in order (I17 to I24)."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from functions.work import push_events
from shared.services.access.revoke_access import RevokeAccess
from tests.fakes import Crash
from tests.gateway import Context, Gateway, Line, random_cuts
from tests.listeners import Page, listen_sse, listen_ws
from tests.proof import scaled

EVENTS = 20
CLIENTS = 4
HANDSHAKE_BYTES = 300
"""At least what the gateway's half of the WebSocket handshake and its greeting take."""

pytestmark = pytest.mark.timeout(scaled(1800))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(sse_hold_seconds=0).running() as running:
        yield running


def answer_length(gateway: Gateway, last: str) -> int:
    """Bytes of a whole answer of the event stream, head and body."""
    with socket.create_connection(("127.0.0.1", gateway.port)) as line:
        line.sendall(
            f"GET /api/events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: {last}\r\nConnection: close\r\n\r\n".encode()
        )
        return sum(len(part) for part in iter(lambda: line.recv(65536), b""))


def cut_at_every_byte(gateway: Gateway, length: int, listen: Callable[[Page, str], None]) -> None:
    """For each number of bytes, break a client's first connection after so many; its next ones hold."""
    expected = gateway.world.frames()
    start = f"{gateway.world.epoch}-0"
    step = length // scaled(length)
    offsets = range(random.randrange(step), length, step)

    def prove(some: range) -> None:
        cuts: list[int] = []
        with Line(gateway.port, lambda: cuts.pop() if cuts else None).open() as line:
            for offset in some:
                page = Page(start)
                cuts.append(offset)
                for _ in range(3):
                    listen(page, line.url)
                    if len(page.handed) == EVENTS:
                        break
                assert page.frames == expected, f"cut after byte {offset}"
                assert page.resets == 0

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(prove, [offsets[number::CLIENTS] for number in range(CLIENTS)]))


def test_event_stream_cut_at_every_byte_hands_over_each_event_once(gateway: Gateway) -> None:
    gateway.world.publish(EVENTS // 2)
    cut_at_every_byte(gateway, answer_length(gateway, f"{gateway.world.epoch}-0"), listen_sse)


def test_websocket_cut_at_every_byte_hands_over_each_event_once(gateway: Gateway) -> None:
    gateway.world.publish(EVENTS // 2)
    length = HANDSHAKE_BYTES + len(json.dumps(gateway.world.frames(), separators=(",", ":")))

    def listen(page: Page, url: str) -> None:
        listen_ws(page, url, enough=lambda: len(page.handed) == EVENTS)

    cut_at_every_byte(gateway, length, listen)


def test_random_cuts_on_random_transports_lose_and_repeat_nothing(gateway: Gateway) -> None:
    """500 cuts in a row of one client that changes its transport at will, while changes are published (I17, I19)."""
    rng = random.Random(17)
    page = Page(f"{gateway.world.epoch}-0")
    cuts = scaled(500)
    made = 0
    with Line(gateway.port, random_cuts(rng, 4000)).open() as line:
        for _ in range(cuts):
            fresh = rng.randint(0, 3)
            gateway.publish(fresh)
            made += fresh
            if rng.random() < 0.5:
                listen_sse(page, line.url)
            else:
                seconds = rng.uniform(0.01, 0.1)
                listen_ws(page, line.url, enough=lambda: False, seconds=seconds)
        line.cut = lambda: None
        while len(page.handed) < 2 * made:
            before = len(page.handed)
            listen_sse(page, line.url)
            assert len(page.handed) > before

    assert page.frames == gateway.world.frames()
    assert page.resets == 0


def test_changes_published_during_reconnects_leave_no_hole(gateway: Gateway) -> None:
    """A change every few milliseconds while a client reconnects 200 times, on a random transport each time (I18)."""
    rng = random.Random(18)
    page = Page(f"{gateway.world.epoch}-0")
    stop = threading.Event()

    def publish() -> None:
        while not stop.wait(0.004):
            gateway.publish()

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        for _ in range(scaled(200)):
            if rng.random() < 0.3:
                listen_sse(page, gateway.url)
            else:
                listen_ws(page, gateway.url, enough=lambda: False, seconds=rng.uniform(0.02, 0.15))
    finally:
        stop.set()
        publisher.join()
    gateway.settle()
    last = 2 * gateway.world.stores.events.head().seq
    while page.number < last:
        before = page.number
        listen_sse(page, gateway.url)
        assert page.number > before

    assert page.handed == gateway.world.ids(1, last)
    assert page.resets == 0


def test_a_live_client_hears_without_ever_asking_again(gateway: Gateway) -> None:
    """With nothing broken, pushes alone tell everything: no hole, no second hello, in the order of the log."""
    page = Page(f"{gateway.world.epoch}-0")
    listener = threading.Thread(
        target=listen_ws, args=(page, gateway.url), kwargs={"enough": lambda: len(page.handed) == 200, "seconds": 20}
    )
    listener.start()
    for _ in range(100):
        gateway.publish()
        time.sleep(0.005)
    listener.join()

    assert page.handed == gateway.world.ids(1, 200)


def test_lost_pushes_are_made_good_by_the_numbers_and_the_heartbeat(gateway: Gateway) -> None:
    """One push in five vanishes on its way; the client converges with its next ping (I22)."""
    rng = random.Random(22)
    pages = [Page(f"{gateway.world.epoch}-0") for _ in range(10)]
    changes = scaled(300)

    def finished(page: Page) -> bool:
        return len(page.handed) >= 2 * changes

    listeners = [
        threading.Thread(
            target=listen_ws,
            args=(page, gateway.url),
            kwargs={"enough": lambda page=page: finished(page), "seconds": 60, "ping_every": 1.0},
        )
        for page in pages
    ]
    for listener in listeners:
        listener.start()
    until(lambda: gateway.listening == len(pages))
    gateway.loses = lambda: rng.random() < 0.2
    for _ in range(changes):
        gateway.publish()
        time.sleep(0.01)
    gateway.settle()
    for listener in listeners:
        listener.join()

    assert all(page.handed == gateway.world.ids(1, 2 * changes) for page in pages)


@pytest.mark.parametrize("change", ["repeat", "shuffle", "fail", "all"])
def test_stream_batches_repeated_shuffled_or_failing_change_nothing(gateway: Gateway, change: str) -> None:
    """The records of a batch are handed over twice, in any order, or after a failure at each of its records (I23)."""
    rng = random.Random(23)
    page = Page(f"{gateway.world.epoch}-0")
    rounds = 12

    def listen() -> None:
        deadline = time.monotonic() + 60
        while len(page.handed) < 6 * rounds and time.monotonic() < deadline:
            listen_ws(page, gateway.url, enough=lambda: len(page.handed) >= 6 * rounds, ping_every=1.0)

    listener = threading.Thread(target=listen)
    listener.start()
    sequence = itertools.count(1)
    for _ in range(rounds):
        gateway.world.publish(3)
        records = [{"dynamodb": {"SequenceNumber": str(next(sequence))}} for _ in range(3)]
        deliveries = [records]
        if change in ("repeat", "all"):
            deliveries.append(records)
        if change in ("shuffle", "all"):
            deliveries.append(rng.sample(records, 3))
        if change in ("fail", "all"):
            deliveries.extend(records[index:] for index in range(3))
            gateway.world.stores.faults.throttle_call(*rng.sample(range(1, 12), 2))
        for batch in deliveries:
            _deliver(batch)
    gateway.world.stores.faults.clear()
    _deliver([{"dynamodb": {"SequenceNumber": str(next(sequence))}}])
    listener.join()

    assert page.handed == gateway.world.ids(1, 6 * rounds)


def _deliver(records: list[dict[str, dict[str, str]]]) -> None:
    """As an event source mapping: a batch that fails is handed over again, five times at most."""
    for _ in range(6):
        try:
            if not push_events.handler({"Records": records}, Context())["batchItemFailures"]:
                return
        except Exception:  # noqa: BLE001 -- whatever a function raises, the mapping tries again
            continue


BAD_CURSORS = [
    "{epoch}-999",
    "other-1",
    "{epoch}--1",
    "{epoch}-x",
    "{epoch}-" + "1" * 200,
    "5",
    "{epoch}-1.5",
    "-",
    "{epoch}-01",
    "null",
    "{epoch}-1;drop",
    "\u00e9\u00e8-1",
]


@pytest.mark.parametrize("cursor", BAD_CURSORS)
def test_bad_cursor_is_reset_on_both_transports(gateway: Gateway, cursor: str) -> None:
    """Never an error, never a replay of everything, and the client goes on from the present (I20)."""
    gateway.world.publish(3)
    bad = cursor.format(epoch=gateway.world.epoch)
    now = f"{gateway.world.epoch}-6"

    by_header = httpx.get(f"{gateway.url}/api/events", headers={b"Last-Event-ID": bad.encode()})
    by_query = httpx.get(f"{gateway.url}/api/events", params={"last_event_id": bad})
    with connect(f"ws://127.0.0.1:{gateway.port}", proxy=None) as client:
        client.send(json.dumps({"action": "hello", "after": bad}))
        messages = [json.loads(client.recv(timeout=5)) for _ in range(2)]

    for answer in (by_header, by_query):
        assert answer.status_code == 200
        assert f'event: reset\nid: {now}\ndata: {{"type":"reset","head":"{now}"}}\n\n' in answer.text
        assert "job_status_changed" not in answer.text
    assert messages == [{"type": "connected", "head": now}, {"type": "reset", "head": now}]


def test_the_header_of_a_reconnect_counts_more_than_the_address_it_was_opened_with(gateway: Gateway) -> None:
    """An EventSource keeps its address and tells what it heard since in the header; an empty one says nothing."""
    gateway.world.publish(3)
    epoch = gateway.world.epoch

    def ids(header: str, query: str) -> list[str]:
        answer = httpx.get(
            f"{gateway.url}/api/events", params={"last_event_id": query}, headers={"Last-Event-ID": header}
        )
        return [line.removeprefix("id: ") for line in answer.text.splitlines() if line.startswith("id: ")]

    assert ids(f"{epoch}-4", f"{epoch}-0") == gateway.world.ids(4, 6)
    assert ids("", f"{epoch}-3") == gateway.world.ids(3, 6)
    assert ids("elsewhere-4", f"{epoch}-0") == [f"{epoch}-6"] * 2


def test_more_messages_than_a_socket_may_send_are_not_answered(gateway: Gateway) -> None:
    """T22; the seconds are the server's, so so many may be answered in each that the test lasted."""
    with connect(f"ws://127.0.0.1:{gateway.port}", proxy=None) as client:
        began = int(time.time())
        for _ in range(40):
            client.send(json.dumps({"action": "ping"}))
        answered = 0
        with contextlib.suppress(TimeoutError):
            while client.recv(timeout=0.5 if answered >= 10 else 20):
                answered += 1
        seconds = int(time.time()) - began + 1

    assert 10 <= answered <= 10 * seconds


def test_the_sixth_request_of_an_address_is_refused_as_the_contract_says() -> None:
    with Gateway(sse_hold_seconds=3, sse_connections_per_ip=5).running() as gateway:
        gateway.world.publish()
        newest = f"{gateway.url}/api/events?last_event_id={gateway.world.epoch}-2"
        held = [threading.Thread(target=httpx.get, args=(newest,)) for _ in range(5)]
        for one in held:
            one.start()
        deadline = time.monotonic() + 3
        while sum(key.startswith("sse-ip") for key in gateway.world.stores.state_rows) < 5:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        sixth = httpx.get(f"{gateway.url}/api/events", headers={"X-Forwarded-For": "203.0.113.9"})
        for one in held:
            one.join()
        afterwards = httpx.get(f"{gateway.url}/api/events", params={"last_event_id": "x"})

    assert sixth.status_code == 503
    body = sixth.json()
    assert body["error"] == "Connection limit reached"
    assert body["message"] == "Too many concurrent connections. Please try again later."
    assert isinstance(body["detail"], str)
    assert int(sixth.headers["retry-after"]) >= 1
    assert afterwards.status_code == 200


def test_a_ticket_opens_the_socket_once(gateway: Gateway) -> None:
    ticket = httpx.post(f"{gateway.url}/api/ws-tickets", headers={"Content-Type": "application/json"}).json()
    assert ticket["expires_in"] == 60
    with connect(ticket["url"], proxy=None) as client:
        client.send(json.dumps({"action": "hello", "after": None}))
        assert json.loads(client.recv(timeout=5))["type"] == "connected"

    for url in (ticket["url"], f"ws://127.0.0.1:{gateway.port}/?ticket=wrong"):
        with pytest.raises(InvalidStatus) as refused, connect(url, proxy=None):
            pass
        assert refused.value.response.status_code == 403


def test_a_page_of_another_origin_gets_no_socket(gateway: Gateway) -> None:
    with (
        pytest.raises(InvalidStatus),
        connect(f"ws://127.0.0.1:{gateway.port}/", origin=Origin("https://evil.example"), proxy=None),
    ):
        pass


def say_hello(gateway: Gateway, client: ClientConnection) -> None:
    """Say hello from now on, and wait until the pusher knows."""
    client.send(json.dumps({"action": "hello", "after": None}))
    assert json.loads(client.recv(timeout=20))["type"] == "connected"
    until(lambda: gateway.listening == 1)


def heard_until_its_end(client: ClientConnection) -> list[object]:
    """All messages until the server ends the socket. Raises TimeoutError when it does not."""
    heard: list[object] = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            heard.append(client.recv(timeout=20))
    return heard


def test_a_revoked_client_hears_nothing_published_after_and_its_socket_ends(gateway: Gateway) -> None:
    """I24, T13."""
    with connect(f"ws://127.0.0.1:{gateway.port}", proxy=None) as client:
        say_hello(gateway, client)
        gateway.world.publish()
        gateway.world.parts.use(RevokeAccess).run(user_id="local")
        gateway.wake()

        assert heard_until_its_end(client) == []


def test_a_client_revoked_between_publishing_and_its_hello_is_replayed_nothing_and_its_socket_ends(
    gateway: Gateway,
) -> None:
    """Nobody ends it before: a revocation looks for those who have said hello (I24)."""
    gateway.world.publish()
    with connect(f"ws://127.0.0.1:{gateway.port}", proxy=None) as client:
        gateway.world.parts.use(RevokeAccess).run(user_id="local")
        until(lambda: gateway.open_sockets == 1)
        client.send(json.dumps({"action": "hello", "after": f"{gateway.world.epoch}-0"}))

        assert heard_until_its_end(client) == []


def test_a_client_whose_revocation_died_before_ending_it_is_pushed_nothing_and_its_socket_ends(
    gateway: Gateway,
) -> None:
    """The list is written, the registry still holds it: the next push looks at the list (I24)."""
    with connect(f"ws://127.0.0.1:{gateway.port}", proxy=None) as client:
        say_hello(gateway, client)
        gateway.world.stores.faults.crash_before_write(2)
        with pytest.raises(Crash):
            gateway.world.parts.use(RevokeAccess).run(user_id="local")
        assert gateway.listening == 1
        gateway.publish()

        assert heard_until_its_end(client) == []
    assert gateway.listening == 0


@pytest.mark.parametrize(
    "message", ["", "{}", "[]", "hello", '{"action":"nope"}', '{"action":5}', "[" * 20_000, "\u0000"]
)
def test_what_is_no_hello_and_no_ping_is_passed_over(gateway: Gateway, message: str) -> None:
    with connect(f"ws://127.0.0.1:{gateway.port}", proxy=None) as client:
        client.send(message)
        client.send(json.dumps({"action": "hello", "after": None}))
        client.send(json.dumps({"action": "ping"}))

        assert {json.loads(client.recv(timeout=5))["type"] for _ in range(2)} == {"connected", "heartbeat"}
