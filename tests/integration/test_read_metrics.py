"""Cost and jobs: what the page and a scraper read always agrees with what the jobs say (I10)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from functions.http import list_jobs, read_costs, read_metrics
from shared.domain.change_request import ChangeRequest, RequestedChange
from shared.domain.job import JobStatus
from shared.services.providers.configure_provider import ConfigureProvider
from shared.services.recording.change_job import ChangeJob
from tests.builders import H100
from tests.system import System, a_system

SECOND = float(H100.price_per_second)


@pytest.fixture
def system() -> Iterator[System]:
    with a_system() as standing:
        yield standing


def metrics(system: System, query: str = "") -> dict[str, Any]:
    answer = system.client(read_metrics.router).get(f"/api/cloud/metrics{query}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def ended(system: System, name: str, *, days_ago: float = 0, seconds: int = 1000) -> None:
    at = system.clock.now() - timedelta(days=days_ago)
    system.remote_job(
        name,
        JobStatus.COMPLETED,
        created_at=at - timedelta(seconds=seconds + 60),
        started_at=at - timedelta(seconds=seconds),
        completed_at=at,
        billed_seconds=Decimal(seconds),
    )


def test_without_any_job_everything_is_zero_or_null_and_each_day_is_there(system: System) -> None:
    body = metrics(system)
    assert (body["total_cost"], body["job_count"], body["avg_job_duration_seconds"]) == (0, 0, None)
    assert body["credit_balance"] is None
    assert set(body["jobs_by_status"].values()) == {0}
    assert len(body["cost_by_day"]) == body["period_days"] == 30
    assert body["cost_by_day"][-1] == {"date": system.clock.now().date().isoformat(), "cost": 0, "jobs": 0}


def test_ended_jobs_count_on_their_day_and_only_within_the_period(system: System) -> None:
    for name, days_ago in (("today00000", 0), ("yesterday0", 1), ("longago000", 40)):
        ended(system, name, days_ago=days_ago)
    system.sync()
    body = metrics(system)
    assert body["total_cost"] == pytest.approx(2000 * SECOND)
    assert body["job_count"] == 2
    assert body["avg_job_duration_seconds"] == pytest.approx(1000)
    assert [day["jobs"] for day in body["cost_by_day"][-2:]] == [1, 1]
    assert body["jobs_by_status"]["completed"] == 3
    assert metrics(system, "?days=60")["job_count"] == 3


def test_what_a_running_job_costs_grows_with_the_clock_and_stands_in_no_store(system: System) -> None:
    system.remote_job("running000", JobStatus.RUNNING, age=101)
    system.sync()
    first = metrics(system)["total_cost"]
    assert first == pytest.approx(100 * SECOND)
    system.clock.advance(100)
    assert metrics(system)["total_cost"] == pytest.approx(200 * SECOND)
    assert metrics(system)["cost_by_day"][-1]["cost"] == pytest.approx(200 * SECOND)


def test_the_days_add_up_to_the_total(system: System) -> None:
    for number in range(12):
        ended(system, f"job{number:07d}", days_ago=number * 2.2, seconds=100 + number)
    system.remote_job("running000", JobStatus.RUNNING)
    system.sync()
    body = metrics(system)
    assert sum(day["cost"] for day in body["cost_by_day"]) == pytest.approx(body["total_cost"])


def test_both_paths_answer_alike(system: System) -> None:
    client = system.client(read_metrics.router)
    assert client.get("/api/metrics?days=7").json() == client.get("/api/cloud/metrics?days=7").json()


@pytest.mark.parametrize("query", ["?days=0", "?days=366", "?days=x", "?days=1e9", "?days="])
def test_wrong_parameters_are_422_in_one_sentence(system: System, query: str) -> None:
    answer = system.client(read_metrics.router).get(f"/api/metrics{query}")
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


def test_a_scraper_reads_the_same_figures(system: System) -> None:
    ended(system, "today00000")
    system.remote_job("running000", JobStatus.RUNNING, age=101)
    system.sync()
    answer = system.client(read_metrics.router).get("/api/metrics/prometheus")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert samples["simpletuner_cloud_jobs_total"] == "2"
    assert samples['simpletuner_cloud_jobs_by_status{status="completed"}'] == "1"
    assert samples['simpletuner_cloud_jobs_by_provider{provider="replicate"}'] == "2"
    assert samples["simpletuner_cloud_jobs_active"] == "1"
    assert float(samples["simpletuner_cloud_cost_total_usd"]) == pytest.approx(1100 * SECOND)
    assert float(samples["simpletuner_uptime_seconds"]) >= 0
    described = {line.split()[2] for line in answer.text.splitlines() if line.startswith("# TYPE")}
    assert {name.partition("{")[0] for name in samples} == described


def test_no_name_for_prometheus_has_samples_with_and_without_labels(system: System) -> None:
    ended(system, "today00000")
    text = system.client(read_metrics.router).get("/api/metrics/prometheus").text
    names = [line.rsplit(" ", 1)[0] for line in text.splitlines() if not line.startswith("#")]
    assert not {name for name in names if "{" not in name} & {name.partition("{")[0] for name in names if "{" in name}


def test_metrics_of_an_unknown_provider_are_those_of_no_job(system: System) -> None:
    ended(system, "today00000")
    body = system.client(read_metrics.router).get("/api/metrics?provider=elsewhere").json()
    assert (body["job_count"], body["total_cost"], sum(body["jobs_by_status"].values())) == (0, 0, 0)


def limit(system: System) -> dict[str, Any]:
    answer = system.client(read_costs.router).get("/api/cloud/cost-limit/status")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_without_a_limit_nothing_is_exceeded_and_the_amount_is_a_number(system: System) -> None:
    body = limit(system)
    assert (body["enabled"], body["is_exceeded"], body["limit_amount"]) == (False, False, 0)


@pytest.mark.parametrize(
    ("amount", "state"),
    [("100", (False, False)), ("1.8", (False, True)), ("1.525", (True, False)), ("1", (True, False))],
)
def test_the_limit_counts_real_spend_of_its_period(system: System, amount: str, state: tuple[bool, bool]) -> None:
    ended(system, "today00000")
    ended(system, "longago000", days_ago=8)
    system.sync()
    system.wiring.use(ConfigureProvider).change(
        "replicate", {"cost_limit_enabled": True, "cost_limit_amount": amount, "cost_limit_period": "weekly"}
    )
    body = limit(system)
    assert body["current_spend"] == pytest.approx(1000 * SECOND)
    assert (body["is_exceeded"], body["is_warning"]) == state
    assert (body["message"] is not None) == any(state)


def test_what_runs_right_now_counts_against_the_limit(system: System) -> None:
    system.remote_job("running000", JobStatus.RUNNING, age=1001)
    system.sync()
    system.wiring.use(ConfigureProvider).change("replicate", {"cost_limit_enabled": True, "cost_limit_amount": 1})
    assert limit(system)["is_exceeded"] is True


@pytest.mark.parametrize("end", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_an_end_without_a_figure_lowers_neither_total_nor_limit(system: System, end: JobStatus) -> None:
    """I46: a job that has cost $2.76 ends, and its provider tells nothing of what is billed until later."""
    running = system.remote_job("running000", JobStatus.RUNNING, age=1811)
    system.sync()
    system.wiring.use(ConfigureProvider).change("replicate", {"cost_limit_enabled": True, "cost_limit_amount": 2})
    shown = metrics(system)["total_cost"]
    assert round(shown, 2) == 2.76
    gone: dict[str, Any] = {
        "created_at": running.created_at,
        "started_at": running.started_at,
        "completed_at": system.clock.now(),
    }
    system.remote_job("running000", end, **gone, billed_seconds=None)
    system.sync()
    assert metrics(system)["total_cost"] == limit(system)["current_spend"] == pytest.approx(shown)
    [job] = system.client(list_jobs.router).get("/api/cloud/jobs").json()["jobs"]
    assert (job["cost_usd"], job["metadata"]["cost_estimated"]) == (pytest.approx(shown), True)
    seq = system.stores.events.head().seq
    system.remote_job("running000", end, **gone, billed_seconds=Decimal(1800))
    system.sync()
    assert metrics(system)["total_cost"] == limit(system)["current_spend"] == pytest.approx(1800 * SECOND)
    [job] = system.client(list_jobs.router).get("/api/cloud/jobs").json()["jobs"]
    assert (job["cost_usd"], job["metadata"].get("cost_estimated")) == (pytest.approx(1800 * SECOND), None)
    assert system.stores.events.head().seq == seq, "a cost makes no event"


def test_a_job_that_has_just_ended_counts_once_beside_one_that_runs_on(system: System) -> None:
    for name in ("running000", "running111"):
        system.remote_job(name, JobStatus.RUNNING, age=1001)
    system.sync()
    shown = metrics(system)["total_cost"]
    system.remote_job("running000", JobStatus.FAILED, age=1001, completed_at=system.clock.now(), billed_seconds=None)
    system.sync()
    assert metrics(system)["total_cost"] == pytest.approx(shown)


def test_what_a_running_job_has_cost_stays_spent_when_it_is_deleted(system: System) -> None:
    system.remote_job("running000", JobStatus.RUNNING, age=1001)
    system.sync()
    for wanted in (RequestedChange.MARK_CANCEL, RequestedChange.DELETE):
        system.wiring.use(ChangeJob).run(ChangeRequest(wanted, "running000", system.clock.now()))
    assert system.stores.job_rows == {}
    assert metrics(system)["total_cost"] == pytest.approx(1000 * SECOND)


def test_an_estimate_needs_a_job_that_ended(system: System) -> None:
    client = system.client(read_costs.router)
    empty = client.post("/api/cloud/cost-estimate", json=[]).json()
    assert (empty["has_estimate"], empty["estimated_cost_usd"]) == (False, None)
    ended(system, "today00000")
    system.sync()
    told = client.post("/api/cloud/cost-estimate", json=[{"id": "x"}]).json()
    assert told["estimated_cost_usd"] == pytest.approx(1000 * SECOND, abs=0.001)
    assert told["hardware_cost_per_hour"] == pytest.approx(3600 * SECOND)


def test_hardware_carries_its_configured_price(system: System) -> None:
    system.wiring.use(ConfigureProvider).change(
        "replicate", {"hardware_info": {"l40s": {"name": "L40S cheap", "cost_per_second": 0.0001}}}
    )
    found = {
        one["id"]: one for one in system.client(read_costs.router).get("/api/cloud/hardware-options").json()["hardware"]
    }
    assert found["l40s"]["name"] == "L40S cheap"
    assert found["l40s"]["cost_per_hour"] == pytest.approx(0.36)
    assert found["h100"]["cost_per_second"] == SECOND
