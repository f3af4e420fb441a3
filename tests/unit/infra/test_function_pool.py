"""Functions run in a bounded number of forked workers, which see edited code and end when nobody needs them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.stack.environment import aws_environment
from infra.local.stack.settings import read_settings
from infra.local.workers import function_pool
from infra.local.workers.function_pool import FunctionFailed, FunctionPool
from infra.local.workers.wire import FunctionSpec
from infra.templates import REPOSITORY

SAMPLE = """
import os, signal, time

def handler(event, context):
    print("a line of log")
    if event.get("sleep"):
        time.sleep(event["sleep"])
    if event.get("fail"):
        raise RuntimeError("boom")
    if event.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if event.get("deaf"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(60)
    name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
    return {"said": "%s", "name": name, "pid": os.getpid(), "big": "x" * event.get("big", 0)}
"""


def _spec(name: str = "sample", timeout: float = 20, most: int = 4) -> FunctionSpec:
    return FunctionSpec(name, "sample.handler", timeout, 512, most_workers=most)


@pytest.fixture(scope="module")
def code() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        (Path(folder) / "sample.py").write_text(SAMPLE % "first")
        yield Path(folder)


@pytest.fixture(scope="module")
def host(code: Path) -> Iterator[Path]:
    address = code / "socket"
    path = os.pathsep.join([str(REPOSITORY), str(code)])
    environment = {**os.environ, **aws_environment(read_settings({}), "LOCAL"), "PYTHONPATH": path}
    command = [sys.executable, "-m", "infra.local.workers.worker_host", str(address)]
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        yield address
        process.kill()


Use = Callable[[FunctionPool], Awaitable[Any]]


def _with_pool(host: Path, use: Use, limit: int = 8) -> Any:
    async def run() -> Any:
        pool = FunctionPool(host, limit)
        try:
            async with asyncio.timeout(60):
                return await use(pool)
        finally:
            await pool.close(5)

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


def test_a_worker_is_used_again_and_knows_its_functions_name(host: Path) -> None:
    async def use(pool: FunctionPool) -> list[Any]:
        return [await pool.call(_spec("mine"), {}) for _ in range(3)]

    answers = _with_pool(host, use)
    assert len({answer["pid"] for answer in answers}) == 1
    assert (answers[0]["said"], answers[0]["name"]) == ("first", "mine")


def test_calls_at_once_are_capped_and_every_one_is_answered(host: Path) -> None:
    sizes: list[int] = []

    async def use(pool: FunctionPool) -> list[Any]:
        async def one(number: int) -> Any:
            answer = await pool.call(_spec(f"f{number % 3}"), {"sleep": 0.01})
            sizes.append(pool.size)
            return answer

        return await asyncio.gather(*(one(number) for number in range(300)))

    answers = _with_pool(host, use, limit=4)
    assert len(answers) == 300
    assert max(sizes) <= 4
    assert {answer["name"] for answer in answers} == {"f0", "f1", "f2"}


def test_one_function_takes_as_many_as_it_may_and_lets_others_through(host: Path) -> None:
    async def use(pool: FunctionPool) -> int:
        many = [asyncio.ensure_future(pool.call(_spec("greedy", most=2), {"sleep": 0.2})) for _ in range(6)]
        await asyncio.sleep(0.1)
        size = pool.size
        await pool.call(_spec("other"), {})
        unfinished = sum(1 for one in many if not one.done())
        await asyncio.gather(*many)
        return size if unfinished else -1

    assert _with_pool(host, use, limit=4) == 2


def test_idle_workers_beyond_a_few_end(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function_pool, "REAP_SECONDS", 0.05)
    monkeypatch.setattr(function_pool, "IDLE_SECONDS", 0.1)
    monkeypatch.setattr(function_pool, "KEPT_IDLE", 2)

    async def use(pool: FunctionPool) -> tuple[list[Any], int]:
        answers = await asyncio.gather(*(pool.call(_spec(f"f{number}"), {}) for number in range(6)))
        while pool.size > 2:  # noqa: ASYNC110 - the time-out of the test ends it
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        return answers, pool.size

    answers, size = _with_pool(host, use)
    assert size == 2
    assert sum(1 for answer in answers if Path(f"/proc/{answer['pid']}").exists()) <= 2


@pytest.mark.parametrize(
    ("event", "kind"),
    [({"fail": 1}, "RuntimeError"), ({"die": 1}, "Runtime.ExitError"), ({"deaf": 1}, "Sandbox.Timedout")],
)
def test_a_failed_call_is_told_and_the_next_one_served(
    host: Path, monkeypatch: pytest.MonkeyPatch, event: dict[str, Any], kind: str
) -> None:
    monkeypatch.setattr(function_pool, "SLACK_SECONDS", 0.5)

    async def use(pool: FunctionPool) -> tuple[str, Any, int]:
        with pytest.raises(FunctionFailed) as failed:
            await pool.call(_spec(timeout=1), event)
        return failed.value.report["errorType"], await pool.call(_spec(timeout=1), {}), pool.size

    told, answer, size = _with_pool(host, use)
    assert told == kind
    assert answer["said"] == "first"
    assert size == 1


def test_a_worker_killed_while_idle_is_replaced(host: Path) -> None:
    async def use(pool: FunctionPool) -> tuple[int, int]:
        first = await pool.call(_spec(), {})
        os.kill(first["pid"], signal.SIGKILL)
        await asyncio.sleep(0.2)
        return first["pid"], (await pool.call(_spec(), {}))["pid"]

    first, second = _with_pool(host, use)
    assert first != second


def test_large_answers_come_whole(host: Path) -> None:
    async def use(pool: FunctionPool) -> Any:
        return await pool.call(_spec(), {"big": 5_000_000})

    assert len(_with_pool(host, use)["big"]) == 5_000_000


def test_without_a_host_the_caller_is_told(tmp_path: Path) -> None:
    async def use(pool: FunctionPool) -> None:
        with pytest.raises(FunctionFailed, match="NoWorker"):
            await pool.call(_spec(), {})
        assert pool.size == 0

    _with_pool(tmp_path / "nothing", use)


def test_workers_end_with_the_pool(host: Path) -> None:
    async def use(pool: FunctionPool) -> Any:
        return await pool.call(_spec(), {})

    pid = _with_pool(host, use)["pid"]
    for _ in range(250):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.02)
    pytest.fail("the worker goes on")


def test_new_worker_runs_edited_code(host: Path, code: Path) -> None:
    async def use(pool: FunctionPool) -> tuple[str, str]:
        before = await pool.call(_spec("before"), {})
        (code / "sample.py").write_text(SAMPLE % "edited and longer")
        return before["said"], (await pool.call(_spec("after"), {}))["said"]

    assert _with_pool(host, use) == ("first", "edited and longer")
