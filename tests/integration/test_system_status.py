"""The provider's status page: asked rarely, believed with care, never in the way."""

from __future__ import annotations

from typing import Any

import pytest

from functions.http import read_system_status
from shared.adapters.providers.replicate.status_page import status_from_summary
from shared.domain.errors import ProviderUnavailableError
from shared.domain.system_status import SystemStatus
from tests.system import System, a_system

INCIDENT = {
    "id": "i1",
    "name": "GPUs\u202e are short\n",
    "status": "identified",
    "url": "javascript:alert(1)",
    "secret": "x",
}
PATHS = (
    "/api/cloud/system-status",
    "/api/cloud/replicate/status",
    "/api/cloud/system-status?provider=replicate",
)


def ask(system: System, path: str = PATHS[0]) -> dict[str, Any]:
    answer = system.client(read_system_status.router).get(path)
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


def test_an_incident_is_told_with_known_fields_and_no_foreign_link() -> None:
    with a_system() as system:
        summary = {"ongoing_incidents": [INCIDENT, 5, None], "scheduled_maintenances": "none"}
        system.provider.status = status_from_summary(summary)
        body = ask(system)
    assert body["operational"] is False
    assert body["ongoing_incidents"] == [{"id": "i1", "name": "GPUs are short", "status": "identified"}]
    assert body["scheduled_maintenances"] == []
    assert body["status_page_url"] == "https://www.replicatestatus.com"


def test_the_page_is_asked_once_a_minute_whatever_the_path() -> None:
    with a_system() as system:
        system.provider.status = SystemStatus()
        for path in PATHS:
            assert ask(system, path)["operational"] is True
        assert system.provider.calls["system_status"] == 1
        system.clock.advance(61)
        ask(system)
        assert system.provider.calls["system_status"] == 2


def test_a_page_that_fails_is_told_and_does_not_fail_the_answer() -> None:
    with a_system() as system:
        system.provider.fail("system_status", ProviderUnavailableError("The status page could not be reached."))
        body = ask(system)
    assert (body["operational"], body["error"]) == (True, "The status page could not be reached.")


def test_a_provider_without_a_status_page_is_operational_and_says_so() -> None:
    with a_system() as system:
        body = ask(system)
    assert (body["operational"], body["error"]) == (True, "No status page of Replicate is asked here.")


@pytest.mark.parametrize(
    ("path", "status"), [("/api/cloud/nobody/status", 404), ("/api/cloud/system-status?provider=nobody", 422)]
)
def test_an_unknown_provider_has_none(path: str, status: int) -> None:
    with a_system() as system:
        assert system.client(read_system_status.router).get(path).status_code == status
