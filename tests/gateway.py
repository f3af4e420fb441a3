"""A small API Gateway on loopback for tests: real sockets in front of the real handlers, and the management API behind.

It speaks HTTP API events (payload 2.0) and WebSocket events as AWS does, may lose pushes on demand, and serves what a
browser test needs. `Line` is a proxy that cuts connections after a planned number of bytes.
"""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import contextlib
import itertools
import json
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import uvicorn

from functions.http import create_ws_ticket, stream_events
from functions.socket import authorize, connect, disconnect, receive_message
from functions.work import push_events
from shared.adapters.aws.gateway_sender import GatewaySender
from shared.adapters.clock import SystemClock
from shared.telemetry import logger
from shared.wiring import use_wiring
from tests.delivery import Delivery
from tests.listener import a_listener

LIVE_JS = Path(__file__).resolve().parents[1] / "shared" / "web" / "live.js"
ROUTES: Mapping[tuple[str, str], Callable[[dict[str, Any], Any], dict[str, Any]]] = {
    ("GET", "/api/events"): stream_events.handler,
    ("POST", "/api/ws-tickets"): create_ws_ticket.handler,
}
STATIC = {"/live.js": ("text/javascript", LIVE_JS)}
Scope = dict[str, Any]


class Context:
    """What Lambda hands over beside the event; the time that is left is as configured for the function."""

    aws_request_id = "test"

    def __init__(self, seconds: float = 27.0) -> None:
        self._deadline = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - time.monotonic()) * 1000))


class Gateway:
    """The service of `world` on a free port. `loses` decides for each push whether it is lost on its way.

    The management API refuses requests to connections that are `throttled`, and answers no message to `hanging` ones.
    """

    def __init__(self, **settings: Any) -> None:
        self._socket = a_listener()
        self.port: int = self._socket.getsockname()[1]
        self.world = Delivery(
            clock=SystemClock(),
            sender=GatewaySender(self.url),
            **(
                {
                    "websocket_url": f"ws://127.0.0.1:{self.port}/",
                    "public_base_url": self.url,
                    "sse_connections_per_ip": 1000,
                }
                | settings
            ),
        )
        self.loses: Callable[[], bool] = lambda: False
        self.throttled: set[str] = set()
        self.hanging: set[str] = set()
        self.page = b"<!doctype html><title>test</title>"
        self.accepted_sockets = 0
        self.refuses_sockets = False
        self.refuses_streams = False
        self.fails_messages = False
        self._sockets: dict[str, Callable[[Scope], Coroutine[Any, Any, None]]] = {}
        self._loops: list[asyncio.AbstractEventLoop] = []
        self._pool = concurrent.futures.ThreadPoolExecutor(32, initializer=self._prepare_thread)
        self._stream = concurrent.futures.ThreadPoolExecutor(1)
        self._wakes = itertools.count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def publish(self, count: int = 1) -> None:
        """Commit changes and wake the pusher for each, as the stream does."""
        for _ in range(count):
            self.world.publish()
            self.wake()

    def wake(self) -> concurrent.futures.Future[dict[str, Any]]:
        record = {"dynamodb": {"SequenceNumber": str(next(self._wakes))}}
        return self._stream.submit(push_events.handler, {"Records": [record]}, Context())

    def settle(self) -> None:
        """Wait until every wake so far has been worked off."""
        self._stream.submit(int).result()

    @property
    def open_sockets(self) -> int:
        return len(self._sockets)

    @property
    def connection_ids(self) -> frozenset[str]:
        """Of the open sockets."""
        return frozenset(self._sockets)

    @property
    def listening(self) -> int:
        """How many connections have said hello and are entered as live."""
        return sum(1 for _ in self.world.stores.connections.all(now=self.world.clock.now()))

    def end_sockets(self) -> None:
        """End every WebSocket as the gateway does after two hours."""
        for send in list(self._sockets.values()):
            asyncio.run_coroutine_threadsafe(send({"type": "websocket.close", "code": 1001}), self._loop).result()

    @contextlib.contextmanager
    def running(self) -> Iterator[Gateway]:
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            ws="websockets-sansio",
            timeout_keep_alive=60,
        )
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        server = uvicorn.Server(config)
        ready = threading.Event()

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._loop.call_soon(ready.set)
            await server.serve(sockets=[self._socket])

        thread = threading.Thread(target=asyncio.run, args=(serve(),))
        level = logger.log_level
        logger.setLevel("ERROR")
        use_wiring(self.world.parts)
        thread.start()
        ready.wait(10)
        try:
            yield self
        finally:
            self._stream.shutdown()
            server.should_exit = True
            server.force_exit = True
            thread.join(20)
            self._pool.shutdown()
            for loop in self._loops:
                loop.close()
            self._socket.close()
            use_wiring(None)
            logger.setLevel(level)

    def _prepare_thread(self) -> None:
        """Mangum wants an event loop in the thread that calls a handler, as the main thread of a function has."""
        self._loops.append(asyncio.new_event_loop())
        asyncio.set_event_loop(self._loops[-1])

    async def _app(self, scope: Scope, receive: Callable[[], Any], send: Callable[[Scope], Any]) -> None:
        if scope["type"] == "websocket":
            await self._serve_socket(scope, receive, send)
        else:
            await self._serve_http(scope, receive, send)

    async def _call(self, handler: Callable[..., dict[str, Any]], event: dict[str, Any]) -> dict[str, Any]:
        return await asyncio.get_running_loop().run_in_executor(self._pool, handler, event, Context())

    async def _serve_http(self, scope: Scope, receive: Callable[[], Any], send: Callable[[Scope], Any]) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        method, path = scope["method"], scope["path"]
        headers: dict[str, str] = {}
        if path == "/api/events" and self.refuses_streams:
            status, answer = 503, b""
        elif path.startswith("/@connections/"):
            status, answer = await self._manage(method, path.rsplit("/", 1)[1], body), b""
        elif path in STATIC:
            headers["content-type"], file = STATIC[path]
            status, answer = 200, file.read_bytes()
        elif (method, path) in ROUTES:
            reply = await self._call(ROUTES[method, path], http_event(scope, body))
            status, headers = reply["statusCode"], reply["headers"]
            answer = base64.b64decode(reply["body"]) if reply["isBase64Encoded"] else reply["body"].encode()
        else:
            status, headers["content-type"], answer = 200, "text/html", self.page
        raw_headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw_headers})
        await send({"type": "http.response.body", "body": answer})

    async def _manage(self, method: str, connection_id: str, body: bytes) -> int:
        """The management API; a connection that ended answers 410."""
        if connection_id in self.throttled:
            return 429
        while method == "POST" and connection_id in self.hanging:  # noqa: ASYNC110 -- set from a test's thread
            await asyncio.sleep(0.01)
        deliver = self._sockets.get(connection_id)
        if deliver is None:
            return 410
        if method == "DELETE":
            await deliver({"type": "websocket.close", "code": 1000})
            return 204
        if not self.loses():
            try:
                await deliver({"type": "websocket.send", "text": body.decode()})
            except Exception:  # noqa: BLE001 -- whatever the server says, the connection is gone
                return 410
        return 200

    async def _serve_socket(self, scope: Scope, receive: Callable[[], Any], send: Callable[[Scope], Any]) -> None:
        await receive()
        connection_id = uuid.uuid4().hex
        event = socket_event(scope, connection_id)
        word = await self._call(authorize.handler, event | {"type": "REQUEST", "methodArn": "arn:test"})
        allowed = word["policyDocument"]["Statement"][0]["Effect"] == "Allow" and not self.refuses_sockets
        if allowed:
            event["requestContext"]["authorizer"] = {"principalId": word["principalId"], **word["context"]}
            allowed = (await self._call(connect.handler, event))["statusCode"] == 200
        if not allowed:
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept"})
        self._sockets[connection_id] = send
        self.accepted_sockets += 1
        tasks = set()
        while (message := await receive())["type"] == "websocket.receive":
            if self.fails_messages:
                await send({"type": "websocket.send", "text": failure_text(connection_id)})
                continue
            said = socket_event(scope, connection_id, kind="MESSAGE", body=message.get("text"))
            task = asyncio.create_task(self._call(receive_message.handler, said))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        del self._sockets[connection_id]
        await self._call(disconnect.handler, socket_event(scope, connection_id, kind="DISCONNECT"))


def http_event(scope: Scope, body: bytes) -> dict[str, Any]:
    """An event of an HTTP API, payload 2.0."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": scope["path"],
        "rawQueryString": scope["query_string"].decode(),
        "headers": headers,
        "requestContext": {
            "http": {
                "method": scope["method"],
                "path": scope["path"],
                "sourceIp": scope["client"][0],
                "protocol": "HTTP/1.1",
            },
            "stage": "$default",
        },
        "body": body.decode("latin-1"),
        "isBase64Encoded": False,
    }


def socket_event(scope: Scope, connection_id: str, *, kind: str = "CONNECT", body: str | None = None) -> dict[str, Any]:
    """An event of a WebSocket API. An unmatched action has it as `routeKey`, as the local emulator does (AWS-9)."""
    context = {"connectionId": connection_id, "eventType": kind, "routeKey": "hello" if body else f"${kind.lower()}"}
    event: dict[str, Any] = {"requestContext": context, "body": body, "isBase64Encoded": False}
    if kind == "CONNECT":
        event["multiValueHeaders"] = {}
        for name, value in scope["headers"]:
            event["multiValueHeaders"].setdefault(name.decode(), []).append(value.decode("latin-1"))
        event["multiValueQueryStringParameters"] = parse_qs(scope["query_string"].decode(), keep_blank_values=True)
    return event


def failure_text(connection_id: str) -> str:
    """What a WebSocket API tells the client when the function of a route failed or was throttled."""
    return json.dumps({"message": "Internal server error", "connectionId": connection_id, "requestId": "test"})


class Line:
    """A TCP line to a port that breaks off after `cut()` bytes of each connection's answer (None: it holds)."""

    def __init__(self, port: int, cut: Callable[[], int | None] = lambda: None) -> None:
        self._target = port
        self.cut = cut
        self._server = a_listener()
        self.port: int = self._server.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def open(self) -> Iterator[Line]:
        ready = threading.Event()
        done: asyncio.Event
        loop: asyncio.AbstractEventLoop

        async def serve() -> None:
            nonlocal done, loop
            done, loop = asyncio.Event(), asyncio.get_running_loop()
            server = await asyncio.start_server(self._relay, sock=self._server)
            ready.set()
            await done.wait()
            server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        thread = threading.Thread(target=asyncio.run, args=(serve(),))
        thread.start()
        ready.wait(10)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(done.set)
            thread.join(20)

    async def _relay(self, near: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        far, far_out = await asyncio.open_connection("127.0.0.1", self._target)
        upward = asyncio.create_task(_copy(near, far_out, None))
        downward = asyncio.create_task(_copy(far, near_out, self.cut()))
        try:
            await asyncio.wait({upward, downward}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (upward, downward):
                task.cancel()
            for writer in (near_out, far_out):
                writer.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter, left: int | None) -> None:
    """Copy until the end, or until `left` bytes are through."""
    with contextlib.suppress(ConnectionError):
        while left is None or left > 0:
            data = await source.read(65536 if left is None else min(left, 65536))
            if not data:
                return
            target.write(data)
            await target.drain()
            left = None if left is None else left - len(data)


def random_cuts(rng: random.Random, largest: int) -> Callable[[], int | None]:
    return lambda: rng.randrange(largest)
