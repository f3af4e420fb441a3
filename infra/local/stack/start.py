"""Starts the whole local stack, waits until it answers, and ends all of it on Ctrl-C or SIGTERM.

Run as `python -m infra.local.stack.start` (`make run` installs what it needs first).
"""

from __future__ import annotations

import contextlib
import json
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
from infra.local.install.runtimes import find_java
from infra.local.names import REGION
from infra.local.stack.banner import ready_block
from infra.local.stack.data_dir import DataDirInUseError, prepared_data_dir
from infra.local.stack.emulators import aws_clients, create_tables_when_ready
from infra.local.stack.environment import check_function_settings, function_environment
from infra.local.stack.processes import Children, StackFailed, StackStopped
from infra.local.stack.settings import SettingsError, StackSettings, read_settings
from infra.local.stack.tables import TableDiffersError
from infra.local.stack.tcp_ports import PortInUseError, check_ports
from infra.local.triggers.service_definition import read_service
from shared.domain.errors import ConfigurationError

READY_PATH = "/api/cloud/health/ready"
POLLING_LINE = "job status polling"
FIRST_DOWNLOAD_SECONDS = 900.0
START_SECONDS = 60.0


class Stack:
    """The parts of one local stack and the order in which they come up."""

    def __init__(self, settings: StackSettings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._sockets = tempfile.mkdtemp(prefix="simpletuner-")
        self._worker_host = str(Path(self._sockets) / "workers")
        self._environment = function_environment(settings, settings.key)
        self._children = Children(settings.data_dir / "logs", stop)
        self._started = time.monotonic()

    def run(self) -> None:
        """Brings everything up, then watches it until the stop. Raises StackFailed, StackStopped."""
        try:
            self._install()
            self._start_parts()
            print(ready_block(self._settings, time.monotonic() - self._started), flush=True)
            while not self._stop.wait(1.0):
                self._children.check()
        finally:
            self._stop.set()
            self._children.stop_all()
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _say(self, what: str) -> None:
        print(f"  {time.monotonic() - self._started:5.1f} s  {what}", flush=True)

    def _install(self) -> None:
        """In a program of its own, so that a stop ends a download too."""
        if not dynamodb_local.is_fetched():
            self._say("fetching DynamoDB Local and its libraries, 50 MB in 70 files (only once)")
            command = [sys.executable, "-m", "infra.local.install", "database"]
            self._children.run("install", command, self._environment, seconds=FIRST_DOWNLOAD_SECONDS)

    def _start_parts(self) -> None:
        """The gateway last: before it listens, every stream's reader has taken its place (I45)."""
        settings, children = self._settings, self._children
        python = sys.executable
        tables = settings.data_dir / "dynamodb"
        dynamodb_local.take_over_shared_tables(settings.key, REGION, tables)
        database = dynamodb_local.command(find_java(), settings.dynamodb_port, tables)
        children.start("dynamodb", database, self._environment)
        if settings.simulates_replicate:
            state = settings.data_dir / "simulator.json"
            simulator = [python, "-m", "infra.simulators.replicate", "--port", str(settings.simulator_port)]
            secret = {"SIMULATOR_TOKEN": settings.simulator_token, "SIMULATOR_CONTROL_KEY": settings.key}
            children.start("simulator", [*simulator, "--state-file", state], {**self._environment, **secret})
        host = [python, "-m", "infra.local.workers.worker_host", self._worker_host]
        functions = children.start("functions", host, self._environment)
        create_tables_when_ready(children, aws_clients(settings), START_SECONDS)
        self._say("DynamoDB Local answers, tables are there")
        if settings.simulates_replicate:
            children.wait_until("the Replicate simulator", self._simulator_answers, seconds=START_SECONDS)
            self._say("the Replicate simulator answers")
        children.wait_until("the host of workers", Path(self._worker_host).exists, seconds=START_SECONDS)
        children.start("gateway", [python, "-m", "infra.local.gateway", self._worker_host], self._environment)
        children.wait_until("the HTTP API", self._api_is_ready, seconds=START_SECONDS)
        self._say("the functions answer")
        self._warm_up()
        self._say("the functions of a page are warm")
        children.wait_until("the decision on polling", lambda: bool(_line(functions.log)), seconds=START_SECONDS)
        self._say(_line(functions.log))

    def _simulator_answers(self) -> bool:
        headers = {"Authorization": f"Bearer {self._settings.simulator_token}"}
        return _answers(f"{self._settings.replicate_url}/account", headers)

    def _api_is_ready(self) -> bool:
        return _answers(self._settings.http_url + READY_PATH, {})

    def _warm_up(self) -> None:
        """Each path once; what it answers does not matter."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            paths = read_service().warm_up_paths
            list(pool.map(lambda path: _answers(self._settings.http_url + path, {}), paths))


def _line(log: Path) -> str:
    """What the functions decided on polling; empty until they have."""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if POLLING_LINE in line:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                return str(json.loads(line)["message"])
    return ""


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
        check_function_settings(function_environment(settings, "none"))
        check_ports(settings.ports())
        with prepared_data_dir(settings):
            print("Starting the local stack (Ctrl-C ends it)", flush=True)
            Stack(settings, stop).run()
    except (SettingsError, ConfigurationError, PortInUseError, DataDirInUseError, TableDiffersError) as error:
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
