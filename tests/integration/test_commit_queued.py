"""The committer of the queue `observations`: groups, poison, partial failure, and one at a time (I13, I33, I43)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Iterator, Sequence

import pytest

from functions.work import commit_queued
from shared.adapters.providers.replicate.answers import observation_from_body
from shared.domain import state_keys
from shared.domain.change import JobChange, RemoteId
from shared.domain.change_request import ChangeRequest, RequestedChange
from shared.domain.errors import ChangeRefusedError, ChangeTooLargeError, StoreUnavailableError
from shared.domain.job import JobStatus
from shared.domain.observation import Report, merge_observations
from shared.services.recording.commit_queued import (
    COMMIT_SECONDS,
    CROWD,
    LEASE,
    REFUSED_RETURN,
    RETURNS,
    WAIT_SECONDS,
)
from shared.services.recording.messages import decode_message, encode_message
from shared.services.recording.record_observations import RecordObservations
from shared.wiring import Wiring
from tests.bench.burst import run_burst
from tests.builders import NOON, a_job, an_observation, queue_records
from tests.engine import Engine, an_engine
from tests.proof import scaled


@pytest.fixture
def engine() -> Iterator[Engine]:
    with an_engine() as engine:
        yield engine


def consume(*bodies: str, times: int = 1) -> list[int]:
    """Hand a batch to the function for the `times`th time; returns the places that the queue must keep."""
    answer = commit_queued.handler({"Records": queue_records(bodies, times=times)}, None)
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
    assert clock.monotonic() == pytest.approx(WAIT_SECONDS, abs=1)
    assert stores.job_rows == {}
    clock.advance(5)
    assert consume(message("aaaaaaaa0001")) == []
    assert clock.monotonic() == pytest.approx(LEASE.total_seconds(), abs=1)


def test_the_lease_is_given_back(engine: Engine) -> None:
    consume(message("aaaaaaaa0001"))
    assert engine.system.stores.state.get(state_keys.COMMITTER_LEASE, now=engine.system.clock.now()) is None


def another_process_writes(engine: Engine) -> Callable[[object], None]:
    """Just before a commit another process records a job that nobody knew, as a webhook does."""
    numbers = itertools.count()
    other = Wiring(engine.system.wiring.settings, **engine.system.parts).use(RecordObservations)
    is_writing = False

    def write(_: object) -> None:
        nonlocal is_writing
        if not is_writing:
            is_writing = True
            other.run([an_observation(f"other-job-{next(numbers):06d}", JobStatus.RUNNING)])
            is_writing = False

    return write


def test_writers_that_are_always_first_yield_once_it_is_the_committers_turn(engine: Engine) -> None:
    stores = engine.system.stores
    stores.before_commit(another_process_writes(engine), times=1000)
    assert consume(*(message(f"jobjob{number:06d}") for number in range(200))) == []
    others = [name for name in stores.job_rows if name.startswith("other")]
    assert len(others) == 1, "the one that was first before the turn was taken"
    assert engine.system.queue.messages, "the later ones handed over"
    assert engine.system.clock.monotonic() < 1


def test_while_the_turn_cannot_be_taken_the_committer_tries_by_time(engine: Engine) -> None:
    engine.system.stores.faults.conflict_on_commit(*range(1, 80))
    engine.system.stores.faults.conflict_on_turn(1000)
    assert consume(message("aaaaaaaa0001")) == []
    assert engine.system.clock.monotonic() < COMMIT_SECONDS


def test_a_head_that_stays_busy_costs_no_more_than_the_functions_time(engine: Engine) -> None:
    engine.system.stores.faults.conflict_on_commit(*range(1, 10_000))
    assert consume(message("aaaaaaaa0001")) == [0]
    assert engine.system.clock.monotonic() == pytest.approx(COMMIT_SECONDS, abs=1)
    assert LEASE.total_seconds() > WAIT_SECONDS + COMMIT_SECONDS


def test_what_was_not_written_comes_again_at_once_and_then_more_and_more_rarely(engine: Engine) -> None:
    engine.system.stores.faults.throttle_call(*range(1, 1000))
    postponed = engine.system.queue.postponed
    for times, seconds in enumerate(RETURNS, start=1):
        assert consume(message("aaaaaaaa0001"), message("bbbbbbbb0002"), times=times) == [0, 1]
        assert postponed == {"receipt 0": seconds, "receipt 1": seconds}
        postponed.clear()
    consume(message("aaaaaaaa0001"), times=len(RETURNS) + 1)
    assert postponed == {}, "from now on when the queue's visibility ends"


def test_a_queue_that_brings_nothing_forward_fails_nothing(engine: Engine) -> None:
    engine.system.queue.is_down = True
    assert consume(message("aaaaaaaa0001"), "poison") == [1]


def test_a_store_that_is_down_before_the_lease_leaves_the_batch_for_soon(engine: Engine) -> None:
    engine.system.stores.faults.throttle_call(1)
    assert consume(message("aaaaaaaa0001")) == [0]
    assert engine.system.queue.postponed == {"receipt 0": RETURNS[0]}


def poisoned(**fields: object) -> str:
    """A message that is a report in form, with these values in its observation."""
    told = json.loads(message("aaaaaaaa0001"))
    told["observation"] |= fields
    return json.dumps(told)


POISON = {
    "a provider that splits the head's counts": poisoned(provider="a#b"),
    "a provider of nobody": poisoned(provider="nobody"),
    "a time without its zone": poisoned(observed_at="2026-03-01T12:00:00", created_at="2026-03-01T12:00:00"),
    "a time before time": poisoned(created_at="0001-01-01T00:00:00+14:00"),
    "no number": poisoned(billed_seconds="NaN"),
    "no JSON": "{",
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_a_report_of_nonsense_holds_no_other_up(engine: Engine, poison: str) -> None:
    others = [message(f"jobjob{number:06d}") for number in range(20)]
    assert set(consume(*others[:10], poison, *others[10:])) <= {10}
    assert {name for name in engine.system.stores.job_rows if name.startswith("jobjob")} == {
        f"jobjob{number:06d}" for number in range(20)
    }
    assert all(provider == "replicate" for provider, _ in engine.system.stores.events.head().counts)


def test_a_value_that_the_store_refuses_is_found_and_holds_no_other_up(engine: Engine) -> None:
    real = engine.system.stores.jobs.commit

    def refuse(changes: Sequence[JobChange], **how: object) -> object:
        if any(change.job_id == "jobjob000013" for change in changes):
            raise ChangeRefusedError(None, "Number underflow.")
        return real(changes, **how)  # type: ignore[arg-type]

    engine.system.stores.jobs.commit = refuse  # type: ignore[method-assign, assignment]
    bodies = [message(f"jobjob{number:06d}") for number in range(100)]
    assert consume(*bodies) == [13]
    assert len(engine.system.stores.job_rows) == 99
    assert engine.system.queue.postponed == {"receipt 13": REFUSED_RETURN}
    assert engine.system.stores.usage["jobs.commit"].calls <= 15


def test_what_nobody_foresaw_fails_its_own_message_alone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    real = engine.system.stores.jobs.snapshot

    def break_down(remote_ids: Collection[RemoteId], **how: object) -> object:
        if any(remote_id.external_id == "jobjob000007" for remote_id in remote_ids):
            raise RecursionError
        return real(remote_ids, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.system.stores.jobs, "snapshot", break_down)
    assert consume(*(message(f"jobjob{number:06d}") for number in range(40))) == [7]
    assert len(engine.system.stores.job_rows) == 39
    assert engine.system.telemetry.counts["UnhandledError"] == 1
    assert engine.system.queue.postponed == {"receipt 7": RETURNS[0]}


def test_a_deletion_that_is_not_finished_keeps_its_own_message_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    consume(message("aaaaaaaa0001"))
    deletion = encode_message(ChangeRequest(RequestedChange.DELETE, "aaaaaaaa0001", engine.system.clock.now()))

    def be_down(job_id: str) -> None:
        raise StoreUnavailableError("The store is throttled.")

    monkeypatch.setattr(engine.system.stores.texts, "delete_all", be_down)
    assert consume(message("bbbbbbbb0002"), deletion, message("cccccccc0003")) == [1]
    assert set(engine.system.stores.job_rows) == {"bbbbbbbb0002", "cccccccc0003"}
    monkeypatch.undo()
    assert consume(deletion) == []


def test_a_full_batch_takes_the_turn_before_anybody_collides_and_a_small_one_leaves_it(engine: Engine) -> None:
    head = engine.system.stores.events.head
    consume(*(message(f"jobjob{number:06d}") for number in range(CROWD - 1)))
    assert head().turn_until is None
    consume(*(message(f"morejob{number:06d}") for number in range(CROWD)))
    assert head().is_committers_turn(engine.system.clock.now())


def test_a_burst_drains_within_a_minute_and_nothing_that_was_answered_is_untold_for_ten_seconds() -> None:
    webhooks = scaled(12_000, part=30)
    burst = run_burst(webhooks, seconds=webhooks / 400)
    assert (burst.refused, len(burst.told)) == (0, webhooks)
    assert burst.queued > webhooks / 2, "else nothing collided"
    assert burst.drained_after <= 60
    assert burst.longest_untold <= 10


def test_on_a_machine_that_is_eight_times_slower_than_aws_32_webhooks_a_second_are_told_as_soon() -> None:
    webhooks = scaled(960, part=3)
    burst = run_burst(webhooks, seconds=webhooks / 32, slowness=8)
    assert (burst.refused, len(burst.told)) == (0, webhooks)
    assert burst.longest_untold <= 10
