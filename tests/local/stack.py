"""A local stack of a test's own: free ports, own data directory, ended without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from infra.local.install import dynamodb_local
from infra.local.install.runtimes import find_java
from infra.local.names import HOST, REGION
from infra.local.stack.processes import Children
from infra.local.stack.settings import DEFAULT_PORTS
from infra.local.stack.tcp_ports import free_ports
from infra.templates import REPOSITORY

START_SECONDS = 150.0
STOP_SECONDS = 20.0
STARTER = (sys.executable, "-m", "infra.local.stack.start")
MAKE_RUN = ("make", "run")
_MARK = "SIMPLETUNER_TEST_STACK"


class RunningStack:
    """One stack. Addresses are `http_url, ws_url, lambda_url, simulator_url, simulator_control_url`."""

    def __init__(
        self, data_dir: Path, command: Sequence[str] = STARTER, environment: Mapping[str, str] | None = None
    ) -> None:
        self.data_dir = data_dir
        self.command = tuple(command)
        self.ports = dict(zip(DEFAULT_PORTS, free_ports(len(DEFAULT_PORTS)), strict=True))
        self.output_file = data_dir.with_name(data_dir.name + "-output.log")
        self._extra = dict(environment or {})
        self._mark = uuid4().hex
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.stop()

    @property
    def http_url(self) -> str:
        return f"http://{HOST}:{self.ports['HTTP_PORT']}"

    @property
    def ws_url(self) -> str:
        return f"ws://{HOST}:{self.ports['WS_PORT']}"

    @property
    def lambda_url(self) -> str:
        return f"http://{HOST}:{self.ports['LAMBDA_PORT']}"

    @property
    def dynamodb_url(self) -> str:
        return f"http://{HOST}:{self.ports['DYNAMODB_PORT']}"

    @property
    def key(self) -> str:
        """What the ports for programs want."""
        return (self.data_dir / "access-key").read_text().strip()

    @property
    def simulator_token(self) -> str:
        return f"r8_{self.key}"

    @property
    def control_headers(self) -> dict[str, str]:
        """What the simulator's control wants."""
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def simulator_url(self) -> str:
        return f"http://{HOST}:{self.ports['SIMULATOR_PORT']}"

    @property
    def simulator_control_url(self) -> str:
        return f"{self.simulator_url}/_control"

    @property
    def output(self) -> str:
        """What the starter printed, on both channels."""
        return self.output_file.read_text(encoding="utf-8", errors="replace")

    def launch(self) -> None:
        """Starts the starter and returns at once."""
        environment = {
            **os.environ,
            **{name: str(port) for name, port in self.ports.items()},
            "DATA_DIR": str(self.data_dir),
            _MARK: self._mark,
            **self._extra,
        }
        with self.output_file.open("wb") as output:
            self._process = subprocess.Popen(
                self.command,
                cwd=REPOSITORY,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start(self) -> float:
        """Seconds until the stack said that it is ready. Raises AssertionError with its output when it fails."""
        began = time.monotonic()
        self.launch()
        while "is ready, after" not in self.output:
            assert self.exit_code() is None, self.output
            if time.monotonic() - began > START_SECONDS:
                self.stop()
                raise AssertionError(self.output)
            time.sleep(0.1)
        return time.monotonic() - began

    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def send(self, signal_number: signal.Signals) -> None:
        """To the started program alone, not to its group."""
        assert self._process is not None
        self._process.send_signal(signal_number)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        assert self._process is not None
        return self._process.wait(seconds)

    def stop(self) -> None:
        if self.exit_code() is None and self._process is not None:
            self.send(signal.SIGTERM)
            self.wait()

    def process_ids(self) -> dict[int, str]:
        """Every process that this stack started and that still runs, with its command line."""
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdecimal():
                continue
            try:
                environment = (folder / "environ").read_bytes()
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if f"{_MARK}={self._mark}".encode() in environment.split(b"\0"):
                found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")
        return found


@contextmanager
def in_memory_dynamodb(log_dir: Path, options: Sequence[str] = dynamodb_local.QUICK_START) -> Iterator[str]:
    """DynamoDB Local that keeps nothing; gives its address."""
    dynamodb_local.fetch_when_missing()
    (port,) = free_ports(1)
    url = f"http://{HOST}:{port}"
    children = Children(log_dir, threading.Event())
    client = boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=5),
    )

    def answers() -> bool:
        try:
            client.list_tables()
        except BotoCoreError:
            return False
        return True

    try:
        children.start("dynamodb", dynamodb_local.command(find_java(), port, None, options), os.environ)
        children.wait_until("DynamoDB Local", answers, seconds=60)
        yield url
    finally:
        children.stop_all()
