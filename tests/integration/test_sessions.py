"""Sessions of the page: a cookie that no script reads, no other site uses, and that dies with its key (T12)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from functions.http import configure_provider, get_job, list_jobs, sign_in, sync_jobs
from functions.http._access import SESSION_COOKIE
from functions.http._app import add_routes, build_app
from shared.config import AuthMode
from shared.domain import state_keys
from shared.services.access.authenticate import ADMIN_KEY_SECRET, hash_key
from shared.services.access.sign_in import SESSION_LIFE
from tests.system import System, a_system

ADMIN_KEY = "an-admin-key-that-is-long-enough"
VIEWER_KEY = f"stk_viewerkey0_{'v' * 30}"
PAGE = {"X-Requested-With": "dashboard"}


@pytest.fixture
def system() -> Iterator[System]:
    with a_system(auth_mode=AuthMode.KEY, stack="deployed") as standing:
        standing.secrets.put(ADMIN_KEY_SECRET, ADMIN_KEY)
        value = {"hash": hash_key(VIEWER_KEY), "user_id": "vera", "role": "viewer"}
        standing.stores.state.put(state_keys.api_key("viewerkey0"), value, now=standing.clock.now())
        yield standing


def client_of(base_url: str = "https://testserver") -> TestClient:
    app = build_app(list_jobs.router, get_job.router, sync_jobs.router, configure_provider.router)
    add_routes(app, sign_in.router, access=False)
    return TestClient(app, base_url=base_url, raise_server_exceptions=False)


def signed_in(key: str = ADMIN_KEY) -> TestClient:
    client = client_of()
    answer = client.post("/api/auth/login", json={"key": key})
    assert answer.status_code == 200, answer.text
    return client


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(system: System) -> None:
    answer = client_of().post("/api/auth/login", json={"key": ADMIN_KEY})
    cookie = answer.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "secure", "path=/"))
    assert ADMIN_KEY not in cookie
    assert answer.json() == {"user_id": "admin", "role": "admin", "can_sign_out": True}


def test_neither_the_key_nor_the_token_stands_in_the_store(system: System) -> None:
    client = signed_in()
    stored = str(system.stores.state_rows)
    assert ADMIN_KEY not in stored
    assert client.cookies[SESSION_COOKIE] not in stored


@pytest.mark.parametrize("key", ["", "wrong", ADMIN_KEY[:-1], "x" * 500, "stk_viewerkey0_" + "w" * 30, "\u0000\ud7ff"])
def test_a_wrong_key_opens_no_session_and_says_nothing_more(system: System, key: str) -> None:
    answer = client_of().post("/api/auth/login", json={"key": key})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "authentication required" in answer.json()["detail"].lower()


def test_a_session_reads_and_changes_with_the_page_s_header(system: System) -> None:
    client = signed_in()
    assert client.get("/api/cloud/jobs").status_code == 200
    assert client.put("/api/cloud/providers/replicate/config", json={}, headers=PAGE).status_code == 200


def test_a_change_without_the_page_s_header_is_refused(system: System) -> None:
    client = signed_in()
    assert client.put("/api/cloud/providers/replicate/config", json={}).status_code == 403
    assert client.post("/api/cloud/jobs/sync").status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_change_that_another_site_asks_for_is_refused_whatever_the_credentials(system: System, site: str) -> None:
    headers = {"Sec-Fetch-Site": site, "Origin": "https://evil.example"}
    client = signed_in()
    assert client.post("/api/cloud/jobs/sync", headers={**headers, **PAGE}).status_code == 403
    assert client_of().post("/api/cloud/jobs/sync", headers={**headers, "X-API-Key": ADMIN_KEY}).status_code == 403
    assert client_of().post("/api/auth/login", json={"key": ADMIN_KEY}, headers=headers).status_code == 403


def test_an_open_service_on_one_machine_takes_no_change_from_another_site() -> None:
    with a_system(auth_mode=AuthMode.NONE):
        client = client_of("http://127.0.0.1")
        headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
        assert client.post("/api/cloud/jobs/sync", headers=headers).status_code == 403
        assert client.post("/api/cloud/jobs/sync", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_an_open_service_on_one_machine_lets_no_script_of_another_site_read(origin: str) -> None:
    with a_system(auth_mode=AuthMode.NONE):
        client = client_of("http://127.0.0.1")
        headers = {"Sec-Fetch-Site": "cross-site", "Origin": origin}
        assert client.get("/api/cloud/jobs", headers=headers).status_code == 403
        assert client.get("/api/cloud/jobs", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_a_link_from_another_site_still_leads_here() -> None:
    with a_system(auth_mode=AuthMode.NONE):
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert client_of("http://127.0.0.1").get("/api/cloud/jobs", headers=headers).status_code == 200


def test_a_listed_origin_may_read_and_ask_for_a_change() -> None:
    with a_system(auth_mode=AuthMode.NONE, allowed_origins=("https://ui.example",)):
        headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://ui.example"}
        assert client_of("http://127.0.0.1").get("/api/cloud/jobs", headers=headers).status_code == 200
        assert client_of("http://127.0.0.1").post("/api/cloud/jobs/sync", headers=headers).status_code == 200


def test_a_session_ends_with_its_time(system: System) -> None:
    client = signed_in()
    system.clock.advance(SESSION_LIFE.total_seconds() + 1)
    assert client.get("/api/cloud/jobs").status_code == 401


def test_a_session_ends_with_its_key(system: System) -> None:
    viewer, admin = signed_in(VIEWER_KEY), signed_in()
    system.stores.state.delete(state_keys.api_key("viewerkey0"), now=system.clock.now())
    system.secrets.put(ADMIN_KEY_SECRET, "another-admin-key-of-good-length")
    assert viewer.get("/api/cloud/jobs").status_code == 401
    assert admin.get("/api/cloud/jobs").status_code == 401


def test_signing_out_ends_the_session_on_the_server_too(system: System) -> None:
    client = signed_in()
    token = client.cookies[SESSION_COOKIE]
    assert client.post("/api/auth/logout").status_code == 403
    assert client.post("/api/auth/logout", headers=PAGE).json() == {"success": True}
    thief = client_of()
    thief.cookies.set(SESSION_COOKIE, token)
    assert thief.get("/api/cloud/jobs").status_code == 401


def test_a_viewer_s_session_changes_nothing(system: System) -> None:
    client = signed_in(VIEWER_KEY)
    assert client.get("/api/auth/me").json()["role"] == "viewer"
    assert client.post("/api/cloud/jobs/sync", headers=PAGE).status_code == 403


@pytest.mark.parametrize("cookie", ["", "x", "session#abc", "a" * 500, '"', "ü"])
def test_a_forged_cookie_is_401_and_never_500(system: System, cookie: str) -> None:
    client = client_of()
    answer = client.get("/api/cloud/jobs", headers=[(b"Cookie", f"{SESSION_COOKIE}={cookie}".encode())])
    assert answer.status_code == 401


def test_with_an_open_service_an_old_cookie_does_no_harm() -> None:
    with a_system(auth_mode=AuthMode.NONE):
        client = client_of("http://127.0.0.1")
        client.cookies.set(SESSION_COOKIE, "a" * 43)
        assert client.get("/api/cloud/jobs").status_code == 200
        assert client.get("/api/auth/me").json() == {"user_id": "local", "role": "admin", "can_sign_out": False}
