"""serverless-offline judges our gateway: the same request becomes the same event, but for what is known to differ."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from websockets.sync.client import connect

from infra.local.gateway.http_api import HttpApi
from infra.local.gateway.routes import http_routes, socket_routes
from infra.local.gateway.websocket_api import WebSocketApi
from infra.local.install.node_packages import NODE_MODULES, install_node_packages
from infra.local.names import HOST
from infra.local.stack.processes import Children
from infra.local.stack.tcp_ports import free_ports
from infra.local.triggers.service_definition import read_service
from infra.templates import REPOSITORY
from tests.listener import a_listener

pytestmark = pytest.mark.local

SERVICE = """
service: judged
frameworkVersion: "4"
provider:
  name: aws
  runtime: python3.13
  memorySize: 128
  httpApi:
    payload: "2.0"
  websocketsApiRouteSelectionExpression: $request.body.action
plugins: [serverless-offline]
custom:
  serverless-offline:
    host: 127.0.0.1
    httpPort: {http}
    websocketPort: {socket}
    lambdaPort: {lambdas}
    noPrependStageInUrl: true
    noSponsor: true
functions:
  echo:
    handler: echo.handler
    events:
      - httpApi: GET /things
      - httpApi: GET /things/{{thing}}
      - httpApi: POST /things/{{thing}}/parts/{{part}}
      - httpApi: "*"
  hear:
    handler: echo.hear
    events:
      - websocket: {{route: $connect}}
      - websocket: {{route: $disconnect}}
      - websocket: {{route: $default}}
"""
ECHO = """
import json, pathlib

def handler(event, context):
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(event)}

def hear(event, context):
    with pathlib.Path(__file__).with_name("heard.jsonl").open("a") as heard:
        heard.write(json.dumps(event) + "\\n")
    return {"statusCode": 200}
"""
REQUESTS = [
    ("GET", "/things", {}, ""),
    ("GET", "/things?a=1&b=two+words&a=3&empty=", {"X-Custom": "v"}, ""),
    ("GET", "/things/one", {"Cookie": "a=1; b=2"}, ""),
    ("POST", "/things/one/parts/2", {"Content-Type": "application/json"}, '{"ü": [1, 2]}'),
    ("POST", "/elsewhere", {"Content-Type": "text/plain"}, "text"),
    ("DELETE", "/things/one", {}, ""),
]
COMPARED = (
    "queryStringParameters",
    "version",
    "routeKey",
    "rawPath",
    "rawQueryString",
    "cookies",
    "queryStringParameters",
    "pathParameters",
    "body",
)


class Ours:
    """The same service behind our own gateway, its functions called in this process."""

    def __init__(self, folder: Path) -> None:
        definition = read_service(folder / "serverless.yml")
        functions = dict(definition.functions)
        functions["hear"] = {
            **functions["hear"],
            "events": [
                {"websocket": {**event["websocket"], "authorizer": {"name": "allow"}}}
                for event in functions["hear"]["events"]
            ],
        }
        self.heard: list[dict[str, Any]] = []
        self._socket = a_listener()
        self.port: int = self._socket.getsockname()[1]
        self._apps: dict[str, Any] = {
            "http": HttpApi(http_routes(functions), self._call),
            "websocket": WebSocketApi(socket_routes(functions), self._call),
        }
        config = uvicorn.Config(self._app, interface="asgi3", lifespan="off", log_config=None, ws="websockets-sansio")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await self._apps[scope["type"]](scope, receive, send)

    async def _call(self, function: str, event: dict[str, Any]) -> Any:
        await asyncio.sleep(0)
        if function == "allow":
            return {"principalId": "me", "policyDocument": {"Statement": [{"Effect": "Allow"}]}}
        if function == "hear":
            self.heard.append(event)
            return {"statusCode": 200}
        return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(event)}


class Judge:
    """serverless-offline with that service; `ports` are those of HTTP and of WebSockets."""

    def __init__(self, folder: Path, http: int, sockets: int) -> None:
        self.folder = folder
        self.http = http
        self.sockets = sockets

    @property
    def heard(self) -> list[dict[str, Any]]:
        path = self.folder / "heard.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judged")
    http, sockets, lambdas = free_ports(3)
    (folder / "serverless.yml").write_text(SERVICE.format(http=http, socket=sockets, lambdas=lambdas))
    (folder / "echo.py").write_text(ECHO)
    (folder / "ports").write_text(f"{http} {sockets}")
    return folder


@pytest.fixture(scope="module")
def judge(folder: Path) -> Iterator[Judge]:
    install_node_packages()
    (folder / "node_modules").symlink_to(NODE_MODULES)
    http, sockets = (int(port) for port in (folder / "ports").read_text().split())
    children = Children(folder / "logs", threading.Event())
    run = "from infra.local.install.node_program import main; main(*sys.argv[2:])"
    program = f"import os, sys; os.chdir(sys.argv[1]); {run}"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    children.start("judge", [sys.executable, "-c", program, folder, "osls", "offline"], environment)
    children.wait_until("serverless-offline", lambda: _listens(http) and _listens(sockets), seconds=120)
    yield Judge(folder, http, sockets)
    children.stop_all()


@pytest.fixture(scope="module")
def ours(folder: Path) -> Iterator[Ours]:
    gateway = Ours(folder)
    gateway.start()
    yield gateway
    gateway.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _ask(port: int, method: str, path: str, headers: dict[str, str], body: str) -> dict[str, Any]:
    line = http.client.HTTPConnection(HOST, port, timeout=60)
    line.request(method, path, body.encode() or None, {"User-Agent": "judge", **headers})
    event: dict[str, Any] = json.loads(line.getresponse().read())
    line.close()
    return event


@pytest.mark.parametrize(("method", "path", "headers", "body"), REQUESTS)
def test_a_request_becomes_the_same_event(
    judge: Judge, ours: Ours, method: str, path: str, headers: dict[str, str], body: str
) -> None:
    theirs, own = _ask(judge.http, method, path, headers, body), _ask(ours.port, method, path, headers, body)
    # Its own: `$default` has no path parameters on AWS.
    (theirs.get("pathParameters") or {}).pop("default", None)
    for field in COMPARED:
        assert (own.get(field) or None) == (theirs.get(field) or None), field
    for name in ("method", "path", "sourceIp", "userAgent"):
        assert own["requestContext"]["http"][name] == theirs["requestContext"]["http"][name], name
    for name in (*headers, "User-Agent"):
        if name != "Cookie":
            assert own["headers"][name.lower()] == theirs["headers"][name.lower()]


def test_a_websocket_is_told_in_the_same_events(judge: Judge, ours: Ours) -> None:
    for port in (judge.sockets, ours.port):
        with connect(f"ws://{HOST}:{port}/?ticket=t&a=1", proxy=None) as line:
            line.send('{"action": "hello"}')
            time.sleep(1)
    deadline = time.monotonic() + 30
    while (len(judge.heard) < 3 or len(ours.heard) < 3) and time.monotonic() < deadline:
        time.sleep(0.1)
    for own, theirs in zip(ours.heard, judge.heard, strict=True):
        assert own["requestContext"]["eventType"] == theirs["requestContext"]["eventType"]
        assert own.get("body") == theirs.get("body")
        assert own.get("queryStringParameters") == theirs.get("queryStringParameters")
        assert set(own["requestContext"]) >= {"connectionId", "routeKey", "requestId", "identity", "stage"}
    assert [event["requestContext"]["eventType"] for event in ours.heard] == ["CONNECT", "MESSAGE", "DISCONNECT"]
