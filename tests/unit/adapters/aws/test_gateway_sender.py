"""The management API as the sender sees it: gone, throttled, slow, unreachable; one try each."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from shared.adapters.aws.gateway_sender import GatewaySender
from shared.domain.errors import ConnectionGone, SendFailed, SendThrottled


class ManagementApi(http.server.ThreadingHTTPServer):
    """Answers by the connection's name: a status, or, for `slow`, nothing before the test is over."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.requests: list[tuple[str, str, bytes]] = []
        self.authorizations: list[str] = []
        self.is_over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ManagementApi

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, body))
        self.server.authorizations.append(self.headers["Authorization"])
        name = self.path.rsplit("/", 1)[1]
        if name == "slow":
            self.server.is_over.wait()
        if name == "last":
            self.close_connection = True
        self.send_response(int(name) if name.isdigit() else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_DELETE = _answer  # noqa: N815 -- names of http.server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as above
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[ManagementApi]:
    with ManagementApi() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.is_over.set()
        server.shutdown()
        thread.join()


def test_a_message_reaches_its_connection_as_it_is(api: ManagementApi) -> None:
    GatewaySender(api.url).send("abc=", b'{"type":"events"}')

    assert api.requests == [("POST", "/@connections/abc%3D", b'{"type":"events"}')]


def test_the_request_is_signed_for_the_management_api(api: ManagementApi) -> None:
    GatewaySender(api.url).send("abc", b"x")

    assert "/execute-api/aws4_request, SignedHeaders=host;" in api.authorizations[0]


def test_a_kept_connection_that_was_closed_meanwhile_costs_nobody_a_message(api: ManagementApi) -> None:
    sender = GatewaySender(api.url)
    for name in ("last", "last", "first"):
        sender.send(name, b"x")

    assert [path for _, path, _ in api.requests] == [f"/@connections/{name}" for name in ("last", "last", "first")]


def test_gone_is_judged_by_the_status_and_not_by_a_name(api: ManagementApi) -> None:
    with pytest.raises(ConnectionGone):
        GatewaySender(api.url).send("410", b"x")
    with pytest.raises(ConnectionGone):
        GatewaySender(api.url).disconnect("410")


@pytest.mark.parametrize("status", ["429", "500", "503", "403"])
def test_a_refusal_says_nothing_about_the_connection_and_is_not_repeated(api: ManagementApi, status: str) -> None:
    with pytest.raises(SendThrottled):
        GatewaySender(api.url).send(status, b"x")

    assert len(api.requests) == 1


def test_a_connection_that_takes_nothing_is_given_up_and_tried_once(api: ManagementApi) -> None:
    with pytest.raises(SendFailed) as failed:
        GatewaySender(api.url).send("slow", b"x")

    assert not isinstance(failed.value, SendThrottled)
    assert not api.is_over.is_set()
    assert len(api.requests) == 1


def test_a_gateway_that_cannot_be_reached_drops_nobody() -> None:
    with pytest.raises(SendThrottled):
        GatewaySender("http://127.0.0.1:1").send("a", b"x")


def test_ending_a_connection_asks_for_it(api: ManagementApi) -> None:
    GatewaySender(api.url).disconnect("abc")

    assert api.requests == [("DELETE", "/@connections/abc", b"")]
