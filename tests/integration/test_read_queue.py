"""The queue's reading side: entries are jobs, counts are the head's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from starlette.testclient import TestClient

from functions.http import read_queue
from shared.domain import state_keys
from shared.domain.job import Absence, JobStatus
from tests.engine import Engine, an_engine

QUEUE, STATS = "/api/queue", "/api/queue/stats"


@pytest.fixture
def engine() -> Iterator[Engine]:
    with an_engine() as engine:
        yield engine


@pytest.fixture
def client(engine: Engine) -> TestClient:
    return engine.system.client(read_queue.router)


def fill(engine: Engine) -> None:
    """Two that wait (the older one first), one that runs, one that has ended and cost 3 $."""
    system = engine.system
    system.remote_job("waiting00002", JobStatus.QUEUED, age=100)
    system.remote_job("waiting00001", JobStatus.QUEUED, age=200)
    system.remote_job(
        "running00001", JobStatus.RUNNING, age=400, started_at=system.clock.now() - timedelta(seconds=100)
    )
    system.remote_job("ended0000001", JobStatus.COMPLETED, age=900, billed_seconds=Decimal(2000))
    system.sync()


def test_a_lost_job_holds_no_place(engine: Engine, client: TestClient) -> None:
    fill(engine)
    stores, lost = engine.system.stores, Absence(lost_at=engine.system.clock.now())
    for job_id in ("waiting00001", "running00001"):
        stores.put_job(job_id, replace(stores.job_rows[job_id], absence=lost))
    entries = client.get(QUEUE).json()["entries"]
    assert [(entry["job_id"], entry["position"]) for entry in entries] == [("waiting00002", 1)]


def test_an_empty_queue_is_a_list_and_zeros(engine: Engine, client: TestClient) -> None:
    assert client.get(QUEUE).json() == {"entries": []}
    stats = client.get(STATS).json()
    assert (stats["queue_depth"], stats["running"], stats["avg_wait_seconds"]) == (0, 0, None)
    assert (stats["local"], stats["workers"]) == (None, None)


def test_the_waiting_come_first_in_their_order_with_a_cost_as_number(engine: Engine, client: TestClient) -> None:
    fill(engine)
    entries = client.get(QUEUE).json()["entries"]
    assert [(entry["job_id"], entry["position"]) for entry in entries] == [
        ("waiting00001", 1),
        ("waiting00002", 2),
        ("running00001", 0),
    ]
    assert entries[0]["estimated_cost"] == pytest.approx(3.05)
    assert entries[2]["estimated_cost"] == pytest.approx(0.1525)
    assert {"user_id", "config_name", "queued_at", "priority_name"} <= entries[0].keys()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("blocked", []),
        ("nonsense", []),
        ("running", ["running00001"]),
        ("queued", ["waiting00001", "waiting00002"]),
        ("pending", ["waiting00001", "waiting00002"]),
        ("completed", ["ended0000001"]),
        ("failed", []),
    ],
)
def test_a_status_filters_and_an_unknown_one_fits_nothing(
    engine: Engine, client: TestClient, status: str, expected: list[str]
) -> None:
    fill(engine)
    answer = client.get(QUEUE, params={"status": status})
    assert answer.status_code == 200
    assert [entry["job_id"] for entry in answer.json()["entries"]] == expected


@pytest.mark.parametrize("limit", ["0", "501", "x"])
def test_a_limit_out_of_range_is_422_with_a_sentence(client: TestClient, limit: str) -> None:
    answer = client.get(QUEUE, params={"limit": limit})
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


def test_the_limit_cuts_behind_the_waiting(engine: Engine, client: TestClient) -> None:
    fill(engine)
    entries = client.get(QUEUE, params={"limit": 1}).json()["entries"]
    assert [entry["job_id"] for entry in entries] == ["waiting00001"]


def test_stats_count_what_the_jobs_say(engine: Engine, client: TestClient) -> None:
    fill(engine)
    stats = client.get(STATS).json()
    assert (stats["queue_depth"], stats["running"]) == (2, 1)
    assert stats["by_status"]["completed"] == 1
    assert stats["avg_wait_seconds"] == pytest.approx(300)


def test_stored_limits_are_shown(engine: Engine, client: TestClient) -> None:
    now = engine.system.clock.now()
    engine.system.stores.state.put(state_keys.QUEUE_LIMITS, {"max_concurrent": 7, "enable_fair_share": True}, now=now)
    stats = client.get(STATS).json()
    assert (stats["max_concurrent"], stats["enable_fair_share"]) == (7, True)
