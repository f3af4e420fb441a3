"""Progress of a whole page in one answer, within a small budget of calls (docs/design.md, idea 4)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from functions.http import read_progress
from shared.domain.errors import ProviderUnavailableError
from shared.domain.job import JobStatus
from shared.services.logs.read_progress_of_page import CALLS_AN_ANSWER
from tests.system import System, a_system

BAR = "Epoch 1/10, Steps:  {percent}%|██▌       | {step}/2000 [10:55<32:44, 1.31s/it, lr=8e-05, step_loss=0.2]\n"


@pytest.fixture
def system() -> Iterator[System]:
    with a_system() as standing:
        yield standing


def a_running_job(system: System, job_id: str, percent: int = 25) -> str:
    system.remote_job(job_id, JobStatus.RUNNING)
    system.provider.logs[job_id] = BAR.format(percent=percent, step=percent * 20)
    return job_id


def page(system: System, *job_ids: str) -> dict[str, Any]:
    answer = system.client(read_progress.router).get("/api/cloud/progress", params={"ids": ",".join(job_ids)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["progress"]
    return found


def test_one_answer_tells_all_and_leaves_out_unknown_ids(system: System) -> None:
    ids = [a_running_job(system, f"job{number:07d}", percent=10 * number) for number in range(1, 4)]
    system.remote_job("ended00000", JobStatus.COMPLETED)
    system.sync()
    found = page(system, *ids, "ended00000", "nobody0000")
    assert [found[job_id]["progress"] for job_id in ids] == [10.0, 20.0, 30.0]
    assert found[ids[0]]["stage"] == "Training"
    assert set(found["ended00000"].values()) == {None}
    assert "nobody0000" not in found


def test_the_budget_of_calls_holds_and_the_longest_unread_comes_first(system: System) -> None:
    ids = [a_running_job(system, f"job{number:07d}") for number in range(30)]
    system.sync()
    for turn in range(1, 5):
        found = page(system, *ids)
        known = sum(1 for job_id in ids if found[job_id]["updated_at"])
        assert known == min(30, CALLS_AN_ANSWER * turn)
        assert system.provider.calls["get"] == known


def test_fresh_readings_cost_no_call_however_many_pages_look(system: System) -> None:
    ids = [a_running_job(system, f"job{number:07d}") for number in range(3)]
    system.sync()
    for _ in range(10):
        page(system, *ids)
    assert system.provider.calls["get"] == 3


def test_a_failing_provider_leaves_what_is_known(system: System) -> None:
    job_id = a_running_job(system, "job0000001")
    system.sync()
    page(system, job_id)
    system.clock.advance(60)
    system.provider.fail("get", ProviderUnavailableError("down"))
    assert page(system, job_id)[job_id]["progress"] == 25.0


def test_a_job_that_has_ended_meanwhile_has_no_progress_any_more(system: System) -> None:
    job_id = a_running_job(system, "job0000001")
    system.sync()
    system.remote_job(job_id, JobStatus.COMPLETED)
    assert set(page(system, job_id)[job_id].values()) == {None}
    job = system.stores.jobs.get(job_id)
    assert job is not None
    assert job.status is JobStatus.COMPLETED


@pytest.mark.parametrize(
    "ids", [",".join(f"job{number}" for number in range(51)), "a b", "../x", "a,%00", "x" * 65, "ü"]
)
def test_malformed_or_too_many_ids_are_422(system: System, ids: str) -> None:
    answer = system.client(read_progress.router).get("/api/cloud/progress", params={"ids": ids})
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


def test_no_ids_are_an_empty_answer(system: System) -> None:
    assert page(system) == {}


def test_one_job_tells_its_curve_and_its_numbers(system: System) -> None:
    lines = [BAR.format(percent=percent, step=percent * 20) for percent in range(1, 26)]
    job_id = a_running_job(system, "job0000001")
    system.provider.logs[job_id] = "".join(lines)
    system.sync()
    body = system.client(read_progress.router).get(f"/api/cloud/jobs/{job_id}/progress").json()
    assert (body["step"], body["total_steps"], body["loss"], body["progress"]) == (500, 2000, 0.2, 25.0)
    assert [point["step"] for point in body["history"]] == [percent * 20 for percent in range(1, 26)]
    assert {"stage", "last_log", "epoch", "total_epochs", "learning_rate", "eta_seconds"} <= set(body)


def test_an_ended_job_keeps_its_curve_but_has_no_stage_and_no_eta(system: System) -> None:
    job_id = a_running_job(system, "job0000001")
    system.sync()
    client = system.client(read_progress.router)
    client.get(f"/api/cloud/jobs/{job_id}/progress")
    system.remote_job(job_id, JobStatus.FAILED)
    system.sync()
    body = client.get(f"/api/cloud/jobs/{job_id}/progress").json()
    assert (body["stage"], body["eta_seconds"], body["step"]) == (None, None, 500)
    assert body["history"]


def test_a_job_that_never_ran_answers_with_nulls(system: System) -> None:
    system.remote_job("queued0000", JobStatus.QUEUED)
    system.sync()
    body = system.client(read_progress.router).get("/api/cloud/jobs/queued0000/progress").json()
    assert body.pop("job_id") == "queued0000"
    assert body.pop("history") == []
    assert set(body.values()) == {None}


def test_a_reading_in_another_versions_form_is_read_anew(system: System) -> None:
    """A restart keeps every job, and with it what an older version has stored."""
    job_id = a_running_job(system, "job0000001", percent=30)
    system.sync()
    old = gzip.compress(json.dumps({"stage": None, "percent": 1.0, "updated_at": "now", "history": [[1, 2]]}).encode())
    system.stores.texts.put(job_id, "progress", old)
    assert page(system, job_id)[job_id]["progress"] == 30.0
    assert page(system, job_id)[job_id]["progress"] == 30.0


def test_an_ended_job_keeps_the_curve_that_the_first_version_has_stored(system: System) -> None:
    system.remote_job("ended00000", JobStatus.COMPLETED)
    system.sync()
    fields = {"stage": "Training", "last_log": "saved", "percent": 99.5, "step": 2, "loss": 0.25, "learning_rate": None}
    moment = {"updated_at": "2026-01-10T10:00:00.000000Z", "history": [[None, 1, 0.5], [3.0, 2, 0.25]]}
    stored = gzip.compress(json.dumps({**fields, **moment}).encode())
    system.stores.texts.put("ended00000", "progress", stored)
    body = system.client(read_progress.router).get("/api/cloud/jobs/ended00000/progress").json()
    assert (body["progress"], body["step"], body["loss"], body["last_log"]) == (99.5, 2, 0.25, "saved")
    assert body["history"] == [{"t": None, "step": 1, "loss": 0.5}, {"t": 3.0, "step": 2, "loss": 0.25}]
    assert body["updated_at"] == "2026-01-10T10:00:00.000000Z"
