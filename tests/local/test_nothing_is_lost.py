"""What was acknowledged survives every kill, and *ready* means that the next change is told (I44, I45)."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.local.replicate_webhooks import WebhookSource, new_job_id
from tests.local.stack import START_SECONDS, RunningStack
from tests.proof import IS_PROOF, scaled

pytestmark = pytest.mark.local

PATIENCE_SECONDS = 60.0
VICTIMS = {
    "dynamodb": "ServerRunner",
    "gateway": "infra.local.gateway",
    "functions": "infra.local.workers.worker_host",
    "starter": "infra.local.stack.start",
}


@pytest.mark.parametrize("number", range(20 if IS_PROOF else 1))
def test_the_first_change_after_a_fresh_start_is_told_and_its_final_log_kept(tmp_path: Path, number: int) -> None:
    """The change comes as soon as `/health/ready` answers 200, before the starter itself says so."""
    with RunningStack(tmp_path / "data") as stack:
        starting = threading.Thread(target=stack.start)
        starting.start()
        try:
            _wait_until_ready(stack)
            with connect(stack.ws_url, proxy=None) as socket:
                socket.send(json.dumps({"action": "hello", "after": None}))
                job_id = _end_a_job(stack)
                assert _is_told(socket, job_id)
        finally:
            starting.join(START_SECONDS)
        _wait_for_final_log(stack, job_id)


@pytest.mark.slow
@pytest.mark.parametrize("victim", VICTIMS)
def test_no_acknowledged_webhook_is_lost_by_a_kill(tmp_path: Path, victim: str) -> None:
    """Webhooks come from several senders at once until one process is killed; then the stack is started again."""
    acknowledged: list[str] = []
    with RunningStack(tmp_path / "data") as stack:
        stack.start()
        source = WebhookSource(stack)
        threads = [threading.Thread(target=_send_until_it_fails, args=(source, acknowledged)) for _ in range(8)]
        for thread in threads:
            thread.start()
        while len(acknowledged) < scaled(1000) // 2:
            time.sleep(0.01)
        (pid, *_) = [pid for pid, command in stack.process_ids().items() if VICTIMS[victim] in command]
        os.kill(pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
        assert stack.wait() != 0
        source.close()

    with RunningStack(tmp_path / "data") as again:
        again.start()
        deadline = time.monotonic() + PATIENCE_SECONDS
        with httpx.Client(base_url=again.http_url, timeout=30) as http:
            unfinished = set(acknowledged)
            while unfinished and time.monotonic() < deadline:
                unfinished = {job_id for job_id in unfinished if not _is_completed(http, job_id)}
        assert not unfinished, f"{len(unfinished)} of {len(acknowledged)}"


def _wait_until_ready(stack: RunningStack) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{stack.http_url}/api/cloud/health/ready", timeout=30).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.01)
    raise AssertionError(stack.output)


def _end_a_job(stack: RunningStack) -> str:
    """A job that the provider ended just now, and tells of by a webhook of its own."""
    webhook = {"webhook": f"{stack.http_url}/api/webhooks/replicate", "webhook_events": ["completed"]}
    with httpx.Client(base_url=stack.simulator_control_url, headers=stack.control_headers, timeout=30) as control:
        made = control.post("/jobs", json={"boot_seconds": 0, "run_seconds": 600, **webhook})
        job_id = str(made.raise_for_status().json()["id"])
        control.post(f"/jobs/{job_id}/end", json={"outcome": "succeeded"}).raise_for_status()
    return job_id


def _is_told(socket: ClientConnection, job_id: str) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        message = json.loads(socket.recv(timeout=PATIENCE_SECONDS))
        if any(event["job_id"] == job_id and event["status"] == "completed" for event in message.get("events", [])):
            return True
    return False


def _wait_for_final_log(stack: RunningStack, job_id: str) -> None:
    """Asked for by nobody's request; the provider forgets the job after that, so what is read is what we keep."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with httpx.Client(base_url=stack.simulator_control_url, headers=stack.control_headers, timeout=30) as control:
        while "GET /v1/predictions/{id}" not in control.get("/requests").json()["counts"]:
            assert time.monotonic() < deadline, "nobody asked for the final log"
            time.sleep(0.1)
        time.sleep(1)
        control.delete(f"/jobs/{job_id}").raise_for_status()
    while len(httpx.get(f"{stack.http_url}/api/cloud/jobs/{job_id}/logs", timeout=30).json()["logs"]) < 100:
        assert time.monotonic() < deadline, "no final log was kept"
        time.sleep(0.5)


def _send_until_it_fails(source: WebhookSource, acknowledged: list[str]) -> None:
    while True:
        job_id = new_job_id()
        try:
            answer = source.send(job_id, "succeeded")
        except httpx.HTTPError:
            return
        if answer.status_code == 200:
            acknowledged.append(job_id)


def _is_completed(http: httpx.Client, job_id: str) -> bool:
    answer = http.get(f"/api/cloud/jobs/{job_id}")
    return answer.is_success and answer.json()["job"]["status"] == "completed"
