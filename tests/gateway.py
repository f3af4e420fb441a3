"""The local gateway for tests: real sockets in front of real handlers of this process, and faults on demand.

It is `infra.local.gateway` over fakes instead of worker processes; it may lose pushes, refuse and hang, and serves what
a browser test needs. `Line` is a proxy that cuts connections after a planned number of bytes.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import uvicorn

from functions.http import create_ws_ticket, stream_events
from functions.socket import authorize, connect, disconnect, receive_message
from functions.work import push_events
from infra.local.gateway.http_api import HttpApi
from infra.local.gateway.routes import http_routes, socket_routes
from infra.local.gateway.websocket_api import WebSocketApi
from infra.local.triggers.service_definition import read_service
from shared.adapters.aws.gateway_sender import GatewaySender
from shared.adapters.clock import SystemClock
from shared.telemetry import logger
from shared.wiring import use_wiring
from tests.delivery import Delivery
from tests.listener import a_listener

LIVE_JS = Path(__file__).resolve().parents[1] / "shared" / "web" / "live.js"
HANDLERS: Mapping[str, Callable[[dict[str, Any], Any], Any]] = {
    "stream_events": stream_events.handler,
    "create_ws_ticket": create_ws_ticket.handler,
    "authorize": authorize.handler,
    "connect": connect.handler,
    "receive_message": receive_message.handler,
    "disconnect": disconnect.handler,
}
PATHS = {"/api/events", "/api/ws-tickets"}
Scope = Any


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
        functions = read_service().functions
        self._http = HttpApi(http_routes(functions), self._call)
        self._sockets = WebSocketApi(socket_routes(functions), self._call)
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
        return len(self._sockets.connections)

    @property
    def connection_ids(self) -> frozenset[str]:
        """Of the open sockets."""
        return frozenset(self._sockets.connections)

    @property
    def listening(self) -> int:
        """How many connections have said hello and are entered as live."""
        return sum(1 for _ in self.world.stores.connections.all(now=self.world.clock.now()))

    def end_sockets(self) -> None:
        """End every WebSocket as the gateway does after two hours."""

        async def end_all() -> None:
            for connection in list(self._sockets.connections.values()):
                await connection.send({"type": "websocket.close", "code": 1001})

        asyncio.run_coroutine_threadsafe(end_all(), self._loop).result()

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
            await self._sockets(scope, receive, send)
        elif scope["path"].startswith("/@connections/"):
            await self._manage(scope, receive, send)
        elif scope["path"] == "/api/events" and self.refuses_streams:
            await _answer(send, 503, b"", b"text/plain")
        elif scope["path"] in PATHS:
            await self._http(scope, receive, send)
        elif scope["path"] == "/live.js":
            await _answer(send, 200, LIVE_JS.read_bytes(), b"text/javascript")
        else:
            await _answer(send, 200, self.page, b"text/html")

    async def _call(self, function: str, event: dict[str, Any]) -> Any:
        """Raises RuntimeError for a message where messages shall fail."""
        if function == "authorize" and self.refuses_sockets:
            return {"principalId": "nobody", "policyDocument": {"Statement": [{"Effect": "Deny"}]}}
        if function == "receive_message" and self.fails_messages:
            raise RuntimeError("the function failed")
        answer = await asyncio.get_running_loop().run_in_executor(self._pool, HANDLERS[function], event, Context())
        self.accepted_sockets += function == "connect" and answer["statusCode"] == 200
        return answer

    async def _manage(self, scope: Scope, receive: Callable[[], Any], send: Callable[[Scope], Any]) -> None:
        connection_id = scope["path"].removeprefix("/@connections/")
        while scope["method"] == "POST" and connection_id in self.hanging:  # noqa: ASYNC110 -- set from a test's thread
            await asyncio.sleep(0.01)
        if connection_id in self.throttled:
            await _answer(send, 429, b"", b"text/plain")
        elif scope["method"] == "POST" and connection_id in self._sockets.connections and self.loses():
            await _answer(send, 200, b"", b"text/plain")
        else:
            await self._sockets.manage(scope, receive, send)


async def _answer(send: Callable[[Scope], Any], status: int, body: bytes, content_type: bytes) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


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
