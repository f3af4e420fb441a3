"""Inline progress: one provider call however many pages look, and never an error because the provider fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from functions.http import read_inline_progress
from shared.domain.errors import ProviderUnavailableError
from shared.domain.job import Absence, JobStatus
from shared.services.logs.read_progress import ReadProgress
from tests.system import System, a_system

BAR = "Epoch 1/10, Steps:  {percent}%|██        | {step}/2000 [10:55<32:44,  1.31s/it, lr=1e-05, step_loss=0.0{step}]\n"


@pytest.fixture
def system() -> Iterator[System]:
    with a_system() as system:
        yield system


@pytest.fixture
def client(system: System) -> TestClient:
    return system.client(read_inline_progress.router)


def running(system: System, job_id: str = "training1job") -> str:
    system.remote_job(job_id, JobStatus.RUNNING)
    system.sync()
    system.provider.logs[job_id] = BAR.format(percent=25, step=500)
    return f"/api/cloud/jobs/{job_id}/inline-progress"


def test_an_unknown_job_is_404(client: TestClient) -> None:
    assert client.get("/api/cloud/jobs/unknown1/inline-progress").status_code == 404


def test_exactly_the_four_fields_move_with_the_log(system: System, client: TestClient) -> None:
    path = running(system)
    body = client.get(path).json()
    assert set(body) == {"job_id", "stage", "last_log", "progress"}
    assert (body["stage"], body["progress"]) == ("Training", 25.0)
    assert len(body["last_log"]) <= 80
    system.provider.logs["training1job"] = BAR.format(percent=50, step=1000)
    system.clock.advance(6)
    assert client.get(path).json()["progress"] == 50.0


def test_twenty_pages_within_five_seconds_are_one_provider_call(system: System, client: TestClient) -> None:
    path = running(system)
    for _ in range(20):
        client.get(path)
        system.clock.advance(0.2)
    assert system.provider.calls["get"] == 1


def test_a_lost_job_shows_what_was_last_seen_and_asks_nobody(system: System, client: TestClient) -> None:
    path = running(system)
    client.get(path)
    system.clock.advance(60)
    lost = replace(system.stores.job_rows["training1job"], absence=Absence(lost_at=system.clock.now()))
    system.stores.put_job("training1job", lost)
    system.provider.calls.clear()
    assert client.get(path).json()["progress"] == 25.0
    assert system.provider.calls.total() == 0


def test_a_failing_provider_leaves_what_is_stored_with_200(system: System, client: TestClient) -> None:
    path = running(system)
    client.get(path)
    system.clock.advance(60)
    system.provider.fail("get", ProviderUnavailableError("Replicate is down."))
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.json()["progress"] == 25.0


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.COMPLETED, JobStatus.FAILED])
def test_a_job_that_does_not_run_has_no_progress_and_asks_nobody(
    system: System, client: TestClient, status: JobStatus
) -> None:
    system.remote_job("resting12job", status)
    system.sync()
    body = client.get("/api/cloud/jobs/resting12job/inline-progress").json()
    assert body == {"job_id": "resting12job", "stage": None, "last_log": None, "progress": None}
    assert not system.provider.calls


def test_a_look_at_the_progress_that_sees_the_end_records_it(system: System, client: TestClient) -> None:
    path = running(system)
    system.remote_job("training1job", JobStatus.COMPLETED)
    assert client.get(path).json()["progress"] is None
    assert system.stores.job_rows["training1job"].status is JobStatus.COMPLETED


def test_a_hostile_log_is_shown_as_text(system: System, client: TestClient) -> None:
    path = running(system)
    system.provider.logs["training1job"] = "\x1b[31m\u202e<script>alert(1)</script>\ud800 step 5/10\x00"
    body = client.get(path).json()
    assert body["progress"] == 50.0
    assert not set(body["last_log"]) & {"\x1b", "\u202e", "\x00", "\ud800"}


def test_without_a_clock_in_the_log_the_time_left_is_measured_between_looks(system: System) -> None:
    running(system)
    job = system.stores.job_rows["training1job"]

    def look(step: int) -> float | None:
        system.provider.logs["training1job"] = f"step {step}/1000 loss 0.5\n"
        system.clock.advance(10)
        seen = system.wiring.use(ReadProgress).run(job)
        return seen.progress.eta_seconds if seen else None

    assert look(100) is None
    assert look(150) == 170.0
    assert look(150) == 160.0
    assert look(250) == 75.0
