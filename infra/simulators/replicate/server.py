"""Serving the simulator: one coroutine for a process, a context manager for tests."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Unpack

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .asgi import SimulatorApp, Transports
from .clock import SimulatorClock
from .control import Control
from .options import OptionValues, SimulatorOptions
from .request_log import RequestLog
from .simulator import Simulator
from .webhook_sender import WebhookSender

_HOUSEKEEPING_SECONDS = 0.5
_KEEP_ALIVE_SECONDS = 75
_START_SECONDS = 10.0


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; raises OSError if the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's delay off only where the protocol is named; it costs 40 ms a request
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to its caller and tells when it listens."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class SimulatorServer:
    """Serves one simulator on one socket until it is told to stop."""

    def __init__(
        self, simulator: Simulator, listener: socket.socket, on_start: Callable[[], None] = lambda: None
    ) -> None:
        self._simulator = simulator
        self._listener = listener
        transports: Transports = {}
        self._app = SimulatorApp(simulator, transports)
        self._server = _Server(
            uvicorn.Config(
                self._app,
                http=_protocol_noting_transports(transports),
                ws="none",
                lifespan="off",
                log_level="critical",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=1,
                backlog=512,
            ),
            on_start,
        )
        host, port = listener.getsockname()[:2]
        self.origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        simulator.origin = self.origin

    def stop(self) -> None:
        """Ask `serve` to end; to be called in its event loop."""
        self._app.stop()
        self._server.should_exit = True

    async def serve(self) -> None:
        """Serve, send webhooks and start newcomers until stopped; the state is saved at the end.

        A background task that fails ends the serving and raises its error here.
        """
        background = [
            asyncio.create_task(WebhookSender(self._simulator).run()),
            asyncio.create_task(self._keep_house()),
        ]
        for task in background:
            task.add_done_callback(lambda _: self.stop())
        try:
            await self._server.serve(sockets=[self._listener])
        finally:
            for task in background:
                task.cancel()
            results = await asyncio.gather(*background, return_exceptions=True)
            self._simulator.save_if_changed()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _keep_house(self) -> None:
        while True:
            self._simulator.start_newcomer_if_due()
            self._simulator.save_if_changed()
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)


def _protocol_noting_transports(transports: Transports) -> type[asyncio.Protocol]:
    """uvicorn's HTTP protocol, which also notes the transport of each client."""

    class NotingProtocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if self.client is not None:
                transports[self.client] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            if self.client is not None:
                transports.pop(self.client, None)
            super().connection_lost(exc)

    return NotingProtocol


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """A simulator that serves on loopback."""

    simulator: Simulator
    control: Control
    origin: str
    """`http://127.0.0.1:<port>`, what the official client calls its base_url."""

    @property
    def base_url(self) -> str:
        """The origin with `/v1`."""
        return f"{self.origin}/v1"

    @property
    def control_url(self) -> str:
        return f"{self.origin}/_control"

    @property
    def requests(self) -> RequestLog:
        return self.simulator.requests


@contextlib.contextmanager
def running_simulator(
    clock: SimulatorClock | None = None, **options: Unpack[OptionValues]
) -> Iterator[RunningSimulator]:
    """Serve a simulator on a free port of 127.0.0.1 in a thread of its own while the context is open.

    `options` are those of `SimulatorOptions`. Without any it is empty: `control.create_job(...)` fills it.
    """
    simulator = Simulator(SimulatorOptions(**options), clock)
    listener = listen("127.0.0.1", 0)
    started = threading.Event()
    running: list[tuple[asyncio.AbstractEventLoop, SimulatorServer]] = []

    async def serve() -> None:
        server = SimulatorServer(simulator, listener, on_start=started.set)
        running.append((asyncio.get_running_loop(), server))
        await server.serve()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="replicate-simulator", daemon=True)
    thread.start()
    if not started.wait(_START_SECONDS):
        raise TimeoutError("the simulator did not start")
    loop, server = running[0]
    try:
        yield RunningSimulator(simulator, Control(simulator), server.origin)
    finally:
        loop.call_soon_threadsafe(server.stop)
        thread.join(_START_SECONDS)
