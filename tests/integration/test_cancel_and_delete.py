"""Cancel and delete: what may be ended, by whom, and what stays of it (docs/design.md, "Cancel")."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from functions.http import cancel_job, delete_job
from functions.work import commit_queued
from shared.config import AuthMode
from shared.domain import state_keys
from shared.domain.change import JobChange
from shared.domain.errors import ProviderRefusedError, ProviderUnavailableError
from shared.domain.event import EventType, JobStatusChanged
from shared.domain.job import Absence, Job, JobStatus
from shared.domain.observation import Look
from shared.services.access.authenticate import hash_key
from shared.services.recording.commit_queued import LEASE
from shared.services.recording.record_observations import RecordObservations
from tests.builders import a_job, queue_records
from tests.fakes.faults import Crash
from tests.system import System, a_system

JOB = "abc123def456ghij"
KEY_OF = {role: f"stk_{role}key0_{'x' * 30}" for role in ("viewer", "operator", "admin")}


@pytest.fixture
def system() -> Iterator[System]:
    with a_system() as standing:
        yield standing


def client_of(system: System) -> TestClient:
    return system.client(cancel_job.router, delete_job.router)


def store(system: System, job: Job) -> None:
    system.stores.jobs.commit(
        [JobChange(before=None, after=job)], head=system.stores.events.head(), at=system.clock.now()
    )


def running(system: System) -> None:
    system.remote_job(JOB, JobStatus.RUNNING)
    system.sync()


def stored(system: System, job_id: str = JOB) -> Job:
    job = system.stores.jobs.get(job_id)
    assert job is not None
    return job


def test_cancel_tells_the_provider_and_answers_with_what_was_seen_afterwards(system: System) -> None:
    running(system)
    system.provider.after_cancel[JOB] = replace(
        system.provider.jobs[JOB],
        status=JobStatus.CANCELLED,
        provider_status="canceled",
        completed_at=system.clock.now(),
    )
    answer = client_of(system).post(f"/api/cloud/jobs/{JOB}/cancel")
    assert answer.json() == {"success": True, "job_id": JOB, "status": "cancelled"}
    assert system.provider.cancelled == [JOB]
    assert stored(system).status is JobStatus.CANCELLED


def test_a_slow_provider_is_looked_at_once_so_that_the_answer_comes_in_time(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(system)
    look, tell = system.provider.get, system.provider.cancel

    def tell_slowly(external_id: str, kind: str) -> None:
        system.clock.advance(8)
        tell(external_id, kind)

    def look_slowly(external_id: str, kind: str) -> Look:
        system.clock.advance(8)
        return look(external_id, kind)

    monkeypatch.setattr(system.provider, "cancel", tell_slowly)
    monkeypatch.setattr(system.provider, "get", look_slowly)
    begun = system.clock.monotonic()
    assert client_of(system).post(f"/api/cloud/jobs/{JOB}/cancel").status_code == 200
    assert system.provider.calls["get"] == 1
    assert system.clock.monotonic() - begun < 25


def test_our_own_intent_never_ends_a_job_that_the_provider_still_runs(system: System) -> None:
    running(system)
    answer = client_of(system).post(f"/api/cloud/jobs/{JOB}/cancel")
    assert answer.json()["status"] == "running"
    assert stored(system).status is JobStatus.RUNNING
    assert stored(system).cancel_requested_at is not None


def test_a_job_that_completed_first_stays_completed_and_the_answer_is_200(system: System) -> None:
    running(system)
    system.remote_job(JOB, JobStatus.COMPLETED)
    system.provider.fail("cancel", ProviderRefusedError("It has ended."))
    answer = client_of(system).post(f"/api/cloud/jobs/{JOB}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")


@pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_cancelling_an_ended_job_asks_nobody_and_tells_its_status(system: System, status: JobStatus) -> None:
    system.remote_job(JOB, status)
    system.sync()
    answer = client_of(system).post(f"/api/cloud/jobs/{JOB}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, status.value)
    assert not system.provider.cancelled


def test_a_provider_that_cannot_be_told_is_an_error_and_changes_nothing(system: System) -> None:
    running(system)
    system.provider.fail("cancel", ProviderUnavailableError("Replicate could not be reached."))
    before = stored(system)
    answer = client_of(system).post(f"/api/cloud/jobs/{JOB}/cancel")
    assert (answer.status_code, answer.json()["detail"]) == (503, "Replicate could not be reached.")
    assert stored(system) == before


def test_a_job_that_was_never_sent_is_ended_at_once_with_its_event(system: System) -> None:
    store(system, replace(a_job(JOB), external_id=None))
    answer = client_of(system).post(f"/api/cloud/jobs/{JOB}/cancel")
    assert answer.json()["status"] == "cancelled"
    [logged] = system.stores.events.read(0, 10)
    assert isinstance(logged.event, JobStatusChanged)
    assert logged.event.status is JobStatus.CANCELLED
    assert not system.provider.cancelled


def test_one_unknown_answer_of_the_provider_ends_nothing(system: System) -> None:
    running(system)
    system.provider.forget(JOB)
    assert client_of(system).post(f"/api/cloud/jobs/{JOB}/cancel").status_code == 409
    assert stored(system).status is JobStatus.RUNNING


def test_a_lost_job_may_be_cancelled_and_then_deleted(system: System) -> None:
    store(system, replace(a_job(JOB, JobStatus.RUNNING), absence=Absence(misses=3, lost_at=system.clock.now())))
    client = client_of(system)
    assert client.post(f"/api/cloud/jobs/{JOB}/cancel").status_code == 200
    assert client.delete(f"/api/cloud/jobs/{JOB}").status_code == 200


def test_cancel_takes_a_unique_prefix_and_a_body_without_content(system: System) -> None:
    running(system)
    answer = client_of(system).post(f"/api/cloud/jobs/{JOB[:12]}/cancel?", headers={"Content-Type": "application/json"})
    assert answer.json()["job_id"] == JOB


def test_an_active_job_is_not_deleted(system: System) -> None:
    running(system)
    answer = client_of(system).delete(f"/api/cloud/jobs/{JOB}")
    assert answer.status_code == 400
    assert "cancel it first" in answer.json()["detail"]


def test_right_after_an_accepted_cancel_the_job_can_be_deleted(system: System) -> None:
    running(system)
    client = client_of(system)
    assert client.post(f"/api/cloud/jobs/{JOB}/cancel").status_code == 200
    assert client.delete(f"/api/cloud/jobs/{JOB}").json() == {"success": True, "job_id": JOB}


def test_a_deleted_job_leaves_an_event_a_tombstone_and_no_texts(system: System) -> None:
    system.remote_job(JOB, JobStatus.COMPLETED)
    system.sync()
    system.stores.texts.put(JOB, "log#000", b"x")
    client_of(system).delete(f"/api/cloud/jobs/{JOB}")
    assert system.stores.events.read(0, 10)[-1].event.type is EventType.DELETED
    assert system.stores.texts.get(JOB, "log#000") is None
    assert system.stores.events.head().count() == 0
    system.sync()
    assert system.stores.jobs.get(JOB) is None, "a sync brought a deleted job back"


def test_deleting_twice_answers_404(system: System) -> None:
    system.remote_job(JOB, JobStatus.COMPLETED)
    system.sync()
    client = client_of(system)
    assert [client.delete(f"/api/cloud/jobs/{JOB}").status_code for _ in range(2)] == [200, 404]


def test_a_delete_overtaken_by_another_writer_is_decided_anew(system: System) -> None:
    running(system)
    client = client_of(system)
    client.post(f"/api/cloud/jobs/{JOB}/cancel")
    system.remote_job(JOB, JobStatus.CANCELLED)
    system.stores.before_commit(lambda _changes: system.sync())
    assert client.delete(f"/api/cloud/jobs/{JOB}").status_code == 200
    assert system.stores.jobs.get(JOB) is None


@pytest.mark.parametrize("act", ["cancel", "delete"])
@pytest.mark.parametrize(
    ("role", "owner", "status"),
    [
        ("viewer", "viewer", 403),
        ("viewer", None, 403),
        ("operator", "operator", 200),
        ("operator", None, 200),
        ("operator", "somebody", 403),
        ("admin", "somebody", 200),
    ],
)
def test_who_may_act_on_whose_job(act: str, role: str, owner: str | None, status: int) -> None:
    with a_system(auth_mode=AuthMode.KEY) as system:
        now = system.clock.now()
        for name, key in KEY_OF.items():
            value = {"hash": hash_key(key), "user_id": name, "role": name}
            system.stores.state.put(state_keys.api_key(f"{name}key0"), value, now=now)
        store(system, a_job(JOB, JobStatus.COMPLETED, user_id=owner))
        client = client_of(system)
        path = f"/api/cloud/jobs/{JOB}" + ("/cancel" if act == "cancel" else "")
        method = "POST" if act == "cancel" else "DELETE"
        assert client.request(method, path, headers={"X-API-Key": KEY_OF[role]}).status_code == status


def contend(system: System) -> None:
    """From now on another writer is always first."""
    system.stores.faults.conflict_on_commit(*range(1, 1000))


def consume(messages: Sequence[str]) -> list[int]:
    """Hand a batch to the committer; returns the places that the queue must keep."""
    answer = commit_queued.handler({"Records": queue_records(messages)}, None)
    return [int(failure["itemIdentifier"]) for failure in answer["batchItemFailures"]]


def test_an_accepted_cancel_is_remembered_by_the_committer_while_others_are_in_the_way(system: System) -> None:
    running(system)
    contend(system)
    answer = client_of(system).post(f"/api/cloud/jobs/{JOB}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "running")
    assert stored(system).cancel_requested_at is None
    system.stores.faults.clear()
    asked_at = system.clock.now()
    system.clock.advance(60)
    assert consume(system.queue.drain()) == []
    marked_at = stored(system).cancel_requested_at
    assert marked_at is not None
    assert marked_at <= asked_at


def test_a_job_that_was_never_sent_is_ended_by_the_committer_while_others_are_in_the_way(system: System) -> None:
    store(system, replace(a_job(JOB), external_id=None))
    contend(system)
    answer = client_of(system).post(f"/api/cloud/jobs/{JOB}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    system.stores.faults.clear()
    messages = system.queue.drain()
    assert consume(messages * 2) == consume(messages) == []
    assert stored(system).status is JobStatus.CANCELLED
    assert len(system.stores.events.read(0, 10)) == 1


def test_a_job_that_was_sent_before_its_queued_end_is_the_providers_again(system: System) -> None:
    """I8"""
    store(system, replace(a_job(JOB), external_id=None))
    contend(system)
    assert client_of(system).post(f"/api/cloud/jobs/{JOB}/cancel").status_code == 200
    system.stores.faults.clear()
    seen = system.remote_job("remote-job-00001", JobStatus.RUNNING)
    system.wiring.use(RecordObservations).run([seen], of={seen.remote_id: JOB})
    assert consume(system.queue.drain()) == []
    assert stored(system).status is JobStatus.RUNNING
    assert ("warning", "request overtaken", {"wanted": "end", "job_id": JOB}) in system.telemetry.records


def an_ended_job_with_a_log(system: System) -> None:
    system.remote_job(JOB, JobStatus.COMPLETED)
    system.sync()
    system.stores.texts.put(JOB, "log#000", b"x")


def assert_deleted(system: System) -> None:
    """One event, a tombstone, no texts."""
    assert system.stores.jobs.get(JOB) is None
    assert [logged.event.type for logged in system.stores.events.read(0, 10)].count(EventType.DELETED) == 1
    assert system.stores.texts.get(JOB, "log#000") is None
    system.sync()
    assert system.stores.jobs.get(JOB) is None


def test_a_job_is_deleted_by_the_committer_while_others_are_in_the_way(system: System) -> None:
    an_ended_job_with_a_log(system)
    contend(system)
    assert client_of(system).delete(f"/api/cloud/jobs/{JOB}").json() == {"success": True, "job_id": JOB}
    system.stores.faults.clear()
    assert consume(system.queue.drain()) == []
    assert_deleted(system)


def test_a_deletion_is_finished_when_its_message_comes_again_after_a_crash(system: System) -> None:
    an_ended_job_with_a_log(system)
    contend(system)
    client_of(system).delete(f"/api/cloud/jobs/{JOB}")
    system.stores.faults.clear()
    system.stores.texts.put(JOB, "log#000", b"kept meanwhile")
    messages = system.queue.drain()
    system.stores.faults.crash_after_write(2)  # the lease, then the deletion
    with pytest.raises(Crash):
        consume(messages)
    assert system.stores.jobs.get(JOB) is None
    assert system.stores.texts.get(JOB, "log#000") is not None
    system.clock.advance(LEASE.total_seconds())
    assert consume(messages) == []
    assert_deleted(system)


@pytest.mark.parametrize("act", ["cancel", "delete"])
def test_what_neither_store_nor_queue_takes_is_a_503(system: System, act: str) -> None:
    store(system, replace(a_job(JOB, JobStatus.COMPLETED if act == "delete" else JobStatus.PENDING), external_id=None))
    contend(system)
    system.queue.is_down = True
    path = f"/api/cloud/jobs/{JOB}" + ("/cancel" if act == "cancel" else "")
    before = stored(system)
    assert client_of(system).request("POST" if act == "cancel" else "DELETE", path).status_code == 503
    assert stored(system) == before
