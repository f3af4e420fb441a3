"""GET /api/cloud/jobs and /{job_id}: paging, filters, prefixes, hostile parameters, and what a page costs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from functions.http import get_job, list_jobs
from shared.domain.errors import ProviderUnavailableError
from shared.domain.job import JobStatus
from shared.services.recording.record_observations import RecordObservations
from tests.builders import an_observation
from tests.system import System, a_system


@pytest.fixture
def system() -> Iterator[System]:
    with a_system() as system:
        yield system


@pytest.fixture
def client(system: System) -> TestClient:
    return system.client(list_jobs.router, get_job.router)


def fill(system: System, number: int) -> list[str]:
    """Jobs of every status, newest first; returns their ids in that order."""
    cycle = [JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.QUEUED]
    names = [f"{chr(97 + number % 26)}{number:07d}job" for number in range(number)]
    for index, name in enumerate(names):
        system.remote_job(name, cycle[index % 4], age=100 + index)
    system.sync()
    return names


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 422),
        ("limit=501", 422),
        ("limit=ten", 422),
        ("offset=-1", 422),
        ("offset=100001", 422),
        ("status=done", 422),
        ("status=running,done", 422),
        ("sync_active=perhaps", 422),
        ("cursor=AAAA", 400),
        ("cursor=%00%ff", 400),
        ("cursor=" + "A" * 400, 400),
        ("cursor=" + "A" * 4000, 422),
    ],
)
def test_wrong_input_gets_one_sentence(client: TestClient, query: str, status: int) -> None:
    answer = client.get(f"/api/cloud/jobs?{query}")
    assert answer.status_code == status
    body = answer.json()
    assert set(body) == {"error", "message", "detail"}
    assert isinstance(body["detail"], str)
    assert body["detail"].endswith((".", "!"))


def test_a_cursor_that_was_altered_or_made_for_another_filter_is_refused(system: System, client: TestClient) -> None:
    fill(system, 6)
    cursor = client.get("/api/cloud/jobs?limit=2").json()["next_cursor"]
    assert client.get(f"/api/cloud/jobs?limit=2&cursor={cursor}").status_code == 200
    for position in range(0, len(cursor), 5):
        altered = cursor[:position] + ("A" if cursor[position] != "A" else "B") + cursor[position + 1 :]
        assert client.get(f"/api/cloud/jobs?cursor={altered}").status_code == 400
    assert client.get(f"/api/cloud/jobs?status=running&cursor={cursor}").status_code == 400


def test_pages_give_every_job_once_newest_first(system: System, client: TestClient) -> None:
    names = fill(system, 23)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        body = client.get("/api/cloud/jobs", params={"limit": 5, "cursor": cursor}).json()
        assert body["total"] == 23
        seen += [job["job_id"] for job in body["jobs"]]
        cursor = body["next_cursor"]
    assert seen == names


def test_offset_and_limit_cut_the_same_order(system: System, client: TestClient) -> None:
    names = fill(system, 20)
    body = client.get("/api/cloud/jobs?limit=4&offset=7").json()
    assert [job["job_id"] for job in body["jobs"]] == names[7:11]


@pytest.mark.parametrize("query", ["", "&provider=replicate", "&job_type=cloud", "&provider=replicate&status=running"])
def test_a_far_offset_reads_no_row_of_what_it_passes_over(system: System, client: TestClient, query: str) -> None:
    names = fill(system, 120)
    wanted = names[::4] if "status" in query else names
    system.stores.reset_usage()
    body = client.get(f"/api/cloud/jobs?limit=5&offset={len(wanted) - 7}{query}").json()
    assert [job["job_id"] for job in body["jobs"]] == wanted[-7:-2]
    usage = system.stores.usage
    assert usage["jobs.get_many"].items_read == 5
    assert usage["jobs.page"].calls <= 2
    assert client.get(f"/api/cloud/jobs?offset=100000{query}").json()["jobs"] == []


def test_pages_by_offset_bring_every_job_once(system: System, client: TestClient) -> None:
    names = fill(system, 53)
    pages = [client.get(f"/api/cloud/jobs?limit=10&offset={offset}").json()["jobs"] for offset in range(0, 70, 10)]
    assert [job["job_id"] for page in pages for job in page] == names


@pytest.mark.parametrize(
    "query", ["provider=elsewhere", "provider=runpod&sync_active=true", "job_type=local", "job_type=moon"]
)
def test_an_unknown_provider_or_job_type_finds_nothing(system: System, client: TestClient, query: str) -> None:
    fill(system, 4)
    system.stores.reset_usage()
    body = client.get(f"/api/cloud/jobs?{query}").json()
    assert body == {"jobs": [], "total": 0 if "provider" in query else None, "next_cursor": None}
    assert "jobs.page" not in system.stores.usage
    assert not system.provider.calls["get"]


@pytest.mark.parametrize("status", ["running", "completed,failed", "queued,running,failed"])
def test_statuses_are_merged_in_order_and_counted(system: System, client: TestClient, status: str) -> None:
    names = fill(system, 41)
    wanted = status.split(",")
    seen: list[dict[str, object]] = []
    cursor: str | None = ""
    while cursor is not None:
        body = client.get("/api/cloud/jobs", params={"limit": 3, "status": status, "cursor": cursor}).json()
        seen += body["jobs"]
        cursor = body["next_cursor"]
    assert {job["status"] for job in seen} == set(wanted)
    assert [job["job_id"] for job in seen] == [name for name in names if name in {job["job_id"] for job in seen}]
    assert body["total"] == len(seen)


def test_a_search_reads_few_pages_and_says_where_to_go_on(system: System, client: TestClient) -> None:
    names = fill(system, 900)
    system.stores.reset_usage()
    body = client.get("/api/cloud/jobs", params={"q": names[-1][:8].upper()}).json()
    assert body["jobs"] == []
    assert body["total"] is None
    assert system.stores.usage["jobs.page"].requests == 4
    rounds = 1
    while body["next_cursor"] and not body["jobs"]:
        body = client.get("/api/cloud/jobs", params={"q": names[-1][:8].upper(), "cursor": body["next_cursor"]}).json()
        rounds += 1
    assert [job["job_id"] for job in body["jobs"]] == [names[-1]]
    assert rounds == 3


def test_a_page_is_one_query_one_batch_and_the_head(system: System, client: TestClient) -> None:
    fill(system, 500)
    system.stores.reset_usage()
    assert len(client.get("/api/cloud/jobs?limit=50").json()["jobs"]) == 50
    requests = {name: usage.requests for name, usage in system.stores.usage.items()}
    assert requests.pop("state.get", 0) <= 2, "the key that signs cursors, once a process"
    assert {name: count for name, count in requests.items() if name != "state.put"} == {
        "jobs.page": 1,
        "jobs.get_many": 1,
        "events.head": 1,
    }


def test_a_job_is_one_read_in_full_and_one_index_more_by_prefix(system: System, client: TestClient) -> None:
    names = fill(system, 3)
    system.stores.reset_usage()
    assert client.get(f"/api/cloud/jobs/{names[0]}").json()["job"]["job_id"] == names[0]
    assert system.stores.total_usage.requests == 1
    assert client.get(f"/api/cloud/jobs/{names[1][:8]}").json()["job"]["job_id"] == names[1]


def test_a_prefix_of_two_jobs_is_a_conflict_and_a_short_one_is_unknown(system: System, client: TestClient) -> None:
    system.remote_job("samebegin1")
    system.remote_job("samebegin2")
    system.sync()
    assert client.get("/api/cloud/jobs/samebegi").status_code == 409
    assert client.get("/api/cloud/jobs/samebeg").status_code == 404


@pytest.mark.parametrize("job_id", ["nope", "..%2f..%2fx", "a%00b", "a" * 65, "%F0%9F%98%80", "a#b", "-" * 64, "x/y"])
def test_an_unknown_or_malformed_id_is_404_in_our_form(client: TestClient, job_id: str) -> None:
    answer = client.get(f"/api/cloud/jobs/{job_id}")
    assert answer.status_code == 404
    assert isinstance(answer.json()["detail"], str)


def test_sync_active_shows_what_it_saw_although_the_index_lags(system: System, client: TestClient) -> None:
    system.remote_job("lagging1job", JobStatus.RUNNING)
    system.sync()
    system.stores.faults.index_lag = timedelta(seconds=5)
    system.remote_job("lagging1job", JobStatus.COMPLETED)
    body = client.get("/api/cloud/jobs?sync_active=true&status=completed").json()
    assert [(job["job_id"], job["status"]) for job in body["jobs"]] == [("lagging1job", "completed")]
    assert body["jobs"][0]["cost_usd"] == pytest.approx(0.8235)
    assert client.get("/api/cloud/jobs?status=running").json()["jobs"] == []


def test_a_provider_that_is_down_leaves_the_stored_list_and_says_so(system: System, client: TestClient) -> None:
    system.remote_job("standing1job", JobStatus.RUNNING)
    system.sync()
    system.provider.fail("get", ProviderUnavailableError("Replicate is down."))
    answer = client.get("/api/cloud/jobs?sync_active=true")
    assert answer.status_code == 200
    assert [job["job_id"] for job in answer.json()["jobs"]] == ["standing1job"]
    assert "provider_unavailable" in answer.headers["X-Sync-Incomplete"]


def test_an_active_job_with_a_long_past_is_refreshed_too(system: System, client: TestClient) -> None:
    """SimpleTuner looks at its newest hundred jobs only."""
    system.remote_job("veryold1job", JobStatus.RUNNING, age=86_400 * 20)
    for number in range(150):
        system.remote_job(f"newer{number:04d}job", JobStatus.COMPLETED, age=number)
    system.sync()
    system.remote_job("veryold1job", JobStatus.COMPLETED, age=86_400 * 20)
    client.get("/api/cloud/jobs?sync_active=true&limit=1")
    assert system.stores.job_rows["veryold1job"].status is JobStatus.COMPLETED
    assert system.provider.calls == {"get": 1}


def test_a_bare_question_mark_and_a_correlation_id_pass(client: TestClient) -> None:
    answer = client.get("/api/cloud/jobs?", headers={"X-Correlation-ID": "abc-123"})
    assert answer.status_code == 200
    assert answer.headers["X-Correlation-ID"] == "abc-123"
    assert (
        client.get("/api/cloud/jobs", headers={"X-Correlation-ID": "x\ty" * 99}).headers["X-Correlation-ID"].isalnum()
    )


def test_a_store_that_is_down_is_503_without_a_traceback(system: System, client: TestClient) -> None:
    system.stores.faults.throttle_call(*range(1, 20))
    answer = client.get("/api/cloud/jobs")
    assert answer.status_code == 503
    assert "Traceback" not in answer.text


def test_secrets_and_inputs_are_never_part_of_a_job(system: System, client: TestClient) -> None:
    system.wiring.use(RecordObservations).run([an_observation("plain1234job")])
    body = client.get("/api/cloud/jobs/plain1234job").json()["job"]
    assert "input" not in body
    assert "logs" not in body
    expected = {
        "job_id", "job_type", "provider", "status", "config_name", "created_at", "started_at", "completed_at",
        "finished_at", "cost_usd", "hardware_type", "error_message", "output_url", "user_id", "metadata",
        "is_terminal", "is_active", "duration_seconds",
    }  # fmt: skip
    assert set(body) == expected
