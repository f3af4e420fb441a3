"""The gateway's process: three ports, the pool of functions, the queues, and everything that wakes a function.

python -m infra.local.gateway SOCKET_OF_WORKER_HOST: settings come from the environment that functions get, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from infra.local.gateway.admission import App, ForPrograms, ForThisMachine, answer_json, hosts_of, origins_of, own_hosts
from infra.local.gateway.http_api import HttpApi
from infra.local.gateway.program_api import ProgramApi
from infra.local.gateway.routes import http_routes, socket_routes
from infra.local.gateway.websocket_api import LARGEST_MESSAGE, WebSocketApi
from infra.local.names import HOST
from infra.local.queues.definitions import queue_names, queue_rules
from infra.local.queues.kept_queues import KeptQueues
from infra.local.queues.sqs_api import SqsApi
from infra.local.stack.emulators import aws_clients
from infra.local.stack.settings import StackSettings, read_settings
from infra.local.stack.tables import table_names
from infra.local.triggers.activity import Activity
from infra.local.triggers.invoker import InvocationFailed, Invoke
from infra.local.triggers.relays import Relays
from infra.local.triggers.service_definition import ServiceDefinition, read_service
from infra.local.workers.function_pool import FunctionFailed, FunctionPool
from infra.local.workers.wire import FunctionSpec

GRACE_SECONDS = 3.0
KEEP_ALIVE_SECONDS = 65
PATIENT_FUNCTIONS = {"keep_final_log", "trim_events"}
HOLDING_FUNCTIONS = {"stream_events"}
"""Whose calls wait more than they work."""
MOST_WORKERS = max(4, 2 * (os.cpu_count() or 1))
"""Of another function: more beside each other only make each slower, and conflicts more likely."""
BACKLOG = 1024


class _Server(uvicorn.Server):
    """One port; signals are the process's own business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: App) -> _Server:
    config = uvicorn.Config(
        app,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=LARGEST_MESSAGE,
        ws_ping_interval=None,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(GRACE_SECONDS),
        h11_max_incomplete_event_size=65_536,
    )
    return _Server(config)


def _listener(port: int) -> socket.socket:
    """Named as TCP, so that asyncio sends small answers at once."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    listener.listen(BACKLOG)
    return listener


class Gateway:
    """Everything in this process, in the order in which it comes up and ends."""

    def __init__(self, settings: StackSettings, worker_host: Path) -> None:
        self._settings = settings
        self._worker_host = worker_host
        self._service = read_service()
        self._stop_relays = threading.Event()
        self._ended_badly = False

    async def run(self) -> int:
        """Serves until SIGTERM, or until a relay dies; the process's exit code."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        activity = Activity(lambda: pool.running > 0)
        pool = FunctionPool(self._worker_host, self._settings.workers, activity.note)
        specs = _specs(self._service, self._settings.workers)

        async def call(function: str, event: dict[str, Any]) -> Any:
            return await pool.call(specs[function], event)

        queues = KeptQueues(self._settings.data_dir / "queues.db", queue_rules())
        relays = self._relays(queues, _invoke_in(loop, call), activity, lambda: self._die(loop, stop))
        await asyncio.to_thread(relays.take_places, self._settings.data_dir / "stream-positions.json")
        servers = self._servers(call, queues)
        serving = [asyncio.create_task(server.serve(sockets=[listener])) for server, listener in servers]
        relays.start()
        relays.start_schedules()
        await stop.wait()
        self._stop_relays.set()
        queues.wake()
        *for_clients, (for_programs, _) = servers
        for server, _ in for_clients:
            server.should_exit = True
        await asyncio.wait(serving[:-1], timeout=GRACE_SECONDS)
        # Functions that still run ask this port for queues and sockets.
        await pool.close(GRACE_SECONDS)
        for_programs.should_exit = True
        await asyncio.wait(serving, timeout=GRACE_SECONDS)
        return int(self._ended_badly)

    def _die(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        self._ended_badly = True
        loop.call_soon_threadsafe(stop.set)

    def _relays(self, queues: KeptQueues, invoke: Invoke, activity: Activity, on_death: Callable[[], None]) -> Relays:
        clients = aws_clients(self._settings)
        return Relays(
            service=self._service,
            dynamodb=clients.dynamodb,
            streams=clients.streams,
            queues=queues,
            tables=table_names(),
            queue_names=queue_names(),
            invoke=invoke,
            activity=activity,
            stop=self._stop_relays,
            on_death=on_death,
        )

    def _servers(self, call: Callable[..., Any], queues: KeptQueues) -> list[tuple[_Server, socket.socket]]:
        """Those for clients, then the one for programs."""
        settings, functions = self._settings, self._service.functions
        public = [os.environ.get("PUBLIC_BASE_URL", ""), *os.environ.get("ALLOWED_ORIGINS", "").split(",")]
        origins = origins_of([*public, *(f"http://{host}" for host in own_hosts(settings.http_port))])
        http_hosts = own_hosts(settings.http_port) | hosts_of(public)
        socket_hosts = own_hosts(settings.websocket_port) | hosts_of(public)
        sockets = WebSocketApi(socket_routes(functions), call)
        names = {account_name: name for name, account_name in self._service.account_names.items()}
        programs = ProgramApi(names, call, SqsApi(queues, settings.lambda_url), sockets)
        page = f"{settings.http_url}/"
        apps: dict[int, App] = {
            settings.http_port: ForThisMachine(HttpApi(http_routes(functions), call), http_hosts, origins, page),
            settings.websocket_port: ForThisMachine(_sockets_only(sockets), socket_hosts, origins, page),
            settings.lambda_port: ForPrograms(
                programs, own_hosts(settings.lambda_port), settings.key, str(settings.key_file)
            ),
        }
        return [(_server(app), _listener(port)) for port, app in apps.items()]


def _sockets_only(sockets: WebSocketApi) -> App:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await sockets(scope, receive, send)
        else:
            await answer_json(scope, send, 426, {"message": "Upgrade Required"}, [(b"upgrade", b"websocket")])

    return app


def _specs(service: ServiceDefinition, workers: int) -> dict[str, FunctionSpec]:
    return {
        name: FunctionSpec(
            service.account_names[name],
            function["handler"],
            service.timeouts[name],
            service.memories[name],
            most_workers=workers // 2 if name in HOLDING_FUNCTIONS else MOST_WORKERS,
            patient=name in PATIENT_FUNCTIONS,
        )
        for name, function in service.functions.items()
    }


def _invoke_in(loop: asyncio.AbstractEventLoop, call: Callable[..., Any]) -> Invoke:
    """For relays, which run on threads of their own."""

    def invoke(function: str, event: dict[str, Any]) -> Any:
        try:
            return asyncio.run_coroutine_threadsafe(call(function, event), loop).result()
        except FunctionFailed as error:
            raise InvocationFailed(f"{function}: {error}") from error

    return invoke


def main() -> int:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s", stream=sys.stdout)
    return asyncio.run(Gateway(read_settings(os.environ), Path(sys.argv[1])).run())


if __name__ == "__main__":
    sys.exit(main())
