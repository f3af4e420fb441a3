"""Replicate and Kiln beside each other, each over its simulator: nothing of the house has to know which is which."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook
from starlette.testclient import TestClient

from functions.http._whole_app import whole_app
from functions.work import keep_final_log, push_events
from infra.simulators.replicate import RunningSimulator, running_simulator
from shared.domain.connection import CONNECTION_LIFE, Connection
from shared.domain.job import JobStatus
from shared.services.delivery.greet_connection import GreetConnection
from shared.wiring import PROVIDERS
from tests.engine import Engine, an_engine
from tests.fakes.clock import FakeClock
from tests.providers.kiln.simulator import Kiln, Run, running_kiln

ROOT = Path(__file__).resolve().parents[2]
SAME_ID = "samesame00001234"
BAR = "Epoch 1/1, Steps:  25%|##| 500/2000 [10:55<32:44,  1.31s/it, lr=0.0001, step_loss=0.1]"


@dataclass
class Both:
    engine: Engine
    replicate: RunningSimulator
    kiln: Kiln
    client: TestClient

    def start(self, external_id: str, *, age: float = 600) -> None:
        """A job of this id at either provider, which runs."""
        self.replicate.control.create_job(job_id=external_id, age_seconds=age, boot_seconds=0, run_seconds=86_400)
        made = time.time() - age
        self.kiln.put(Run(external_id, "BUSY", made, made, output=("loading", BAR)))

    def get(self, path: str) -> dict[str, Any]:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def sync(self) -> dict[str, Any]:
        answer = self.client.post("/api/cloud/jobs/sync")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def jobs(self, provider: str = "") -> dict[str, dict[str, Any]]:
        found = self.get(f"/api/cloud/jobs?provider={provider}")["jobs"]
        return {job["job_id"]: job for job in found}

    def only_job(self, provider: str) -> dict[str, Any]:
        (job,) = self.jobs(provider).values()
        return job


@pytest.fixture
def both() -> Iterator[Both]:
    with (
        running_simulator(valid_tokens=frozenset({"r8_good"})) as simulator,
        running_kiln() as kiln,
        an_engine() as engine,
    ):
        system = engine.system
        clock = FakeClock(datetime.now(UTC))
        system.clock = system.stores.clock = clock
        system.parts["clock"] = clock
        del system.parts["providers"]
        system.parts["provider_packages"] = (*PROVIDERS, "tests.providers.kiln")
        urls = {"replicate": simulator.base_url, "kiln": kiln.base_url}
        system.wiring.settings = system.wiring.settings.model_copy(update={"provider_base_urls": urls})
        system.start_another_process()
        system.secrets.put("replicate_api_token", "r8_good")
        system.secrets.put("kiln_token", kiln.token)
        client = TestClient(whole_app(), raise_server_exceptions=False)
        yield Both(engine, simulator, kiln, client)


def test_a_sync_finds_the_jobs_of_both_and_equal_ids_are_two_jobs(both: Both) -> None:
    both.start(SAME_ID)
    both.start("another000001234", age=700)
    told = both.sync()
    assert (told["synced"], told["message"]) == (4, "Discovered 2 new jobs from Replicate, 2 from Kiln Compute")
    jobs = both.jobs()
    assert len(jobs) == 4
    assert {job["metadata"]["prediction_id"] for job in jobs.values()} == {SAME_ID, "another000001234"}
    assert {job["provider"] for job in jobs.values()} == {"replicate", "kiln"}
    assert {job["hardware_type"] for job in both.jobs("kiln").values()} == {"A100"}
    assert both.sync()["synced"] == 0


def test_a_provider_that_cannot_be_read_stops_no_other(both: Both) -> None:
    both.start(SAME_ID)
    both.kiln.token = "changed-meanwhile"
    answer = both.client.post("/api/cloud/jobs/sync")
    assert answer.status_code == 502
    assert "Kiln Compute refused the API token" in answer.json()["detail"]
    assert len(both.jobs("replicate")) == 1


def test_ticks_see_the_end_of_both_and_what_it_costs(both: Both) -> None:
    both.start(SAME_ID)
    both.sync()
    both.replicate.control.end_job(SAME_ID, "succeeded")
    both.kiln.end(SAME_ID, at=both.kiln.runs[SAME_ID].made + 601)
    both.engine.run(1)
    ended = {provider: both.only_job(provider) for provider in ("replicate", "kiln")}
    assert {job["status"] for job in ended.values()} == {"completed"}
    # Eleven started minutes.
    assert ended["kiln"]["cost_usd"] == pytest.approx(11 * 0.05)
    assert ended["replicate"]["cost_usd"] == pytest.approx(600 * 0.001525, rel=0.1)
    both.kiln.change(SAME_ID, charge_micros=700_000)
    both.sync()
    assert both.only_job("kiln")["cost_usd"] == pytest.approx(0.7)
    metrics = both.get("/api/cloud/metrics?provider=kiln")
    assert metrics["total_cost"] == pytest.approx(0.7)
    assert both.get("/api/cloud/metrics")["total_cost"] > 0.7


def test_a_poll_of_kiln_asks_for_what_is_active_only(both: Both) -> None:
    for number in range(3):
        both.start(f"{number:04d}job000001234")
    both.sync()
    both.kiln.requests.clear()
    both.engine.run(1)
    polls = [path for method, path in both.kiln.requests if method == "GET"]
    assert polls
    assert set(polls) == {"/api/runs?state=WAITING&state=BUSY"}


def test_sync_active_looks_at_both(both: Both) -> None:
    both.start(SAME_ID)
    both.sync()
    both.replicate.control.end_job(SAME_ID, "failed", "out of memory")
    both.kiln.end(SAME_ID, "BROKE", why="The machine is gone.")
    listed = both.get("/api/cloud/jobs?sync_active=true")["jobs"]
    assert {job["status"] for job in listed} == {"failed"}
    assert both.only_job("kiln")["error_message"] == "The machine is gone."


def test_progress_and_log_are_read_where_the_job_runs(both: Both) -> None:
    both.start(SAME_ID)
    both.sync()
    for provider in ("replicate", "kiln"):
        job_id = both.only_job(provider)["job_id"]
        assert both.get(f"/api/cloud/jobs/{job_id}/inline-progress")["stage"] is not None
        assert both.get(f"/api/cloud/jobs/{job_id}/logs")["logs"]
    job_id = both.only_job("kiln")["job_id"]
    told = both.get(f"/api/cloud/jobs/{job_id}/progress")
    assert (told["step"], told["total_steps"], told["progress"]) == (500, 2000, 25.0)
    assert BAR in both.get(f"/api/cloud/jobs/{job_id}/logs")["logs"]


def test_the_final_log_is_kept_as_long_as_the_provider_has_it(both: Both) -> None:
    both.start(SAME_ID)
    both.kiln.change(SAME_ID, output=("one", "two"))
    both.kiln.end(SAME_ID)
    both.sync()
    job_id = both.only_job("kiln")["job_id"]
    sent = str(int(both.engine.system.clock.now().timestamp() * 1000))
    record = {"messageId": "1", "body": json.dumps({"job_id": job_id}), "attributes": {"SentTimestamp": sent}}
    assert keep_final_log.handler({"Records": [record]}, None) == {"batchItemFailures": []}
    both.kiln.runs.clear()
    assert both.get(f"/api/cloud/jobs/{job_id}/logs")["logs"] == "one\ntwo\n"


def test_a_cancel_reaches_the_job_of_the_right_provider(both: Both) -> None:
    both.start(SAME_ID)
    both.sync()
    job_id = both.only_job("kiln")["job_id"]
    answer = both.client.post(f"/api/cloud/jobs/{job_id}/cancel")
    assert answer.json() == {"success": True, "job_id": job_id, "status": "cancelled"}
    assert both.kiln.runs[SAME_ID].word == "STOPPED"
    assert both.replicate.control.status(SAME_ID) == "processing"
    assert both.only_job("replicate")["status"] == "running"


def test_what_changes_at_either_is_pushed(both: Both) -> None:
    system = both.engine.system
    expires_at = system.clock.now() + CONNECTION_LIFE
    system.stores.connections.add(Connection("page", "local", None, expires_at=expires_at))
    system.wiring.use(GreetConnection).hello("page", None)
    both.start(SAME_ID)
    both.sync()
    push_events.handler({"Records": []}, None)
    events = [event for body in system.sender.sent["page"] for event in json.loads(body).get("events", [])]
    changed = {(event["provider"], event["status"]) for event in events if event["type"] == "job_status_changed"}
    assert changed == {("replicate", "running"), ("kiln", "running")}


def test_a_webhook_of_one_touches_no_job_of_the_other(both: Both) -> None:
    both.start(SAME_ID)
    both.kiln.end(SAME_ID)
    both.sync()
    both.replicate.control.end_job(SAME_ID, "canceled")
    raw = json.dumps(both.replicate.control.job(SAME_ID))
    now = both.engine.system.clock.now()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(both.replicate.control.webhook_secret).sign("msg_1", now, raw),
    }
    answer = both.client.post("/api/webhooks/replicate", content=raw, headers=headers)
    assert answer.json() == {"status": "received", "job_id": both.only_job("replicate")["job_id"]}
    assert both.only_job("replicate")["status"] == "cancelled"
    assert both.only_job("kiln")["status"] == "completed"
    for path in ("/api/webhooks/kiln", "/api/cloud/webhook/kiln"):
        told = both.client.post(path, content=raw, headers=headers)
        assert (told.status_code, told.json()["detail"]) == (404, "Kiln Compute sends no webhooks.")


def test_settings_prices_and_tokens_are_those_of_each(both: Both) -> None:
    told = {provider["id"]: provider for provider in both.get("/api/cloud/providers")["providers"]}
    assert list(told) == ["replicate", "kiln"]
    assert (told["kiln"]["has_webhooks"], told["kiln"]["log_kept_seconds"]) == (False, 86_400)
    assert told["kiln"]["job_url"] == "https://kiln.example/runs/{external_id}"
    options = both.get("/api/cloud/hardware-options")["hardware"]
    assert {(one["provider"], one["id"]) for one in options} >= {("kiln", "t4-pair"), ("replicate", "h100")}
    config = {"hardware_profile": "t4-pair", "hardware_info": {"t4-pair": {"cost_per_second": 0.001}}}
    assert both.client.put("/api/cloud/providers/kiln/config", json=config).status_code == 200
    assert both.client.put("/api/cloud/providers/replicate/config", json=config).status_code == 400
    estimate = both.client.post("/api/cloud/cost-estimate?provider=kiln").json()
    assert estimate["hardware_cost_per_hour"] == pytest.approx(3.6)
    stored = both.engine.system.secrets.values["kiln_token"]
    refused = both.client.put("/api/cloud/providers/kiln/token", json={"api_token": "kiln-wrong-token"})
    assert (refused.status_code, "https://kiln.example/keys" in refused.json()["detail"]) == (400, True)
    assert both.engine.system.secrets.values["kiln_token"] == stored
    kept = both.client.put("/api/cloud/providers/kiln/token", json={"api_token": both.kiln.token})
    assert (kept.status_code, kept.json()["username"]) == (200, "potter")


def test_health_and_status_page_are_asked_of_each(both: Both) -> None:
    assert both.get("/api/cloud/kiln/validate")["user_info"] == {"username": "potter", "name": None}
    names = [one["name"] for one in both.get("/api/cloud/health?include_kiln")["components"]]
    assert names == ["store", "poller", "delivery", "kiln"]
    assert both.get("/api/cloud/kiln/status")["operational"] is True
    polling = {one["provider"] for one in both.get("/api/cloud/polling/status")["providers"]}
    assert polling == {"replicate", "kiln"}


def test_no_line_of_the_house_names_the_second_provider() -> None:
    named = [
        path.relative_to(ROOT)
        for room in ("shared", "functions", "infra")
        for path in (ROOT / room).rglob("*")
        if path.suffix in {".py", ".js", ".json", ".yml", ".html"}
        and re.search(r"\bkiln", path.read_text(), re.IGNORECASE)
    ]
    assert not named


def test_a_job_without_hardware_is_priced_by_its_providers_default_and_says_so(both: Both) -> None:
    both.start(SAME_ID)
    both.kiln.change(SAME_ID, machine=None)
    both.sync()
    job = both.only_job("kiln")
    assert (job["hardware_type"], job["metadata"]["hardware_assumed"]) == ("T4-PAIR", True)
    assert JobStatus(job["status"]) is JobStatus.RUNNING
