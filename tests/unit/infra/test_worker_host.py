"""The host forks workers that answer on their caller's pipes, see edited code, and end with their caller."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.stack.environment import SHIM_FOLDER, aws_environment
from infra.local.stack.settings import read_settings
from infra.templates import REPOSITORY

SAMPLE = """
import os

def handler(event, context):
    print("a line of log")
    return {"said": "%s", "name": os.environ["AWS_LAMBDA_FUNCTION_NAME"], "pid": os.getpid()}
"""


class Worker:
    """What serverless-offline starts: a shell that runs `python3 -u <invoke.py> <path> <name>`."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            "python3 -u /nowhere/invoke.py sample handler",
            shell=True,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"event": {}, "context": {}}) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)["__offline_payload__"]
                return answer
        raise AssertionError("the worker ended without an answer")

    def end(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            return self.process.wait(10)
        finally:
            self.process.stdout.close()


@pytest.fixture(scope="module")
def code() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        (Path(folder) / "sample.py").write_text(SAMPLE % "first")
        yield Path(folder)


@pytest.fixture(scope="module")
def environment(code: Path) -> Iterator[dict[str, str]]:
    address = str(code / "socket")
    environment = {
        **os.environ,
        **aws_environment(read_settings({})),
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(code)]),
        "PATH": os.pathsep.join([str(SHIM_FOLDER), os.environ["PATH"]]),
        "LOCAL_PYTHON": sys.executable,
        "LOCAL_WORKER_HOST": address,
        "AWS_LAMBDA_FUNCTION_NAME": "sample-function",
    }
    environment.pop("VIRTUAL_ENV", None)
    command = [sys.executable, "-m", "infra.local.workers.worker_host", address]
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        assert host.stdout.readline().strip() == "ready"
        yield environment
        host.kill()


def test_worker_answers_every_call_with_its_callers_environment(environment: dict[str, str]) -> None:
    worker = Worker(environment)
    first, second = worker.call(), worker.call()
    assert first == second
    assert (first["said"], first["name"]) == ("first", "sample-function")
    worker.end()


def test_worker_ends_when_its_caller_closes_the_pipe(environment: dict[str, str]) -> None:
    worker = Worker(environment)
    pid = worker.call()["pid"]
    worker.end()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


def test_two_workers_run_beside_each_other(environment: dict[str, str]) -> None:
    workers = [Worker(environment), Worker(environment)]
    assert len({worker.call()["pid"] for worker in workers}) == 2
    for worker in workers:
        worker.end()


def test_new_worker_runs_edited_code(environment: dict[str, str], code: Path) -> None:
    before = Worker(environment)
    assert before.call()["said"] == "first"
    (code / "sample.py").write_text(SAMPLE % "edited and longer")
    after = Worker(environment)
    assert after.call()["said"] == "edited and longer"
    before.end()
    after.end()
