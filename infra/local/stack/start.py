"""Starts the whole local stack, waits until it answers, and ends all of it on Ctrl-C or SIGTERM.

Run as `python -m infra.local.stack.start` (`make run` installs what it needs first).
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import httpx

from infra.local.install import dynamodb_local
from infra.local.install.node_packages import OSLS, node_packages_are_current
from infra.local.install.runtimes import find_java, find_node
from infra.local.names import HOST, STAGE
from infra.local.stack.banner import ready_block
from infra.local.stack.emulators import aws_clients, create_queues_when_ready, create_tables_when_ready
from infra.local.stack.environment import check_function_settings, function_environment, secrets_file
from infra.local.stack.processes import Children, StackFailed, StackStopped
from infra.local.stack.settings import SIMULATOR_TOKEN, SettingsError, StackSettings, read_settings
from infra.local.stack.tables import TableDiffersError
from infra.local.stack.tcp_ports import PortInUseError, check_ports
from infra.local.triggers.invoker import LambdaInvoker
from infra.local.triggers.relays import Relays
from infra.local.triggers.service_definition import ServiceDefinition, read_service
from shared.domain.errors import ConfigurationError

READY_PATH = "/api/cloud/health/ready"
FIRST_DOWNLOAD_SECONDS = 900.0
START_SECONDS = 60.0


class Stack:
    """The parts of one local stack and the order in which they come up."""

    def __init__(self, settings: StackSettings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._service: ServiceDefinition = read_service()
        self._sockets = tempfile.mkdtemp(prefix="simpletuner-")
        self._worker_host = str(Path(self._sockets) / "workers")
        self._environment = function_environment(settings, self._service.timeouts, self._worker_host)
        self._children = Children(settings.data_dir / "logs", stop)
        self._started = time.monotonic()

    def run(self) -> None:
        """Brings everything up, then watches it until the stop. Raises StackFailed, StackStopped."""
        try:
            self._prepare_data_dir()
            self._install()
            self._start_parts()
            print(ready_block(self._settings, time.monotonic() - self._started), flush=True)
            while not self._stop.wait(0.5):
                self._children.check()
        finally:
            self._stop.set()
            self._children.stop_all()
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _say(self, what: str) -> None:
        print(f"  {time.monotonic() - self._started:5.1f} s  {what}", flush=True)

    def _prepare_data_dir(self) -> None:
        folder = self._settings.data_dir
        (folder / "dynamodb").mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        secrets = secrets_file(self._settings)
        if not secrets.exists():
            secrets.touch(mode=0o600)
            secrets.write_text("{}\n", encoding="utf-8")
        secrets.chmod(0o600)
        (folder / "logs").mkdir(exist_ok=True)
        logging.basicConfig(
            filename=folder / "logs" / "relays.log", filemode="w", format="%(asctime)s %(name)s %(message)s"
        )

    def _install(self) -> None:
        """In a program of its own, so that a stop ends a download too."""
        command = [sys.executable, "-m", "infra.local.install"]
        if not node_packages_are_current():
            self._say("installing the Node packages of package-lock.json (only when it changed)")
            self._children.run("install", [*command, "node"], self._environment, seconds=FIRST_DOWNLOAD_SECONDS)
        if not dynamodb_local.is_fetched():
            self._say("fetching DynamoDB Local and its libraries, 50 MB in 70 files (only once)")
            self._children.run("install", [*command, "database"], self._environment, seconds=FIRST_DOWNLOAD_SECONDS)

    def _start_parts(self) -> None:
        settings, children = self._settings, self._children
        python = sys.executable
        database = dynamodb_local.command(find_java(), settings.dynamodb_port, settings.data_dir / "dynamodb")
        children.start("dynamodb", database, self._environment)
        children.start(
            "moto",
            [python, "-m", "moto.server", "-H", HOST, "-p", str(settings.moto_port)],
            self._environment,
        )
        if settings.simulates_replicate:
            state = settings.data_dir / "simulator.json"
            simulator = [python, "-m", "infra.simulators.replicate"]
            options: list[str | Path] = ["--port", str(settings.simulator_port), "--state-file", state]
            children.start("simulator", [*simulator, *options], self._environment)
        children.start(
            "workers", [python, "-m", "infra.local.workers.worker_host", self._worker_host], self._environment
        )
        children.start("functions", [find_node(), OSLS, "offline", "--stage", STAGE], self._environment)
        clients = aws_clients(settings)
        tables = create_tables_when_ready(children, clients, START_SECONDS)
        self._say("DynamoDB Local answers, tables are there")
        queues = create_queues_when_ready(children, clients, START_SECONDS)
        self._say("moto answers, queues are there")
        if settings.simulates_replicate:
            children.wait_until("the Replicate simulator", self._simulator_answers, seconds=START_SECONDS)
            self._say("the Replicate simulator answers")
        children.wait_until("the host of workers", Path(self._worker_host).exists, seconds=START_SECONDS)
        children.wait_until("the HTTP API", self._api_is_ready, seconds=START_SECONDS)
        self._say("the functions answer")
        self._warm_up()
        self._say("the functions of a page are warm")
        relays = Relays(
            service=self._service,
            dynamodb=clients.dynamodb,
            streams=clients.streams,
            sqs=clients.sqs,
            tables=tables,
            queues=queues,
            invoker=LambdaInvoker(settings.lambda_url),
            stop=self._stop,
        )
        relays.start(settings.data_dir / "stream-positions.json")
        relays.fire_schedules()

    def _simulator_answers(self) -> bool:
        headers = {"Authorization": f"Bearer {SIMULATOR_TOKEN}"}
        return _answers(f"{self._settings.replicate_url}/account", headers)

    def _api_is_ready(self) -> bool:
        return _answers(self._settings.http_url + READY_PATH, {})

    def _warm_up(self) -> None:
        """Each path once; what it answers does not matter."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(lambda path: _answers(self._settings.http_url + path, {}), self._service.warm_up_paths))


def _answers(url: str, headers: dict[str, str]) -> bool:
    try:
        return httpx.get(url, headers=headers, timeout=20, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def stop_on_signals(stop: threading.Event) -> None:
    """Sets `stop` on Ctrl-C or SIGTERM, from a thread: who is interrupted may hold the lock that setting it takes."""
    reader, writer = os.pipe()

    def request_stop(signal_number: int, frame: FrameType | None) -> None:
        os.write(writer, b".")

    def wait_for_request() -> None:
        os.read(reader, 1)
        stop.set()

    threading.Thread(target=wait_for_request, name="signals", daemon=True).start()
    signal.signal(signal.SIGINT, request_stop)
    signal.signal(signal.SIGTERM, request_stop)


def main() -> int:
    """0 after a wanted stop, 1 when a part failed, 2 when the environment must change first."""
    stop = threading.Event()

    stop_on_signals(stop)
    try:
        settings = read_settings(os.environ)
        check_function_settings(function_environment(settings, {}))
        check_ports(settings.ports())
        print("Starting the local stack (Ctrl-C ends it)", flush=True)
        Stack(settings, stop).run()
    except (SettingsError, ConfigurationError, PortInUseError, TableDiffersError) as error:
        print(error, file=sys.stderr)
        return 2
    except StackFailed as error:
        print(f"The local stack could not go on: {error}", file=sys.stderr)
        return 1
    except StackStopped:
        pass
    print("Everything has ended.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
