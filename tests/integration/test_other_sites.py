"""No page of another site reads or changes anything, by whatever address it reaches this service (T12)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from functions.http._whole_app import http_handlers, whole_app
from shared.config import AuthMode, Settings
from tests.system import System, a_system

FOREIGN = (
    "https://evil.example",
    "http://0.0.0.0:8001",
    "http://rebound.example:8001",
    "null",
    "",
    "http://127.0.0.1",
    "http://127.0.0.1:8002",
    "https://127.0.0.1:8001",
    "http://127.0.0.1:8001.evil.example",
    "http://127.0.0.1:8001, http://127.0.0.1:8001",
    "http://LOCALHOST:8001",
    "https://ui.example.evil.example",
    "https://sub.ui.example",
    "https://ui.example:8443",
    "https://ui.example/",
    "http://ui.example",
)
OURS = ("http://127.0.0.1:8001", "http://localhost:8001", "http://[::1]:8001", "https://ui.example")
SITES: tuple[dict[str, str], ...] = (
    {},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site"},
)
"""What a browser says beside the Origin: nothing at all for an address that it does not trust."""

ROUTES = sorted(
    (method, route.path.replace("{path:path}", "nowhere").replace("{version}/{name}", "1/app.js"))
    for handler in http_handlers().values()
    for route in handler.router.routes
    if isinstance(route, APIRoute)
    for method in route.methods or ()
)


@pytest.fixture
def system() -> Iterator[System]:
    with a_system(public_base_url="http://127.0.0.1:8001", allowed_origins=("https://ui.example",)) as standing:
        yield standing


APP = cache(whole_app)


@pytest.fixture
def client(system: System) -> TestClient:
    return TestClient(APP(), base_url="http://127.0.0.1:8001", raise_server_exceptions=False)


def test_no_route_answers_a_page_of_another_site(client: TestClient) -> None:
    headers = {"Origin": "http://0.0.0.0:8001"}
    answers = {route: client.request(*route, headers=headers, json={}) for route in ROUTES}
    assert len(answers) > 50
    assert {route: answer.status_code for route, answer in answers.items() if answer.status_code != 403} == {}
    details = [answer.json()["detail"] for (method, _), answer in answers.items() if method != "HEAD"]
    assert all("ALLOWED_ORIGINS" in detail for detail in details)


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("site", [SITES[0], SITES[1], SITES[3]])
def test_a_foreign_origin_is_refused_whatever_else_is_sent(
    client: TestClient, system: System, origin: str, site: dict[str, str]
) -> None:
    headers = {"Origin": origin, "X-Requested-With": "dashboard", **site}
    assert client.get("/api/cloud/jobs", headers=headers).status_code == 403
    assert client.post("/api/cloud/jobs/sync", headers=headers).status_code == 403
    assert client.put("/api/cloud/providers/replicate/token", json={}, headers=headers).status_code == 403
    assert not system.provider.calls


@pytest.mark.parametrize("origin", OURS)
@pytest.mark.parametrize("site", SITES)
def test_our_own_origins_may_read_and_change(client: TestClient, origin: str, site: dict[str, str]) -> None:
    headers = {"Origin": origin, **site}
    assert client.get("/api/cloud/jobs", headers=headers).status_code == 200
    assert client.post("/api/cloud/jobs/sync", headers=headers).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_site_loads_without_an_origin_is_refused_but_a_link_leads_here(
    client: TestClient, site: str
) -> None:
    headers = {"Sec-Fetch-Site": site}
    assert client.post("/api/cloud/jobs/sync", headers=headers).status_code == 403
    assert client.get("/api/events", headers={**headers, "Sec-Fetch-Mode": "no-cors"}).status_code == 403
    assert client.get("/", headers={**headers, "Sec-Fetch-Mode": "navigate"}).status_code == 200
    assert client.post("/api/cloud/jobs/sync", headers={**headers, "Sec-Fetch-Mode": "navigate"}).status_code == 403


def test_a_program_and_the_page_s_own_reads_send_no_origin_and_pass(client: TestClient) -> None:
    assert client.post("/api/cloud/jobs/sync").status_code == 200
    assert client.get("/api/cloud/jobs", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    unsigned = client.post("/api/webhooks/replicate", content=b"{}")
    assert unsigned.status_code == 401


@pytest.mark.parametrize(
    ("base", "listed", "origins"),
    [
        (None, (), ()),
        ("https://Jobs.Example.com:443/prod", (), ("https://jobs.example.com",)),
        ("http://localhost:9000/", (), ("http://127.0.0.1:9000", "http://localhost:9000", "http://[::1]:9000")),
        ("http://[::1]:8001", (), ("http://127.0.0.1:8001", "http://localhost:8001", "http://[::1]:8001")),
        ("https://a.example", ("https://ui.example/",), ("https://a.example", "https://ui.example")),
        ("https://a.example", ("*", "null", "ui.example", "file:///", "http://[::1"), ("https://a.example",)),
        ("http://localhost.evil.example", (), ("http://localhost.evil.example",)),
    ],
)
def test_an_origin_is_ours_as_browsers_write_it(
    base: str | None, listed: tuple[str, ...], origins: tuple[str, ...]
) -> None:
    settings = Settings(auth_mode=AuthMode.NONE, public_base_url=base, allowed_origins=listed)
    assert settings.page_origins == origins
