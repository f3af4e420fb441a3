"""What is refused is refused in one sentence that says what to send instead (docs/contract.md)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from functions.http import (
    list_jobs,
    read_costs,
    read_health,
    read_polling_status,
    sync_jobs,
)
from functions.http import (
    test_webhook as webhook_test,
)
from tests.system import System, a_system

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def system() -> Iterator[System]:
    with a_system() as standing:
        yield standing


@pytest.fixture
def client(system: System) -> TestClient:
    return system.client(
        list_jobs.router,
        read_costs.router,
        read_health.router,
        read_polling_status.router,
        sync_jobs.router,
        webhook_test.router,
    )


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("limit=0", "The parameter limit must be at least 1."),
        ("limit=501", "The parameter limit must be at most 500."),
        ("limit=many", "The parameter limit must be a whole number."),
        ("limit=" + "9" * 5000, "The parameter limit must be a whole number of at most a few digits."),
        ("offset=100001", "The parameter offset must be at most 100000."),
        ("sync_active=maybe", "The parameter sync_active must be true or false."),
        ("q=" + "a" * 201, "The parameter q may have at most 200 characters."),
    ],
)
def test_a_wrong_parameter_is_named_with_what_it_takes(client: TestClient, query: str, sentence: str) -> None:
    answer = client.get(f"/api/cloud/jobs?{query}")
    assert (answer.status_code, answer.json()["detail"]) == (422, sentence)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "The body is missing; send it."),
        ("[]", "The body must be a JSON object, sent as application/json."),
        ("{}", "The parameter enabled is missing; send it."),
        ('{"enabled": 1}', "The parameter enabled must be true or false."),
        ("{", "The body is not valid JSON; correct it and send it again."),
        ("[" * 100_000, "The body is not valid JSON; correct it and send it again."),
        ('{"enabled": ' + "9" * 6000 + "}", "The body is not valid JSON; correct it and send it again."),
    ],
    ids=lambda value: value[:30],
)
def test_a_wrong_body_is_422_however_it_is_broken(client: TestClient, content: str, sentence: str) -> None:
    answer = client.put("/api/cloud/polling/setting", content=content, headers=JSON)
    assert (answer.status_code, answer.json()["detail"]) == (422, sentence)


def test_a_body_of_another_type_is_told_which_one_to_send(client: TestClient) -> None:
    answer = client.post("/api/cloud/jobs/sync", content="provider=replicate", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "The body must be a JSON object, sent as application/json.",
    )
    assert "JSON array" in client.post("/api/cloud/cost-estimate", json={}).json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/cloud/cost-limit/status?provider=nowhere", None),
        ("GET", "/api/cloud/hardware-options?provider=nowhere", None),
        ("POST", "/api/cloud/cost-estimate?provider=nowhere", []),
        ("POST", "/api/cloud/jobs/sync", {"provider": "nowhere"}),
        ("POST", "/api/cloud/webhook/test", {"provider": "nowhere"}),
    ],
)
def test_an_unknown_provider_as_a_parameter_is_422(client: TestClient, method: str, path: str, body: object) -> None:
    answer = client.request(method, path, json=body)
    assert answer.status_code == 422
    assert "known are: replicate" in answer.json()["detail"]


@pytest.mark.parametrize("switch", ["deep", "deep=", "deep=true", "include_replicate"])
def test_a_switch_without_a_value_is_on(client: TestClient, switch: str) -> None:
    names = [component["name"] for component in client.get(f"/api/cloud/health?{switch}").json()["components"]]
    assert "replicate" in names
    assert client.get("/api/cloud/jobs?sync_active").status_code == 200


@pytest.mark.parametrize("path", ["/api/cloud/health", "/api/cloud/health/ready"])
def test_an_unhealthy_service_says_what_is_wrong_as_every_error_does(
    system: System, client: TestClient, path: str
) -> None:
    system.stores.faults.throttle_call(*range(1, 20))
    answer = client.get(path)
    assert answer.status_code == 503
    assert answer.json()["status"] == "unhealthy"
    assert answer.json()["detail"] == answer.json()["message"] == answer.json()["components"][0]["message"]


def test_a_wrong_method_is_405_and_says_which_one_is_right(client: TestClient) -> None:
    answer = client.request("HEAD", "/api/cloud/jobs")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")
    assert client.patch("/api/cloud/jobs").json()["detail"].startswith("This path takes GET only;")
