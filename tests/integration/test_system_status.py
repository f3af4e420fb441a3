"""The provider's status page: asked rarely, believed with care, never in the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from functions.http import read_system_status
from shared.adapters.http.status_page import MAX_BYTES, StatusPage
from shared.domain.errors import ProviderAnswerInvalidError, ProviderUnavailableError
from tests.system import a_system

INCIDENT = {
    "id": "i1",
    "name": "GPUs\u202e are short\n",
    "status": "identified",
    "url": "javascript:alert(1)",
    "secret": "x",
}


def ask(fetch: Callable[[], Any] | None, times: int = 1) -> dict[str, Any]:
    with a_system() as system:
        system.wiring.__dict__["fetch_status_page"] = fetch
        client = system.client(read_system_status.router)
        for path in ("/api/cloud/system-status", "/api/cloud/replicate/status")[:times]:
            answer = client.get(path)
        assert answer.status_code == 200
        body: dict[str, Any] = answer.json()
        return body


def test_an_incident_is_told_with_known_fields_and_no_foreign_link() -> None:
    body = ask(lambda: {"ongoing_incidents": [INCIDENT, 5, None], "scheduled_maintenances": "none"})
    assert body["operational"] is False
    assert body["ongoing_incidents"] == [{"id": "i1", "name": "GPUs  are short ", "status": "identified"}]
    assert body["scheduled_maintenances"] == []


def test_the_page_is_asked_once_a_minute_whatever_the_path() -> None:
    asked: list[str] = []

    def fetch() -> dict[str, Any]:
        asked.append("once")
        return {}

    assert ask(fetch, times=2)["operational"] is True
    assert asked == ["once"]


def test_a_page_that_fails_is_told_and_does_not_fail_the_answer() -> None:
    def fetch() -> Any:
        raise ProviderUnavailableError("The status page could not be reached.")

    body = ask(fetch)
    assert (body["operational"], body["error"]) == (True, "The status page could not be reached.")


def test_a_simulated_provider_has_no_status_page() -> None:
    assert "simulated" in ask(None)["error"]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(302, headers={"Location": "http://169.254.169.254/"}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, text="[]"),
        httpx.Response(200, text="[" * 100_000),
        httpx.Response(200, content=b"0" * (MAX_BYTES + 1)),
    ],
)
def test_strange_answers_are_refused(answer: httpx.Response) -> None:
    page = StatusPage("https://status.example/api", httpx.MockTransport(lambda _request: answer))
    with pytest.raises((ProviderUnavailableError, ProviderAnswerInvalidError)):
        page.summary()


def test_the_page_is_asked_without_credentials() -> None:
    seen: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"ongoing_incidents": []})

    StatusPage("https://status.example/api", httpx.MockTransport(reply)).summary()
    assert "authorization" not in seen[0].headers
