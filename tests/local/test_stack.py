"""The starter from the outside: it comes up, says so once, keeps the jobs, and ends without a trace."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from infra.local.names import HOST
from tests.local.stack import MAKE_RUN, START_SECONDS, RunningStack

pytestmark = pytest.mark.local


def test_running_stack_is_ready_and_says_where_everything_is(running_stack: RunningStack) -> None:
    answer = httpx.get(f"{running_stack.http_url}/api/cloud/health/ready")
    assert answer.status_code == 200
    assert answer.json()["status"] == "healthy"
    for address in (
        running_stack.http_url,
        running_stack.ws_url,
        running_stack.simulator_url,
        running_stack.dynamodb_url,
    ):
        assert address in running_stack.output
    assert "REPLICATE_API_TOKEN" in running_stack.output


def test_unknown_path_is_answered_by_our_own_function(running_stack: RunningStack) -> None:
    answer = httpx.get(f"{running_stack.http_url}/api/no/such/path")
    assert answer.status_code == 404
    assert isinstance(answer.json()["detail"], str)


def test_secrets_are_readable_by_their_owner_only(running_stack: RunningStack) -> None:
    assert (running_stack.data_dir / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_sigterm_to_make_leaves_no_process_and_a_restart_keeps_every_job(tmp_path: Path) -> None:
    with RunningStack(tmp_path / "data", command=MAKE_RUN) as stack:
        stack.start()
        assert "job status polling is on" in stack.output
        synced = httpx.post(f"{stack.http_url}/api/cloud/jobs/sync", timeout=30).json()
        assert synced["synced"] > 0
        before = _job_ids(stack)
        stack.send(signal.SIGTERM)
        stack.wait()
        _assert_nothing_is_left(stack)

    with RunningStack(tmp_path / "data") as again:
        again.start()
        assert set(_job_ids(again)) >= set(before)
        again.send(signal.SIGINT)
        assert again.wait() == 0
        assert "Everything has ended." in again.output
        _assert_nothing_is_left(again)


def test_sigterm_while_the_stack_comes_up_leaves_no_process(tmp_path: Path) -> None:
    with RunningStack(tmp_path / "data") as stack:
        stack.launch()
        _wait_for_first_part(stack)
        stack.send(signal.SIGTERM)
        assert stack.wait() == 0
        _assert_nothing_is_left(stack)


def test_killed_starter_leaves_no_process(tmp_path: Path) -> None:
    with RunningStack(tmp_path / "data") as stack:
        stack.launch()
        _wait_for_first_part(stack)
        stack.send(signal.SIGKILL)
        stack.wait()
        _assert_nothing_is_left(stack)


def test_impossible_port_gets_one_sentence(tmp_path: Path) -> None:
    with RunningStack(tmp_path / "data", environment={"LAMBDA_PORT": "http"}) as stack:
        stack.launch()
        assert stack.wait() == 2
        assert stack.output.startswith("LAMBDA_PORT must be a port number")


def test_port_in_use_gets_one_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as occupant, RunningStack(tmp_path / "data") as stack:
        occupant.bind((HOST, 0))
        occupant.listen()
        stack.ports["WS_PORT"] = occupant.getsockname()[1]
        stack.launch()
        assert stack.wait() == 2
    lines = stack.output.splitlines()
    assert len(lines) == 1
    assert str(stack.ports["WS_PORT"]) in lines[0]
    assert "WS_PORT=" in lines[0]
    assert not (tmp_path / "data").exists()


def test_two_stacks_never_work_on_the_same_data(running_stack: RunningStack) -> None:
    with RunningStack(running_stack.data_dir) as second:
        second.output_file = second.data_dir.with_name("second-output.log")
        second.launch()
        assert second.wait() == 2
        assert second.output.startswith(f"The data directory {running_stack.data_dir} is already in use: stop")
        assert len(second.output.splitlines()) == 1
    assert httpx.get(f"{running_stack.http_url}/api/cloud/health/ready").status_code == 200


def _wait_for_first_part(stack: RunningStack) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (stack.data_dir / "logs" / "dynamodb.log").exists():
        assert time.monotonic() < deadline, stack.output
        time.sleep(0.05)


def _job_ids(stack: RunningStack) -> list[str]:
    answer = httpx.get(f"{stack.http_url}/api/cloud/jobs", params={"limit": 500}, timeout=30).json()
    return [job["job_id"] for job in answer["jobs"]]


def _assert_nothing_is_left(stack: RunningStack) -> None:
    deadline = time.monotonic() + 10
    while stack.process_ids() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert stack.process_ids() == {}
    for port in stack.ports.values():
        with socket.socket() as probe:
            assert probe.connect_ex((HOST, port)) != 0, f"something still listens on {port}"
