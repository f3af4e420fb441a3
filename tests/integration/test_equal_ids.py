"""Equal ids at two providers are two jobs, whoever is seen first and however many look at once (I7)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from standardwebhooks.webhooks import Webhook
from starlette.testclient import TestClient

from functions.http._whole_app import whole_app
from functions.work import commit_queued
from shared.adapters.providers.replicate.profile import PROFILE as REPLICATE
from shared.domain.change import RemoteId
from shared.domain.job import Job, JobStatus
from shared.services.polling.refresh_active import RefreshActive
from shared.services.polling.sync_provider import SyncProvider
from shared.services.recording.record_observations import RecordObservations
from shared.services.webhooks.receive_webhook import Delivery, ReceiveWebhook
from shared.services.webhooks.webhook_keys import webhook_secret_name
from tests.builders import queue_records
from tests.engine import Engine, an_engine
from tests.fakes.doubles import FakeProvider
from tests.proof import scaled

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = replace(REPLICATE, name="other", label="Other")
SAME_ID = "samesame00001234"


class Two:
    """Two providers, each with a job of the same id."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.system = engine.system
        self.first = self.system.provider
        self.second = FakeProvider(self.system.clock, OTHER)
        self.system.use_providers(self.first, self.second)
        self.system.secrets.put(webhook_secret_name(OTHER.name), SECRET)

    def put(self, external_id: str, status: JobStatus = JobStatus.RUNNING) -> None:
        seen = self.system.remote_job(external_id, status)
        self.second.put(replace(seen, provider=OTHER.name))

    def poll(self, provider: FakeProvider) -> None:
        self.system.wiring.use(RefreshActive).run(provider, budget_seconds=16)

    def record(self, provider: FakeProvider) -> None:
        self.system.wiring.use(RecordObservations).run(list(provider.jobs.values()))

    def sync(self, provider: FakeProvider) -> None:
        self.system.wiring.use(SyncProvider).run(provider, budget_seconds=8)

    def webhook(self, external_id: str, number: int = 1, status: str = "processing", job: str | None = None) -> None:
        """Of the second provider."""
        now = self.system.clock.now()
        raw = json.dumps({"id": external_id, "status": status, "created_at": "2026-03-01T11:50:00Z"})
        name = f"msg_{external_id}_{number}"
        headers = {
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign(name, now, raw),
        }
        delivery = Delivery(provider=OTHER.name, body=raw.encode(), headers=headers, job_id=job)
        self.system.wiring.use(ReceiveWebhook).run(delivery)

    def commit_what_is_queued(self) -> None:
        records = queue_records(self.system.queue.drain())
        assert commit_queued.handler({"Records": records}, None) == {"batchItemFailures": []}

    def jobs(self, external_id: str = SAME_ID) -> dict[str, Job]:
        """The jobs of this id by provider; no more than one each."""
        rows = [job for job in self.system.stores.job_rows.values() if job.external_id == external_id]
        found = {job.provider: job for job in rows}
        assert len(found) == len(rows)
        return found


@pytest.fixture
def two() -> Iterator[Two]:
    with an_engine() as engine:
        yield Two(engine)


Way = Callable[[Two], None]
WAYS: dict[str, Way] = {
    "sync": lambda two: two.sync(two.second),
    "webhook": lambda two: two.webhook(SAME_ID),
    "webhook that names a job": lambda two: two.webhook(SAME_ID, job="some0other0job"),
    "webhook that names the other's job": lambda two: two.webhook(SAME_ID, job=SAME_ID),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_second_of_two_equal_ids_is_a_job_of_its_own(two: Two, way: str) -> None:
    two.put(SAME_ID)
    two.sync(two.first)
    WAYS[way](two)
    jobs = two.jobs()
    assert jobs["replicate"].job_id == SAME_ID
    assert jobs["other"].job_id == RemoteId("other", SAME_ID).own_job_id
    assert two.system.queue.messages == []


def test_both_are_told_apart_by_polls_syncs_and_webhooks_from_then_on(two: Two) -> None:
    two.put(SAME_ID)
    two.sync(two.first)
    two.sync(two.second)
    two.second.put(replace(two.second.jobs[SAME_ID], status=JobStatus.FAILED, error="other's"))
    two.poll(two.second)
    assert {name: job.status for name, job in two.jobs().items()} == {
        "replicate": JobStatus.RUNNING,
        "other": JobStatus.FAILED,
    }
    two.webhook(SAME_ID, status="succeeded")
    two.poll(two.first)
    two.sync(two.first)
    assert two.jobs()["replicate"].status is JobStatus.RUNNING
    assert two.jobs()["other"].status is JobStatus.FAILED


def test_a_person_finds_and_deletes_either(two: Two) -> None:
    two.put(SAME_ID, JobStatus.COMPLETED)
    two.sync(two.first)
    two.sync(two.second)
    own = two.jobs()["other"].job_id
    client = TestClient(whole_app())
    assert client.get(f"/api/cloud/jobs/{own[:10]}").json()["job"]["provider"] == "other"
    assert client.delete(f"/api/cloud/jobs/{own}").json()["success"] is True
    assert list(two.jobs()) == ["replicate"]
    two.sync(two.second)
    assert list(two.jobs()) == ["replicate"]


def test_the_committer_makes_two_jobs_of_equal_ids_in_one_batch(two: Two) -> None:
    two.put(SAME_ID)
    two.system.stores.faults.conflict_on_commit(*range(1, 3))
    record = two.system.wiring.use(RecordObservations)
    record.run([two.first.jobs[SAME_ID], two.second.jobs[SAME_ID]])
    assert len(two.system.queue.messages) == 2
    two.commit_what_is_queued()
    assert set(two.jobs()) == {"replicate", "other"}


def deliver(two: Two, ids: list[str], number: int) -> None:
    for external_id in ids:
        two.webhook(external_id, number, job=external_id if number == 2 else None)


@pytest.mark.timeout(300)
def test_whoever_looks_at_once_there_is_one_job_for_each_id_and_provider(two: Two) -> None:
    ids = [f"{number:04d}samesame0000" for number in range(scaled(300))]
    for external_id in ids:
        two.put(external_id)
    looks: list[Callable[[], None]] = [
        lambda: two.sync(two.first),
        lambda: two.sync(two.second),
        lambda: two.sync(two.first),
        # A sync reads the newest hundred.
        lambda: two.record(two.first),
        lambda: deliver(two, ids, 1),
        lambda: deliver(two, ids[::-1], 2),
        lambda: two.poll(two.first),
        lambda: two.poll(two.second),
    ]
    failures: list[BaseException] = []

    def run(look: Callable[[], None]) -> None:
        try:
            look()
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(look,)) for look in looks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    two.commit_what_is_queued()
    assert failures == []
    for external_id in ids:
        jobs = two.jobs(external_id)
        assert set(jobs) == {"replicate", "other"}
        assert {job.job_id for job in jobs.values()} > {external_id}
