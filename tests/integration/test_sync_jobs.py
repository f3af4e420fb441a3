"""POST /api/cloud/jobs/sync: discovery, honest failure, and no write for what is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from functions.http import sync_jobs
from shared.adapters.providers.replicate.profile import PROFILE as REPLICATE
from shared.adapters.providers.replicate.profile import TRAINING
from shared.domain.change import Snapshot
from shared.domain.errors import (
    ProviderAnswerInvalidError,
    ProviderNotConfiguredError,
    ProviderThrottledError,
    ProviderTokenRejectedError,
    ProviderUnavailableError,
    StoreUnavailableError,
)
from shared.domain.job import JobStatus
from shared.domain.observation import Observation, ObservationPage
from tests.builders import an_observation
from tests.fakes import FakeProvider
from tests.system import System, a_system

SYNC = "/api/cloud/jobs/sync"


@pytest.fixture
def system() -> Iterator[System]:
    with a_system() as system:
        yield system


@pytest.fixture
def client(system: System) -> TestClient:
    return system.client(sync_jobs.router)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ProviderUnavailableError("Replicate did not answer."), 503),
        (ProviderAnswerInvalidError("Replicate answered with a web page."), 502),
        (ProviderTokenRejectedError("Replicate refused the token."), 502),
        (ProviderThrottledError("Replicate asks to wait.", retry_after=7), 503),
        (ProviderNotConfiguredError("No token."), 503),
    ],
)
def test_a_provider_that_fails_is_an_error_and_never_nothing_new(
    system: System, client: TestClient, error: Exception, status: int
) -> None:
    system.provider.fail("list_page", error, error)
    answer = client.post(SYNC)
    assert answer.status_code == status
    assert isinstance(answer.json()["detail"], str)
    assert "synced" not in answer.json()
    if isinstance(error, ProviderThrottledError):
        assert answer.headers["Retry-After"] == "7"


def test_new_jobs_that_were_queued_count_as_new(system: System, client: TestClient) -> None:
    for number in range(3):
        system.remote_job(f"colliding{number:03d}", JobStatus.RUNNING)
    system.stores.faults.conflict_on_commit(*range(1, 9))
    assert client.post(SYNC).json()["message"] == "Discovered 3 new jobs from Replicate"
    assert len(system.queue.messages) == 3


def test_a_store_that_is_down_while_the_queue_is_not_is_never_nothing_new(
    system: System, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> Snapshot:
        raise StoreUnavailableError("The store is throttled.")

    system.remote_job("unwritten1job", JobStatus.RUNNING)
    monkeypatch.setattr(system.stores.jobs, "snapshot", refuse)
    answer = client.post(SYNC)
    assert answer.status_code == 503
    assert len(system.queue.messages) == 1
    assert "is kept" in answer.json()["detail"]


def test_what_was_read_before_a_failure_is_kept_and_told(system: System, client: TestClient) -> None:
    system.remote_job("halfway1job", JobStatus.RUNNING)
    first_page = system.provider.list_page

    def trainings_fail(kind: str, **options: object) -> ObservationPage:
        if kind == TRAINING:
            raise ProviderUnavailableError("Replicate did not answer.")
        return first_page(kind, **options)  # type: ignore[arg-type]

    system.provider.list_page = trainings_fail  # type: ignore[method-assign]
    answer = client.post(SYNC)
    assert answer.status_code == 503
    assert answer.json()["detail"] == ("Replicate did not answer; what was read is kept: 1 new and 0 changed jobs.")
    assert "halfway1job" in system.stores.job_rows


def test_an_error_that_tells_what_was_kept_is_still_the_error_it_was() -> None:
    throttled = ProviderThrottledError("Replicate asks to wait.", retry_after=7)
    told = throttled.with_detail("Replicate asks to wait; what was read is kept: 1 new and 0 changed jobs.")
    assert (type(told), told.retry_after, told.code) == (ProviderThrottledError, 7, throttled.code)
    assert str(told) == told.detail
    assert throttled.detail == "Replicate asks to wait."


def test_several_providers_share_the_time_of_a_sync(system: System, client: TestClient) -> None:
    def slow(kind: str, **_: object) -> ObservationPage:
        system.clock.advance(3)
        return ObservationPage((), str(system.clock.monotonic()))

    system.provider.list_page = slow  # type: ignore[method-assign]
    other = FakeProvider(system.clock, replace(REPLICATE, name="other", label="Other"))
    other.put(replace(an_observation("otherjob1234"), provider="other"))
    system.use_providers(system.provider, other)
    begun = system.clock.monotonic()
    assert client.post(SYNC).status_code == 503
    assert system.clock.monotonic() - begun <= 12
    assert "otherjob1234" in system.stores.job_rows


def test_a_list_that_goes_in_a_circle_ends_with_an_error(system: System, client: TestClient) -> None:
    seen = system.remote_job("circling1job")
    system.provider.list_page = lambda kind, **_: ObservationPage((seen,), "same")  # type: ignore[method-assign]
    assert client.post(SYNC).status_code == 502
    assert "circling1job" in system.stores.job_rows


def test_a_slow_provider_ends_in_time_with_what_was_read(system: System, client: TestClient) -> None:
    seen = system.remote_job("slowly123job")

    def slow(kind: str, **_: object) -> ObservationPage:
        system.clock.advance(9)
        return ObservationPage((seen,), None)

    system.provider.list_page = slow  # type: ignore[method-assign]
    answer = client.post(SYNC)
    assert answer.status_code == 503
    assert "too slow" in answer.json()["detail"]
    assert system.clock.monotonic() < 10
    assert "slowly123job" in system.stores.job_rows


@pytest.mark.parametrize("body", ["", "{}", '{"provider": "replicate"}', '{"provider": null}', '{"other": 1}'])
def test_any_body_that_clients_send_is_accepted(system: System, client: TestClient, body: str) -> None:
    system.remote_job("anybody1job")
    answer = client.post(SYNC, content=body, headers={"Content-Type": "application/json"})
    assert answer.json() == {"synced": 1, "updated": 1, "message": "Discovered 1 new jobs from Replicate"}


def test_an_unknown_provider_and_broken_json_are_422(client: TestClient) -> None:
    unknown = client.post(SYNC, json={"provider": "nowhere"})
    assert unknown.status_code == 422
    assert "known are: replicate" in unknown.json()["detail"]
    broken = client.post(SYNC, content="{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 422
    assert isinstance(broken.json()["detail"], str)


def test_known_unchanged_jobs_cost_no_write(system: System, client: TestClient) -> None:
    for number in range(100):
        system.remote_job(f"known{number:04d}job", JobStatus.COMPLETED, age=number)
    assert client.post(SYNC).json()["synced"] == 100
    system.stores.reset_usage()
    assert client.post(SYNC).json() == {
        "synced": 0,
        "updated": 0,
        "message": "Discovered 0 new jobs from Replicate",
    }
    assert system.stores.total_usage.items_written == 0


def test_changed_jobs_are_updated(system: System, client: TestClient) -> None:
    system.remote_job("moving12job", JobStatus.RUNNING)
    client.post(SYNC)
    system.remote_job("moving12job", JobStatus.FAILED)
    system.remote_job("another1job", JobStatus.RUNNING)
    told = client.post(SYNC).json()
    assert (told["synced"], told["updated"]) == (1, 2)
    assert system.stores.job_rows["moving12job"].error_message == "CUDA out of memory"


def test_predictions_and_trainings_are_merged_and_the_newest_hundred_count(system: System, client: TestClient) -> None:
    for number in range(80):
        system.remote_job(f"pred{number:04d}job", age=number * 2)
        system.remote_job(f"train{number:04d}job", age=number * 2 + 1, kind=TRAINING)
    assert client.post(SYNC).json()["synced"] == 100
    assert "pred0049job" in system.stores.job_rows
    assert "pred0050job" not in system.stores.job_rows


def test_only_the_wanted_models_are_imported(system: System, client: TestClient) -> None:
    system.remote_job("wanted12job", model="simpletuner/advanced-trainer-h100")
    system.remote_job("other123job", model="stability-ai/sdxl")
    models = {"sync_models": ["simpletuner/advanced-trainer-h100"]}
    system.stores.state.put("provider-config#replicate", models, now=system.clock.now())
    assert client.post(SYNC).json()["synced"] == 1
    assert set(system.stores.job_rows) == {"wanted12job"}


def test_one_hundred_new_jobs_cost_few_transactions(system: System, client: TestClient) -> None:
    for number in range(100):
        system.remote_job(f"fresh{number:04d}job", JobStatus.COMPLETED, age=number)
    client.post(SYNC)
    assert system.stores.usage["jobs.commit"].calls <= 4
    assert system.provider.calls["list_page"] == 2


def test_the_providers_hardware_is_taken_from_the_model_or_assumed_aloud(system: System, client: TestClient) -> None:
    def stored(seen: Observation) -> dict[str, object]:
        return dict(system.stores.job_rows[seen.external_id].metadata)

    named = system.remote_job("named123job", model="simpletuner/advanced-trainer-l40s-x2")
    other = system.remote_job("unnamed1job", model="somebody/else")
    client.post(SYNC)
    assert stored(named) == {}
    assert system.stores.job_rows["named123job"].hardware_type == "2x L40S"
    assert stored(other) == {"hardware_assumed": True}
