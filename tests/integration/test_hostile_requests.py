"""I38: no request whatever gives a 500 or a traceback, and every error has our form."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import APIRouter, FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok
from starlette.testclient import TestClient

from functions.http._app import build_app
from shared.domain.job import JobStatus
from tests.proof import scaled
from tests.system import System, a_system

FOLDER = Path(__file__).resolve().parents[2] / "functions" / "http"
LAST = "answer_unknown_path"
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_") and path.stem != LAST)
CASES_AN_OPERATION = scaled(210)


def routers() -> list[APIRouter]:
    return [importlib.import_module(f"functions.http.{name}").router for name in [*MODULES, LAST]]


def every_route() -> FastAPI:
    return build_app(*routers(), access=False)


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with a_system(sse_hold_seconds=0, websocket_url="ws://127.0.0.1:1/") as system:
        for number, status in enumerate([JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.QUEUED]):
            system.remote_job(f"fuzzing{number}job", status)
        system.sync()
        yield system


@pytest.fixture(scope="module")
def client(system: System) -> TestClient:
    return TestClient(every_route(), raise_server_exceptions=False)


def operations() -> dict[str, Any]:
    """Every operation by name. The plug-in's own decorator does not know pytest 9, so the cases are drawn here."""
    app = build_app(*routers()[:-1], access=False)
    app.openapi_url = "/openapi.json"
    app.setup()
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    return {f"{operation.method.upper()} {operation.path}": operation for operation in found}


OPERATIONS = operations()


@pytest.mark.parametrize("name", OPERATIONS)
def test_generated_requests_get_an_answer_in_our_form(name: str, system: System) -> None:
    @settings(max_examples=CASES_AN_OPERATION, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=OPERATIONS[name].as_strategy())
    def every_case(case: Any) -> None:
        answer = case.call()
        assert answer.status_code != 500, answer.text
        assert "Traceback" not in answer.text
        if answer.status_code >= 400:
            body = answer.json()
            assert isinstance(body["detail"], str)
            assert {"error", "message"} <= set(body)

    every_case()


@pytest.mark.parametrize("path", ["/nope", "/api", "/api/cloud/jobs/", "/api//cloud/jobs", "/%00", "/" + "a" * 9000])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH"])
def test_an_unknown_path_is_404_in_our_form(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code in (404, 405)
    assert isinstance(answer.json()["detail"], str)
