"""The webhook test: only our own addresses are ever contacted, and never a private network (T6)."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

import pytest
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProtocolError, SSLError

from functions.http import test_webhook as webhook_test
from shared.adapters.http.bounded import Request
from shared.adapters.http.webhook_probe import HttpWebhookProbe
from tests.engine import WEBHOOK_URL, Engine, an_engine
from tests.fakes.transport import FakeTransport, Scripted

PUBLIC = "93.184.216.34"
LOCAL_URL = "http://127.0.0.1:8001/api/webhooks/replicate"


class World:
    def __init__(self, engine: Engine) -> None:
        self.status = 401
        self.error: Exception | None = None
        self.transport = FakeTransport(self.answer)
        self.addresses: dict[str, Sequence[str]] = {"jobs.example.com": [PUBLIC], "127.0.0.1": ["127.0.0.1"]}
        self.engine = engine
        engine.system.wiring.webhook_probe = HttpWebhookProbe(
            clock=engine.system.clock, transport=self.transport, resolve=self.resolve
        )
        self.client = engine.system.client(webhook_test.router)

    def answer(self, _request: Request) -> Scripted:
        if self.error is not None:
            raise self.error
        return Scripted(self.status, b"never read", {"location": "http://169.254.169.254/"})

    def resolve(self, host: str, port: int) -> Sequence[str]:
        if host not in self.addresses:
            raise socket.gaierror(-2, "unknown")
        return self.addresses[host]

    def test(self, path: str = "/api/cloud/webhook/test", **body: object) -> dict[str, object]:
        answer = self.client.post(path, json=body)
        assert answer.status_code == 200
        found: dict[str, object] = answer.json()
        assert found.keys() == {"success", "error", "latency_ms", "status_code", "method"}
        return found


@pytest.fixture
def world() -> Iterator[World]:
    with an_engine() as engine:
        engine.configure(webhook_url=WEBHOOK_URL)
        yield World(engine)


@pytest.mark.parametrize("path", ["/api/cloud/webhook/test", "/api/webhooks/test"])
@pytest.mark.parametrize("given", [WEBHOOK_URL, None, ""])
def test_the_configured_address_is_reached_at_its_pinned_address(world: World, path: str, given: str | None) -> None:
    result = world.test(path, webhook_url=given, provider="replicate", method="POST")
    assert (result["success"], result["status_code"], result["error"]) == (True, 401, None)
    (request,) = world.transport.requests
    assert (request.url, request.address) == (WEBHOOK_URL, PUBLIC)


@pytest.mark.parametrize(
    "url",
    [
        "https://jobs.example.com/api/webhooks/replicate/",
        "https://jobs.example.com/other",
        "https://jobs.example.com/api/cloud/webhook/replicate/api/cloud/webhook/replicate",
        "https://jobs.example.com/api/cloud/webhook/elsewhere",
        "https://evil.example/api/cloud/webhook/replicate",
        "https://evil.example",
        "https://jobs.example.com@evil.example/api/webhooks/replicate",
        "https://evil.example/?https://jobs.example.com/api/webhooks/replicate",
        "https://jobs.example.com\\@evil.example/api/webhooks/replicate",
        "https://jobs.exаmple.com/api/webhooks/replicate",
        "http://jobs.example.com/api/webhooks/replicate",
        "http://169.254.169.254/latest/meta-data",
        "http://169.254.100.1/",
        "http://127.0.0.1:9001/",
        "http://[::1]:9001/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "//127.0.0.1/",
        "x" * 1999,
    ],
)
def test_no_other_address_is_contacted(world: World, url: str) -> None:
    result = world.test(webhook_url=url)
    assert result["success"] is False
    assert result["error"]
    assert world.transport.requests == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.7"],
        ["169.254.169.254"],
        ["192.168.1.1"],
        ["100.64.0.1"],
        ["::1"],
        ["fd00::1"],
        ["fe80::1%eth0"],
        ["::ffff:10.0.0.1"],
        ["224.0.0.1"],
        ["0.0.0.0"],
        [PUBLIC, "10.0.0.7"],
        [],
    ],
)
def test_a_name_that_leads_into_a_private_network_is_not_contacted(world: World, addresses: list[str]) -> None:
    world.addresses["jobs.example.com"] = addresses
    assert world.test()["success"] is False
    assert world.transport.requests == []


@pytest.mark.parametrize(
    "configured",
    [
        "https://user:secret@jobs.example.com/x",
        "https://jobs.example.com:8443/x",
        "ftp://jobs.example.com/x",
        "http://jobs.example.com/x",
        "https://jobs.example.com:99999/x",
        "https://[::1/x",
        "https://",
    ],
)
def test_a_configured_address_of_another_kind_is_not_contacted(world: World, configured: str) -> None:
    world.engine.configure(webhook_url=configured)
    assert world.test()["success"] is False
    assert world.transport.requests == []


def test_http_is_for_loopback_only(world: World) -> None:
    world.engine.configure(webhook_url=LOCAL_URL)
    assert world.test()["success"] is True
    assert world.transport.urls == [LOCAL_URL]
    world.addresses["127.0.0.1"] = [PUBLIC]
    assert world.test()["success"] is False
    assert len(world.transport.requests) == 1


def test_this_deployments_own_address_needs_no_configuration() -> None:
    with an_engine(public_base_url="https://jobs.example.com/prod") as engine:
        world = World(engine)
        assert world.test(webhook_url="https://jobs.example.com/prod/api/webhooks/replicate")["success"] is True
        assert world.test()["success"] is False


@pytest.mark.parametrize(("status", "success"), [(200, True), (204, True), (401, True), (302, False), (404, False)])
def test_the_status_tells_and_no_redirect_is_followed(world: World, status: int, success: bool) -> None:
    world.status = status
    result = world.test()
    assert (result["success"], result["status_code"]) == (success, status)
    assert bool(result["error"]) is not success
    assert len(world.transport.requests) == 1


@pytest.mark.parametrize(
    "error",
    [
        NewConnectionError(HTTPConnection("x"), "refused"),
        ConnectTimeoutError("late"),
        ProtocolError("x"),
        SSLError("x"),
    ],
)
def test_an_address_that_does_not_answer_is_told(world: World, error: Exception) -> None:
    world.error = error
    result = world.test()
    assert (result["success"], result["status_code"], result["latency_ms"]) == (False, None, None)


def test_an_unknown_host_is_told(world: World) -> None:
    world.addresses.clear()
    assert world.test()["success"] is False


@pytest.mark.parametrize("method", ["direct", "replicate_cog", "POST", "DELETE", None])
def test_every_method_is_echoed_and_is_one_post(world: World, method: str | None) -> None:
    result = world.test(method=method)
    assert (result["success"], result["method"]) == (True, method or "direct")
    assert [request.method for request in world.transport.requests] == ["POST"]


@pytest.mark.parametrize("method", ["GET / HTTP/1.1", "a" * 41, "", "\u202edirect", "direct\n"])
def test_a_method_that_is_no_word_is_422(world: World, method: str) -> None:
    assert world.client.post("/api/webhooks/test", json={"method": method}).status_code == 422
    assert world.transport.requests == []


@pytest.mark.parametrize(
    "base", ["https://jobs.example.com", "https://jobs.example.com/", "https://jobs.example.com//"]
)
@pytest.mark.parametrize(
    ("given", "reached"),
    [
        (None, WEBHOOK_URL),
        (WEBHOOK_URL, WEBHOOK_URL),
        ("https://jobs.example.com", WEBHOOK_URL),
        ("https://jobs.example.com//api//webhooks/replicate", WEBHOOK_URL),
        (
            "https://jobs.example.com/api/cloud/webhook/replicate",
            "https://jobs.example.com/api/cloud/webhook/replicate",
        ),
        (f"{WEBHOOK_URL}/api/cloud/webhook/replicate", WEBHOOK_URL),
    ],
)
def test_a_base_address_is_tested_by_either_of_our_paths(
    world: World, base: str, given: str | None, reached: str
) -> None:
    world.engine.configure(webhook_url=base)
    assert world.test(webhook_url=given, method="direct")["success"] is True
    assert world.transport.urls == [reached]


def test_an_address_of_another_path_is_tested_by_simpletuners_path_behind_it(world: World) -> None:
    world.engine.configure(webhook_url="https://jobs.example.com/hook")
    assert world.test(webhook_url="https://jobs.example.com/hook/api/cloud/webhook/replicate")["success"] is True
    assert world.transport.urls == ["https://jobs.example.com/hook"]


def test_without_a_body_the_configured_address_is_tested(world: World) -> None:
    assert world.client.post("/api/webhooks/test").json()["success"] is True


def test_nothing_configured_is_told(world: World) -> None:
    world.engine.configure(webhook_url="")
    assert "No webhook URL" in str(world.test()["error"])
