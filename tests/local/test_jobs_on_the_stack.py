"""The main job on the running stack, as a newcomer with curl does it, and a provider that goes wrong in every way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.local.stack import RunningStack

pytestmark = pytest.mark.local

PATIENCE_SECONDS = 60.0


class Service:
    """The service and the simulator's control, with a client that waits as long as SimpleTuner's CLI does."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.http = httpx.Client(base_url=stack.http_url, timeout=30)
        self.control = httpx.Client(base_url=stack.simulator_control_url, headers=stack.control_headers, timeout=30)

    def new_remote_job(self, **options: Any) -> str:
        answer = self.control.post("/jobs", json=options)
        assert answer.is_success, answer.text
        return str(answer.json()["id"])

    def status(self, job_id: str) -> str | None:
        answer = self.http.get(f"/api/cloud/jobs/{job_id}")
        return str(answer.json()["job"]["status"]) if answer.is_success else None

    def wait_for(self, job_id: str, status: str) -> float:
        """Seconds until the job has this status."""
        began = time.monotonic()
        while self.status(job_id) != status:
            assert time.monotonic() - began < PATIENCE_SECONDS, f"{job_id} never became {status}"
            time.sleep(0.2)
        return time.monotonic() - began

    @property
    def webhook_url(self) -> str:
        return f"{self.stack.http_url}/api/webhooks/replicate"


@pytest.fixture(scope="module")
def service(running_stack: RunningStack) -> Iterator[Service]:
    service = Service(running_stack)
    yield service
    service.control.delete("/faults")
    service.http.close()
    service.control.close()


def test_sync_finds_every_job_once_and_the_list_is_newest_first(service: Service) -> None:
    first = service.http.post("/api/cloud/jobs/sync").json()
    assert set(first) == {"synced", "updated", "message"}
    assert service.http.post("/api/cloud/jobs/sync").json()["synced"] == 0
    body = service.http.get("/api/cloud/jobs?limit=500").json()
    assert body["total"] == len(body["jobs"]) >= 8
    created = [job["created_at"] for job in body["jobs"]]
    assert created == sorted(created, reverse=True)


def test_cookies_that_other_programs_of_this_machine_left_do_no_harm(service: Service) -> None:
    answer = service.http.get("/api/cloud/jobs?limit=1", headers={"Cookie": 'theirs={"a": 1}; open="quote; b'})
    assert answer.status_code == 200


def test_a_script_of_another_site_reads_nothing(service: Service) -> None:
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    assert service.http.get("/api/cloud/jobs?limit=1", headers=headers).status_code == 403


def test_progress_moves_as_the_job_moves(service: Service) -> None:
    job_id = service.new_remote_job(boot_seconds=0, run_seconds=60, outcome="succeeded")
    service.http.post("/api/cloud/jobs/sync")
    path = f"/api/cloud/jobs/{job_id[:12]}/inline-progress"
    seen: list[float] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(set(seen)) < 3 and time.monotonic() < deadline:
        body = service.http.get(path).json()
        assert set(body) == {"job_id", "stage", "last_log", "progress"}
        if body["progress"] is not None:
            seen.append(body["progress"])
        time.sleep(0.5)
    assert len(set(seen)) >= 3
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("fault", "status", "word"),
    [
        ("401", 502, "token"),
        ("429", 503, "Replicate"),
        ("429_body", 503, "Replicate"),
        ("500", 503, "Replicate"),
        ("500_html", 503, "Replicate"),
        ("200_html", 502, "Replicate"),
        ("truncated", 502, "Replicate"),
        ("reset", 503, "Replicate"),
        ("next_off_origin", 502, "Replicate"),
    ],
)
def test_a_provider_that_goes_wrong_is_told_and_keeps_the_list(
    running_stack: RunningStack, service: Service, fault: str, status: int, word: str
) -> None:
    known = service.http.get("/api/cloud/jobs?limit=500").json()["total"]
    if fault == "next_off_origin":
        for _ in range(101):
            service.new_remote_job(age_seconds=86_400, outcome="succeeded", run_seconds=1)
    service.control.post("/faults", json={"kind": fault, "path": "/v1", "details": {"retry_after": 1}})
    try:
        answer = service.http.post("/api/cloud/jobs/sync")
    finally:
        service.control.delete("/faults")
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert word in body["detail"]
    assert "Traceback" not in answer.text
    assert service.http.get("/api/cloud/jobs").json()["total"] >= known
    began = time.monotonic()
    while not service.http.post("/api/cloud/jobs/sync").is_success:
        assert time.monotonic() - began < PATIENCE_SECONDS, "the service never came back"
        time.sleep(1)


def test_a_signed_webhook_ends_a_job_at_once_and_imports_an_unknown_one(service: Service) -> None:
    job_id = service.new_remote_job(
        boot_seconds=0,
        run_seconds=600,
        webhook=service.webhook_url,
        webhook_events=["start", "completed"],
    )
    service.wait_for(job_id, "running")
    service.control.post(f"/jobs/{job_id}/end", json={"outcome": "failed", "error": "CUDA out of memory"})
    service.wait_for(job_id, "failed")
    job = service.http.get(f"/api/cloud/jobs/{job_id}").json()
    assert job["job"]["error_message"] == "CUDA out of memory"
    assert [step["status"] for step in job["transitions"]] == ["running", "failed"]


def test_a_forged_webhook_is_refused_and_changes_nothing(service: Service) -> None:
    answer = service.http.post(
        "/api/webhooks/replicate",
        json={"id": "forged12forged12forged12ab", "status": "succeeded"},
        headers={"webhook-id": "msg_1", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,AAAA"},
    )
    assert answer.status_code == 401
    assert service.status("forged12forged12forged12ab") is None


def test_polling_alone_brings_a_job_to_its_end(service: Service) -> None:
    job_id = service.new_remote_job(boot_seconds=0, run_seconds=600)
    service.http.post("/api/cloud/jobs/sync")
    service.control.post(f"/jobs/{job_id}/end", json={"outcome": "succeeded"})
    service.wait_for(job_id, "completed")
    assert service.http.get("/api/cloud/polling/status").json()["last_tick_at"]
