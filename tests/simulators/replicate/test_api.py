"""What the simulator answers, in the provider's shapes, and what it keeps over a restart."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from infra.simulators.replicate import (
    Control,
    RunningSimulator,
    Simulator,
    SimulatorOptions,
    StandingClock,
    running_simulator,
)

TRAINER = "simpletuner/advanced-trainer-h100"
VERSION = "a" * 64
AUTHORIZED = {"authorization": "Bearer r8_any"}


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    with running_simulator(clock=StandingClock(), seed=3) as running:
        yield running


@pytest.fixture
def api(simulator: RunningSimulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=simulator.base_url, headers=AUTHORIZED, trust_env=False) as client:
        yield client


def create(api: httpx.Client, **body: object) -> httpx.Response:
    return api.post("/predictions", json={"version": VERSION, "input": {}, **body})


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({}, "You did not pass an authentication token"),
        ({"authorization": "Bearer"}, "You did not pass an authentication token"),
        ({"authorization": "Basic abc"}, "You did not pass an authentication token"),
    ],
)
def test_request_without_token_is_refused(simulator: RunningSimulator, headers: dict[str, str], detail: str) -> None:
    answer = httpx.get(f"{simulator.base_url}/account", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert "ratelimit-remaining" not in answer.headers
    assert answer.content == b'{"title":"Unauthenticated","detail":"%s","status":401}\n' % detail.encode()


def test_only_named_tokens_are_accepted_when_there_are_any() -> None:
    with running_simulator(valid_tokens=frozenset({"good"})) as simulator:
        url = f"{simulator.base_url}/account"
        assert httpx.get(url, headers={"authorization": "Token good"}).status_code == 200
        refused = httpx.get(url, headers={"authorization": "Bearer bad"})
    assert refused.json()["detail"] == "You did not pass a valid authentication token"


def test_create_answers_the_hot_shape(api: httpx.Client) -> None:
    answer = create(api, version=f"{TRAINER}:{VERSION}", input={"prompt": "x"})
    assert answer.status_code == 201
    assert answer.headers["ratelimit-remaining"] == "599"
    body = answer.json()
    assert (body["model"], body["version"], body["status"]) == (TRAINER, VERSION, "starting")
    assert not {"started_at", "completed_at", "metrics"} & body.keys()
    assert body["urls"]["get"] == f"{api.base_url}predictions/{body['id']}"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"model": TRAINER, "input": {}}, "- version is required\n- Additional property model is not allowed\n"),
        ({"version": VERSION}, "- input is required\n"),
        ({"version": VERSION, "input": []}, "- input: Invalid type. Expected: object\n"),
        ({"version": VERSION, "input": {}, "webhook": "ftp://x"}, "- webhook: Does not match format 'uri'\n"),
    ],
)
def test_create_with_wrong_fields_is_refused(api: httpx.Client, body: dict[str, object], detail: str) -> None:
    answer = api.post("/predictions", json=body)
    assert answer.status_code == 422
    assert (answer.json()["title"], answer.json()["detail"]) == ("Input validation failed", detail)


@pytest.mark.parametrize("version", ["", "abc", "0" * 64, f"not-a-model:{VERSION}", "owner/name:", "A" * 64])
def test_unknown_version_is_refused(api: httpx.Client, version: str) -> None:
    answer = create(api, version=version)
    assert (answer.status_code, answer.json()["title"]) == (422, "Invalid version or not permitted")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"a":NaN}', b'{"a":"\\ud800"}'])
def test_body_that_is_no_object_is_a_client_error(api: httpx.Client, body: bytes) -> None:
    assert api.post("/predictions", content=body).status_code == 400


@pytest.mark.parametrize(
    "path", ["/billing", "/account/credits", "/predictions/unknown", "/trainings/unknown", "/nowhere"]
)
def test_unknown_paths_and_ids_are_not_found(api: httpx.Client, path: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.json()["status"]) == (404, 404)
    assert "title" not in answer.json()


def test_versions_are_listed_newest_first(api: httpx.Client) -> None:
    body = api.get(f"/models/{TRAINER}/versions").json()
    created = [version["created_at"] for version in body["results"]]
    assert created == sorted(created, reverse=True)
    assert api.get("/models/nobody/nothing/versions").status_code == 404


def test_finished_job_turns_from_the_hot_to_the_cold_shape(simulator: RunningSimulator, api: httpx.Client) -> None:
    job_id = simulator.control.create_job(boot_seconds=0, run_seconds=10)
    simulator.control.jump(11)
    hot = api.get(f"/predictions/{job_id}").json()
    simulator.control.jump(60)
    cold = api.get(f"/predictions/{job_id}").json()
    assert (hot["metrics"], cold["metrics"].keys()) == ({"predict_time": 10.0}, {"predict_time", "total_time"})
    assert (next(iter(hot)), next(iter(cold))) == ("id", "completed_at")
    assert hot["logs"] == cold["logs"]


def test_shape_is_switched_for_one_job_and_for_all(simulator: RunningSimulator, api: httpx.Client) -> None:
    job_id = simulator.control.create_job(boot_seconds=0)
    simulator.control.set(shape="cold")
    assert api.get(f"/predictions/{job_id}").json()["metrics"] == {}
    simulator.control.change_job(job_id, shape="hot")
    assert "metrics" not in api.get(f"/predictions/{job_id}").json()


def test_unknown_status_word_stands_in_lists_and_jobs(simulator: RunningSimulator, api: httpx.Client) -> None:
    job_id = simulator.control.create_job(status_word="hibernating")
    assert api.get("/predictions").json()["results"][0]["status"] == "hibernating"
    assert api.get(f"/predictions/{job_id}").json()["status"] == "hibernating"
    assert simulator.control.status(job_id) == "starting"


def test_training_has_training_urls_only_where_the_real_one_has(simulator: RunningSimulator, api: httpx.Client) -> None:
    job_id = simulator.control.create_job(kind="training", boot_seconds=0)
    as_training = api.get(f"/trainings/{job_id}").json()
    assert as_training["urls"]["get"].endswith(f"/v1/trainings/{job_id}")
    assert as_training["metrics"] == {}
    as_prediction = api.get(f"/predictions/{job_id}").json()
    assert as_prediction["urls"]["get"].endswith(f"/v1/predictions/{job_id}")
    cancelled = api.post(f"/trainings/{job_id}/cancel").json()
    assert cancelled["urls"]["get"].endswith(f"/v1/predictions/{job_id}")
    prediction = simulator.control.create_job()
    assert api.get(f"/trainings/{prediction}").status_code == 404


def test_data_is_removed_an_hour_after_the_end_unless_made_on_the_web(
    simulator: RunningSimulator, api: httpx.Client
) -> None:
    made_by_api = simulator.control.create_job(boot_seconds=0, run_seconds=10, input={"a": 1})
    made_on_web = simulator.control.create_job(boot_seconds=0, run_seconds=10, input={"a": 1}, source="web")
    simulator.control.jump(3609)
    assert api.get(f"/predictions/{made_by_api}").json()["data_removed"] is False
    simulator.control.jump(2)
    removed = api.get(f"/predictions/{made_by_api}").json()
    assert (removed["data_removed"], removed["logs"], removed["output"], removed["input"]) == (True, None, None, {})
    assert (removed["status"], removed["metrics"]["predict_time"]) == ("succeeded", 10.0)
    assert api.get(f"/predictions/{made_on_web}").json()["logs"]


def test_retention_can_be_compressed(simulator: RunningSimulator, api: httpx.Client) -> None:
    job_id = simulator.control.create_job(boot_seconds=0, run_seconds=10)
    simulator.control.jump(12)
    assert api.get(f"/predictions/{job_id}").json()["data_removed"] is False
    simulator.control.set(retention_seconds=1)
    assert api.get(f"/predictions/{job_id}").json()["data_removed"] is True


def test_cancel_of_an_ended_job_leaves_it_as_it_is(simulator: RunningSimulator, api: httpx.Client) -> None:
    job_id = simulator.control.create_job(boot_seconds=0, run_seconds=1)
    simulator.control.jump(2)
    assert api.post(f"/predictions/{job_id}/cancel").json()["status"] == "succeeded"


def test_lagging_cancel_answers_canceled_while_the_job_still_runs(
    simulator: RunningSimulator, api: httpx.Client
) -> None:
    simulator.control.set(cancel_lag_seconds=3)
    job_id = simulator.control.create_job(boot_seconds=0, run_seconds=600)
    simulator.control.jump(1)
    assert api.post(f"/predictions/{job_id}/cancel").json()["status"] == "canceled"
    assert api.get(f"/predictions/{job_id}").json()["status"] == "processing"
    simulator.control.jump(3)
    assert api.get(f"/predictions/{job_id}").json()["status"] == "canceled"


def test_list_is_filtered_by_creation_inclusive_below_and_exclusive_above(
    simulator: RunningSimulator, api: httpx.Client
) -> None:
    ids = [simulator.control.create_job(age_seconds=age) for age in (300, 200, 100)]
    middle = next(item for item in api.get("/predictions").json()["results"] if item["id"] == ids[1])
    newer = api.get("/predictions", params={"created_after": middle["created_at"]}).json()["results"]
    assert [item["id"] for item in newer] == [ids[2], ids[1]]
    older = api.get("/predictions", params={"created_before": middle["created_at"]}).json()["results"]
    assert [item["id"] for item in older] == [ids[0]]
    assert api.get("/predictions", params={"created_after": "yesterday"}).status_code == 400


def test_pages_lead_on_and_keep_the_filter(simulator: RunningSimulator, api: httpx.Client) -> None:
    for age in range(250):
        simulator.control.create_job(age_seconds=age * 10)
    after = (datetime(2026, 1, 1, tzinfo=UTC) - timedelta(seconds=2100)).isoformat()
    first = api.get("/predictions", params={"created_after": after}).json()
    second = api.get(first["next"]).json()
    third = api.get(second["next"]).json()
    assert [len(page["results"]) for page in (first, second, third)] == [100, 100, 11]
    assert third["next"] is None
    assert len({job["id"] for page in (first, second, third) for job in page["results"]}) == 211


def test_page_is_not_moved_by_newcomers(simulator: RunningSimulator, api: httpx.Client) -> None:
    made = [simulator.control.create_job(age_seconds=500 - number) for number in range(150)]
    first = api.get("/predictions").json()
    for _ in range(20):
        simulator.control.create_job()
    second = api.get(first["next"]).json()
    assert [item["id"] for item in first["results"] + second["results"]] == list(reversed(made))


@pytest.mark.parametrize("cursor", ["x", "cD0x", "%00", "cD1hYmMmaT14"])
def test_foreign_cursor_is_refused(api: httpx.Client, cursor: str) -> None:
    answer = api.get(f"/predictions?cursor={cursor}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Invalid cursor"})


def test_requests_are_counted_by_template_and_reset(simulator: RunningSimulator, api: httpx.Client) -> None:
    for _ in range(3):
        api.get(f"/predictions/{simulator.control.create_job()}")
    api.get("/predictions")
    assert simulator.requests.counts() == {"GET /v1/predictions/{id}": 3, "GET /v1/predictions": 1}
    assert simulator.requests.entries[-1].status == 200
    over_http = httpx.get(f"{simulator.control_url}/requests").json()
    assert (over_http["total"], over_http["max_in_flight"]) == (4, 1)
    httpx.delete(f"{simulator.control_url}/requests")
    assert simulator.requests.total == 0


def test_job_of_long_ago_is_forgotten_but_an_active_one_never() -> None:
    simulator = Simulator(SimulatorOptions(keep_jobs=3, jobs=0, seed=1), StandingClock())
    control = Control(simulator)
    active = control.create_job(age_seconds=5000, boot_seconds=9999)
    ended = [control.create_job(age_seconds=4000 - number, boot_seconds=0, run_seconds=1) for number in range(4)]
    assert {job.id for job in simulator.jobs()} == {active, *ended[-2:]}


def test_newcomers_start_by_themselves_one_at_a_time() -> None:
    clock = StandingClock()
    simulator = Simulator(SimulatorOptions(new_job_every_seconds=180, seed=1), clock)
    assert simulator.start_newcomer_if_due() is None
    clock.jump(100_000)
    assert simulator.start_newcomer_if_due() is not None
    assert simulator.start_newcomer_if_due() is None


def test_history_shows_every_kind_of_job() -> None:
    with running_simulator(jobs=12, seed=4) as simulator:
        jobs = simulator.control.jobs()
    assert len(jobs) == 12
    assert {job["status"] for job in jobs} == {"starting", "processing", "succeeded", "failed", "canceled"}
    assert {job["kind"] for job in jobs} == {"prediction", "training"}


def test_restart_keeps_jobs_logs_and_secret(tmp_path: Path) -> None:
    state = tmp_path / "simulator.json"
    with running_simulator(jobs=8, state_file=state) as first:
        before = {str(job["id"]): first.control.job(str(job["id"])) for job in first.control.jobs()}
        secret = first.control.webhook_secret
    assert state.stat().st_mode & 0o777 == 0o600
    with running_simulator(jobs=8, state_file=state) as second:
        after = {str(job["id"]): second.control.job(str(job["id"])) for job in second.control.jobs()}
        assert second.control.webhook_secret == secret
    assert before.keys() == after.keys()
    assert all(str(after[key]["logs"]).startswith(str(before[key]["logs"])) for key in before)


def test_restart_does_not_tell_a_webhook_twice(tmp_path: Path) -> None:
    state = tmp_path / "simulator.json"
    with running_simulator(state_file=state) as first:
        job_id = first.control.create_job(boot_seconds=0, run_seconds=0, webhook="http://127.0.0.1:9/")
        deadline = time.monotonic() + 5
        while not first.control.deliveries(job_id) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert first.control.deliveries(job_id)
    with running_simulator(state_file=state) as second:
        time.sleep(0.3)
        assert second.control.deliveries(job_id) == []


def test_broken_state_file_is_set_aside(tmp_path: Path) -> None:
    state = tmp_path / "simulator.json"
    state.write_text("{broken")
    with running_simulator(jobs=2, state_file=state) as simulator:
        assert len(simulator.control.jobs()) == 2
    assert (tmp_path / "simulator.json.broken").read_text() == "{broken"
    assert len(json.loads(state.read_text())["jobs"]) == 2


def test_process_answers_saves_and_ends_cleanly_on_sigterm(tmp_path: Path) -> None:
    state = tmp_path / "simulator.json"
    command = [sys.executable, "-m", "infra.simulators.replicate", "--port", "0", "--state-file", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[3]
        listed = httpx.get(f"{url}/predictions", headers=AUTHORIZED).json()["results"]
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")
    assert {job["id"] for job in json.loads(state.read_text())["jobs"]} > {item["id"] for item in listed}


def test_process_says_in_one_line_that_its_port_is_taken(simulator: RunningSimulator) -> None:
    port = simulator.origin.rpartition(":")[2]
    command = [sys.executable, "-m", "infra.simulators.replicate", "--port", port]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"Can't listen on 127.0.0.1:{port}: Address already in use\n"
