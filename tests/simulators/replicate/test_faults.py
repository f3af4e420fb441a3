"""Every fault can be switched on and off while the simulator serves."""

import time
from collections.abc import Iterator

import httpx
import pytest

from infra.simulators.replicate import FaultKind, RunningSimulator, running_simulator

AUTHORIZED = {"authorization": "Bearer r8_any"}


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    with running_simulator(seed=5) as running:
        yield running


@pytest.fixture
def api(simulator: RunningSimulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=simulator.base_url, headers=AUTHORIZED, trust_env=False, timeout=5) as client:
        yield client


@pytest.mark.parametrize(
    ("kind", "status", "content_type"),
    [
        ("401", 401, "application/problem+json"),
        ("402", 402, "application/problem+json"),
        ("404", 404, "application/problem+json"),
        ("422", 422, "application/problem+json"),
        ("500", 500, "application/problem+json"),
        ("500_html", 500, "text/html; charset=utf-8"),
        ("200_html", 200, "text/html; charset=utf-8"),
    ],
)
def test_answer_is_replaced_until_the_fault_is_cleared(
    simulator: RunningSimulator, api: httpx.Client, kind: str, status: int, content_type: str
) -> None:
    fault = simulator.control.add_fault(kind)
    answer = api.get("/account")
    assert (answer.status_code, answer.headers["content-type"]) == (status, content_type)
    simulator.control.clear_faults(fault.id)
    assert api.get("/account").json()["type"] == "user"


@pytest.mark.parametrize(
    ("kind", "header", "in_body"), [("429", "7", None), ("429_body", None, 7), ("429_text", None, None)]
)
def test_throttling_tells_its_time_in_three_ways(
    simulator: RunningSimulator, api: httpx.Client, kind: str, header: str | None, in_body: int | None
) -> None:
    simulator.control.add_fault(kind, seconds=7)
    answer = api.get("/predictions")
    assert answer.status_code == 429
    assert answer.headers.get("retry-after") == header
    assert answer.json().get("retry_after") == in_body
    assert "~7s" in answer.json()["detail"]


def test_fault_strikes_only_its_path_and_method_and_only_so_often(
    simulator: RunningSimulator, api: httpx.Client
) -> None:
    simulator.control.add_fault("500", path="/v1/predictions", method="get", count=2)
    statuses = [api.get("/predictions").status_code for _ in range(3)]
    assert statuses == [500, 500, 200]
    simulator.control.add_fault("500", path="/v1/predictions", method="POST")
    assert api.get("/predictions").status_code == 200
    assert api.get("/account").status_code == 200


def test_fault_with_a_probability_strikes_about_so_often(simulator: RunningSimulator, api: httpx.Client) -> None:
    simulator.control.add_fault("500", probability=0.3)
    struck = sum(api.get("/account").status_code == 500 for _ in range(200))
    assert 30 < struck < 90


def test_two_faults_strike_one_after_the_other(simulator: RunningSimulator, api: httpx.Client) -> None:
    simulator.control.add_fault("500", count=1)
    simulator.control.add_fault("402", count=1)
    assert [api.get("/account").status_code for _ in range(3)] == [500, 402, 200]


def test_slow_answer_comes_late_but_whole(simulator: RunningSimulator, api: httpx.Client) -> None:
    simulator.control.add_fault("slow", seconds=0.4)
    began = time.monotonic()
    assert api.get("/account").json()["type"] == "user"
    assert time.monotonic() - began >= 0.4


def test_latency_is_added_to_every_call(simulator: RunningSimulator, api: httpx.Client) -> None:
    simulator.control.set(latency_seconds=0.1)
    began = time.monotonic()
    api.get("/account")
    api.get("/account")
    assert time.monotonic() - began >= 0.2


def test_timeout_never_answers(simulator: RunningSimulator, api: httpx.Client) -> None:
    simulator.control.add_fault("timeout", count=1)
    with pytest.raises(httpx.ReadTimeout):
        api.get("/account", timeout=0.3)
    assert api.get("/account").status_code == 200


def test_waiting_requests_do_not_keep_the_simulator_from_stopping() -> None:
    with running_simulator() as simulator:
        simulator.control.add_fault("timeout")
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{simulator.base_url}/account", timeout=0.2)
        began = time.monotonic()
    assert time.monotonic() - began < 3


def test_reset_breaks_the_connection_without_an_answer(simulator: RunningSimulator, api: httpx.Client) -> None:
    simulator.control.add_fault("reset", count=1)
    with pytest.raises(httpx.ReadError):
        api.get("/account")
    assert api.get("/account").status_code == 200


def test_lost_answer_has_created_the_job_all_the_same(simulator: RunningSimulator, api: httpx.Client) -> None:
    simulator.control.add_fault("lost_answer", method="POST")
    with pytest.raises(httpx.ReadError):
        api.post("/predictions", json={"version": "a" * 64, "input": {}})
    assert len(api.get("/predictions").json()["results"]) == 1


def test_truncated_body_breaks_off_in_the_middle(simulator: RunningSimulator, api: httpx.Client) -> None:
    simulator.control.create_job()
    simulator.control.add_fault("truncated")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        api.get("/predictions")


def test_endless_body_goes_on_until_the_client_leaves(simulator: RunningSimulator, api: httpx.Client) -> None:
    simulator.control.add_fault("endless", count=1)
    read = 0
    with api.stream("GET", "/predictions") as answer:
        for chunk in answer.iter_bytes():
            read += len(chunk)
            if read > 5_000_000:
                break
    assert api.get("/predictions").json()["results"] == []


def test_page_loop_leads_back_to_itself(simulator: RunningSimulator, api: httpx.Client) -> None:
    simulator.control.create_job()
    simulator.control.add_fault("page_loop")
    first = api.get("/predictions?created_after=2020-01-01T00:00:00Z").json()
    second = api.get(first["next"]).json()
    assert second["next"] == first["next"]
    assert second["results"][0]["id"] == first["results"][0]["id"]


def test_next_leads_off_the_origin_or_to_http(simulator: RunningSimulator, api: httpx.Client) -> None:
    for _ in range(101):
        simulator.control.create_job()
    simulator.control.add_fault("next_off_origin", count=1, url="https://evil.example/v1/predictions?cursor=x")
    assert api.get("/predictions").json()["next"] == "https://evil.example/v1/predictions?cursor=x"
    simulator.control.add_fault("next_http", count=1)
    assert api.get("/predictions").json()["next"].startswith("http://")


def test_deleted_job_is_gone_from_everywhere(simulator: RunningSimulator, api: httpx.Client) -> None:
    job_id = simulator.control.create_job()
    simulator.control.delete_job(job_id)
    assert api.get(f"/predictions/{job_id}").status_code == 404
    assert api.post(f"/predictions/{job_id}/cancel").status_code == 404
    assert api.get("/predictions").json()["results"] == []


@pytest.mark.parametrize("kind", list(FaultKind))
def test_every_fault_leaves_the_simulator_well_once_cleared(simulator: RunningSimulator, kind: FaultKind) -> None:
    job_id = simulator.control.create_job()
    simulator.control.add_fault(kind, seconds=0.05)
    for path in ("predictions", f"predictions/{job_id}"):
        try:
            with httpx.stream("GET", f"{simulator.base_url}/{path}", headers=AUTHORIZED, timeout=0.3) as answer:
                next(answer.iter_bytes(), b"")
        except httpx.TransportError:
            continue
    simulator.control.clear_faults()
    assert httpx.get(f"{simulator.base_url}/predictions", headers=AUTHORIZED).status_code == 200


def test_control_over_http_does_what_the_methods_do(simulator: RunningSimulator, api: httpx.Client) -> None:
    with httpx.Client(base_url=simulator.control_url, trust_env=False) as control:
        created = control.post("/jobs", json={"boot_seconds": 0, "run_seconds": 600, "kind": "training"})
        assert created.status_code == 201
        job_id = created.json()["id"]
        assert (
            control.post(f"/jobs/{job_id}/end", json={"outcome": "failed", "error": "boom"}).json()["error"] == "boom"
        )
        assert api.get(f"/trainings/{job_id}").json()["status"] == "failed"
        fault = control.post("/faults", json={"kind": "500", "path": "/v1/account", "count": 5}).json()
        assert api.get("/account").status_code == 500
        assert control.delete(f"/faults/{fault['id']}").json() == {"faults": []}
        assert api.get("/account").status_code == 200
        assert control.patch("/settings", json={"latency_seconds": 0.01}).json()["latency_seconds"] == 0.01
        assert control.patch("/webhooks", json={"duplicates": 1, "events": ["start"]}).json()["events"] == ["start"]
        assert control.delete("/webhooks").json()["duplicates"] == 0
        before = control.get("").json()["now_ns"]
        assert control.post("/clock", json={"jump_seconds": 60}).json()["now_ns"] - before >= 60_000_000_000
        assert control.post("/secret").json()["key"] == simulator.control.webhook_secret
        assert control.delete(f"/jobs/{job_id}").status_code == 200
        assert control.get("/jobs").json() == {"jobs": []}
        assert control.get("/deliveries").json() == {"deliveries": []}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/faults", {"kind": "earthquake"}),
        ("POST", "/faults", {"kind": "500", "probability": 2}),
        ("POST", "/clock", {"jump_seconds": -1}),
        ("POST", "/jobs", {"outcome": "processing"}),
        ("POST", "/jobs", {"colour": "red"}),
        ("PATCH", "/settings", {"latency_seconds": -1}),
        ("PATCH", "/settings", {"latency_seconds": "fast"}),
        ("PATCH", "/settings", {"nonsense": 1}),
        ("PATCH", "/webhooks", {"reorder": 1}),
    ],
)
def test_wrong_control_is_refused_with_a_sentence(
    simulator: RunningSimulator, method: str, path: str, body: dict[str, object]
) -> None:
    answer = httpx.request(method, f"{simulator.control_url}{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["detail"]
