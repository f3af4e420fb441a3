"""Who may ask: keys, roles, and an answer that tells a stranger nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from functions.http import list_jobs, read_health, sync_jobs
from shared.config import AuthMode
from shared.domain import state_keys
from shared.services.access.authenticate import ADMIN_KEY_SECRET, hash_key
from tests.system import System, a_system

ADMIN_KEY = "an-admin-key-of-this-test-0123456789"
VIEWER_KEY = "stk_viewer0001_" + "v" * 32


@pytest.fixture
def system() -> Iterator[System]:
    with a_system(auth_mode=AuthMode.KEY) as system:
        system.secrets.put(ADMIN_KEY_SECRET, ADMIN_KEY)
        stored = {"hash": hash_key(VIEWER_KEY), "user_id": "vera", "role": "viewer"}
        system.stores.state.put(state_keys.api_key("viewer0001"), stored, now=system.clock.now())
        yield system


@pytest.fixture
def client(system: System) -> TestClient:
    return system.client(list_jobs.router, sync_jobs.router)


def test_no_credentials_get_the_words_that_the_cli_looks_for(client: TestClient) -> None:
    answer = client.get("/api/cloud/jobs")
    assert answer.status_code == 401
    assert "authentication required" in answer.json()["detail"].lower()


@pytest.mark.parametrize(
    "key",
    ["wrong", "stk_viewer0001_" + "x" * 32, "stk_nobody0001_" + "x" * 32, "x" * 5000, ADMIN_KEY[:-1], ADMIN_KEY + "x"],
)
def test_a_wrong_key_gets_one_and_the_same_401(client: TestClient, key: str) -> None:
    answers = [
        client.get("/api/cloud/jobs", headers={"X-API-Key": key}),
        client.get("/api/cloud/jobs", headers={"Authorization": f"Bearer {key}"}),
    ]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].json() == answers[1].json() == client.get("/api/cloud/jobs", headers={"X-API-Key": "w"}).json()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": ADMIN_KEY},
        {"Authorization": f"Bearer {ADMIN_KEY}"},
        {"Authorization": f"bearer {ADMIN_KEY}"},
        {"X-API-Key": VIEWER_KEY},
    ],
)
def test_a_key_opens_in_every_form_that_clients_send(client: TestClient, headers: dict[str, str]) -> None:
    assert client.get("/api/cloud/jobs", headers=headers).status_code == 200


def test_a_viewer_reads_and_changes_nothing(client: TestClient, system: System) -> None:
    answer = client.post("/api/cloud/jobs/sync", headers={"X-API-Key": VIEWER_KEY})
    assert answer.status_code == 403
    assert not system.provider.calls
    assert client.post("/api/cloud/jobs/sync", headers={"X-API-Key": ADMIN_KEY}).status_code == 200


def test_a_short_or_empty_admin_key_opens_nothing(client: TestClient, system: System) -> None:
    for weak in ("", "short"):
        system.secrets.put(ADMIN_KEY_SECRET, weak)
        assert client.get("/api/cloud/jobs", headers={"X-API-Key": weak}).status_code == 401


def test_a_revoked_key_is_refused_at_once(client: TestClient, system: System) -> None:
    system.stores.state.delete(state_keys.api_key("viewer0001"), now=system.clock.now())
    assert client.get("/api/cloud/jobs", headers={"X-API-Key": VIEWER_KEY}).status_code == 401


def test_health_is_open_and_holds_no_secret(system: System) -> None:
    answer = system.client(read_health.router, access=False).get("/api/cloud/health?deep=true")
    assert answer.status_code == 200
    assert ADMIN_KEY not in answer.text
