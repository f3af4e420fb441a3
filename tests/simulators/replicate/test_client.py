"""The official client works against the simulator without knowing it."""

import time
from collections.abc import Iterator

import httpx
import pytest
from replicate.client import Client
from replicate.exceptions import ReplicateError
from replicate.version import Versions
from replicate.webhook import InvalidSignatureError, Webhooks

from infra.simulators.replicate import RunningSimulator, running_simulator
from tests.simulators.replicate.webhook_receiver import webhook_receiver

TRAINER = "simpletuner/advanced-trainer-h100"


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    with running_simulator(seed=1, speed=2000) as running:
        yield running


@pytest.fixture
def client(simulator: RunningSimulator) -> Iterator[Client]:
    official = Client(api_token="r8_any", base_url=simulator.origin)
    yield official
    official._client.close()


def newest_version(client: Client) -> str:
    return str(Versions(client, model=TRAINER).list().results[0].id)


def test_account_is_read(client: Client) -> None:
    assert client.accounts.current().username == "local-simulator"


def test_created_prediction_runs_to_its_end(client: Client) -> None:
    prediction = client.predictions.create(
        version=newest_version(client), input={"config_json": '{"--max_train_steps": 120}', "hub_model_id": "me/lora"}
    )
    assert prediction.status == "starting"
    seen: set[str] = set()
    for _ in range(400):
        prediction.reload()
        seen.add(prediction.status)
        if "succeeded" in seen:
            break
        time.sleep(0.02)
    assert seen >= {"processing", "succeeded"}
    assert prediction.output == "https://huggingface.co/me/lora"
    assert "| 120/120 [" in (prediction.logs or "")
    assert prediction.metrics is not None
    assert prediction.metrics["predict_time"] > 0


def test_bare_bars_are_progress_for_the_official_client(simulator: RunningSimulator, client: Client) -> None:
    job_id = simulator.control.create_job(
        model="stability-ai/sdxl", steps=50, age_seconds=9, boot_seconds=0, run_seconds=5
    )
    progress = client.predictions.get(job_id).progress
    assert progress is not None
    assert (progress.percentage, progress.current, progress.total) == (1.0, 50, 50)


def test_list_is_followed_over_all_pages(simulator: RunningSimulator, client: Client) -> None:
    made = [simulator.control.create_job(age_seconds=1000 - number) for number in range(230)]
    page = client.predictions.list()
    sizes, found = [len(page.results)], [prediction.id for prediction in page.results]
    while page.next:
        page = client.predictions.list(page.next)
        sizes.append(len(page.results))
        found += [prediction.id for prediction in page.results]
    assert sizes == [100, 100, 30]
    assert found == list(reversed(made))
    assert page.results[0].logs is None


def test_cancel_ends_a_running_prediction(simulator: RunningSimulator, client: Client) -> None:
    job_id = simulator.control.create_job(boot_seconds=0, run_seconds=600)
    prediction = client.predictions.get(job_id)
    prediction.cancel()
    assert prediction.status == "canceled"
    assert client.predictions.get(job_id).status == "canceled"


def test_training_is_read_by_both_ways_listed_and_cancelled(simulator: RunningSimulator, client: Client) -> None:
    training = simulator.control.create_job(kind="training", boot_seconds=0, run_seconds=600)
    assert client.trainings.get(training).id == client.predictions.get(training).id == training
    assert [item.id for item in client.trainings.list().results] == [training]
    assert client.predictions.list().results == []
    assert client.trainings.cancel(training).status == "canceled"


def test_invalid_version_is_refused(client: Client) -> None:
    with pytest.raises(ReplicateError) as refused:
        client.predictions.create(version="0" * 64, input={})
    assert (refused.value.status, refused.value.title) == (422, "Invalid version or not permitted")


def test_webhook_is_valid_for_the_official_client(simulator: RunningSimulator, client: Client) -> None:
    with webhook_receiver() as receiver:
        prediction = client.predictions.create(
            version=newest_version(client), input={}, webhook=receiver.url, webhook_events_filter=["completed"]
        )
        received = receiver.wait_for(1)[0]
    request = httpx.Request("POST", receiver.url, headers=received.headers, content=received.body)
    secret = client.webhooks.default.secret()
    Webhooks.validate(request, secret=secret, tolerance=300)
    assert received.json["id"] == prediction.id
    secret.key = "whsec_" + "A" * 32
    with pytest.raises(InvalidSignatureError):
        Webhooks.validate(request, secret=secret)
