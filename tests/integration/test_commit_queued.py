"""The committer of the queue `observations`: groups, poison, partial failure, and one at a time (I13, I33, I43)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from functions.work import commit_queued
from shared.adapters.providers.replicate.answers import observation_from_body
from shared.domain import state_keys
from shared.domain.change import JobChange
from shared.domain.errors import ChangeTooLargeError
from shared.domain.job import JobStatus
from shared.domain.observation import Report, merge_observations
from shared.services.recording.commit_queued import LEASE
from shared.services.recording.messages import decode_message, encode_message
from tests.builders import NOON, a_job, an_observation
from tests.engine import Engine, an_engine


@pytest.fixture
def engine() -> Iterator[Engine]:
    with an_engine() as engine:
        yield engine


def consume(*bodies: str) -> list[int]:
    """Hand a batch to the function; returns the places that the queue must keep."""
    records = [{"messageId": str(place), "body": body} for place, body in enumerate(bodies)]
    answer = commit_queued.handler({"Records": records}, None)
    return [int(failure["itemIdentifier"]) for failure in answer["batchItemFailures"]]


def message(external_id: str, status: JobStatus = JobStatus.COMPLETED, delivery_id: str | None = None) -> str:
    return encode_message(Report(an_observation(external_id, status), delivery_id))


def test_a_batch_is_folded_per_job_and_written_in_groups(engine: Engine) -> None:
    bodies = []
    for number in range(50):
        name = f"jobjob{number:06d}"
        bodies += [
            message(name, JobStatus.RUNNING, f"replicate#a{number}"),
            message(name, delivery_id=f"replicate#b{number}"),
        ]
    assert consume(*bodies) == []
    stores = engine.system.stores
    assert set(engine.statuses().values()) == {JobStatus.COMPLETED}
    assert stores.events.head().seq == 100
    assert len(stores.delivery_rows) == 100
    assert stores.usage["jobs.commit"].calls <= 4


@pytest.mark.parametrize("character", ["x", "\x01", "😀", '"', "\ud800"])
def test_a_message_has_four_kilobytes_at_most_and_tells_the_error_as_the_job_does(character: str) -> None:
    body = {
        "id": "a" * 64,
        "status": "failed",
        "model": character * 200,
        "error": character * 3000,
        "output": "https://example.org/" + "x" * 280,
        "created_at": "2026-03-01T11:50:00.360785Z",
        "completed_at": "2026-03-01T11:59:00.360785Z",
        "metrics": {"predict_time": 12345.678901},
    }
    seen = observation_from_body(body, observed_at=NOON)
    text = encode_message(Report(seen, "replicate#" + "m" * 128, "j" * 64))
    assert len(text.encode()) <= 4096
    told = decode_message(text)
    assert isinstance(told, Report)
    if character != "\x01":
        assert merge_observations(a_job(), [told.observation]).job == merge_observations(a_job(), [seen]).job


def test_a_batch_delivered_twice_changes_nothing_more(engine: Engine) -> None:
    bodies = [message(f"jobjob{number:06d}", delivery_id=f"replicate#{number}") for number in range(10)]
    consume(*bodies)
    head = engine.system.stores.events.head().seq
    assert consume(*reversed(bodies)) == []
    assert engine.system.stores.events.head().seq == head


@pytest.mark.parametrize("poison", ["", "{}", "null", "not json", '{"observation": {"provider": 7}}', "[" * 5000])
def test_a_poison_message_stays_and_the_rest_is_done(engine: Engine, poison: str) -> None:
    assert consume(message("aaaaaaaa0001"), poison, message("bbbbbbbb0002")) == [1]
    assert len(engine.system.stores.job_rows) == 2


def test_a_change_that_fits_no_transaction_holds_no_other_up(engine: Engine) -> None:
    real = engine.system.stores.jobs.commit

    def refuse(changes: Sequence[JobChange], **how: object) -> object:
        if any(change.job_id == "aaaaaaaa0001" for change in changes):
            raise ChangeTooLargeError("aaaaaaaa0001", "A transaction holds at most 100 items.")
        return real(changes, **how)  # type: ignore[arg-type]

    engine.system.stores.jobs.commit = refuse  # type: ignore[method-assign, assignment]
    assert consume(message("bbbbbbbb0002"), message("aaaaaaaa0001"), message("cccccccc0003")) == [1]
    assert set(engine.system.stores.job_rows) == {"bbbbbbbb0002", "cccccccc0003"}


def test_while_the_store_is_down_everything_stays_in_the_queue(engine: Engine) -> None:
    engine.system.stores.faults.throttle_call(*range(2, 100))
    assert consume(message("aaaaaaaa0001"), message("bbbbbbbb0002")) == [0, 1]
    engine.system.stores.faults.clear()
    engine.system.clock.advance(LEASE.total_seconds())
    assert consume(message("aaaaaaaa0001"), message("bbbbbbbb0002")) == []
    assert len(engine.system.stores.job_rows) == 2


def test_conflicts_are_outlasted(engine: Engine) -> None:
    engine.system.stores.faults.conflict_on_commit(1, 2, 3, 4, 5)
    assert consume(message("aaaaaaaa0001")) == []
    assert engine.job("aaaaaaaa0001").status is JobStatus.COMPLETED


def test_a_second_committer_waits_for_the_first_and_takes_over_a_dead_one(engine: Engine) -> None:
    stores, clock = engine.system.stores, engine.system.clock
    now = clock.now()
    stores.state.put(state_keys.COMMITTER_LEASE, {}, now=now, expires_at=now + LEASE, if_version=0)
    assert consume(message("aaaaaaaa0001")) == [0]
    assert clock.monotonic() == pytest.approx(30, abs=1)
    assert stores.job_rows == {}
    clock.advance(5)
    assert consume(message("aaaaaaaa0001")) == []
    assert clock.monotonic() == pytest.approx(LEASE.total_seconds(), abs=1)


def test_the_lease_is_given_back(engine: Engine) -> None:
    consume(message("aaaaaaaa0001"))
    assert engine.system.stores.state.get(state_keys.COMMITTER_LEASE, now=engine.system.clock.now()) is None
