"""The whole log of an ended job: noticed in the event stream, asked for until it is had, kept in parts (I47)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from functions.http import get_job
from functions.work import keep_final_log, route_ended_jobs
from functions.work.keep_final_log import POISON_SECONDS
from shared.adapters.dynamo.items import encode_commit
from shared.domain.access import LOCAL_ADMIN
from shared.domain.errors import ProviderUnavailableError, StoreUnavailableError
from shared.domain.event import status_event
from shared.domain.job import JobStatus
from shared.domain.metric import Metric
from shared.domain.observation import LastLook
from shared.services.jobs.delete_job import DeleteJob
from shared.services.logs.keep_final_log import FETCHES_A_SECOND
from shared.services.logs.stored_texts import LOG, PIECE, PIECE_BYTES, StoredTexts
from tests.engine import Engine, an_engine

JOB = "abcdefgh1234"
DOWN = ProviderUnavailableError("Replicate did not answer.")
BARS = "".join(
    f"Epoch 1/1, Steps: {step // 20}%|##| {step}/2000 [00:{step % 60:02d}<10:00, step_loss={2 - step / 1000:.3f}]\n"
    for step in range(0, 2001, 20)
)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with an_engine() as engine:
        yield engine


def ended(engine: Engine, external_id: str = JOB, log: str | None = BARS) -> None:
    engine.system.remote_job(external_id, JobStatus.COMPLETED)
    engine.system.provider.logs[external_id] = log
    engine.system.sync()


def stream_record(engine: Engine, external_id: str = JOB) -> dict[str, Any]:
    """What the event table's stream tells of a job's newest change."""
    image = encode_commit(1, [status_event(engine.job(external_id), JobStatus.RUNNING)], 0)
    return {"eventName": "INSERT", "dynamodb": {"NewImage": image, "SequenceNumber": "1"}}


def consume(engine: Engine, *, sent_ago: float = 0) -> list[str]:
    """Hand the queue's messages to the function; returns those that it gives back."""
    sent = int((engine.system.clock.now().timestamp() - sent_ago) * 1000)
    messages = engine.final_logs.drain()
    records = [
        {
            "messageId": str(place),
            "receiptHandle": f"receipt {place}",
            "body": body,
            "attributes": {"SentTimestamp": str(sent)},
        }
        for place, body in enumerate(messages)
    ]
    answer = keep_final_log.handler({"Records": records}, None)
    again = [messages[int(failure["itemIdentifier"])] for failure in answer["batchItemFailures"]]
    engine.final_logs.send(again)
    return again


def notice(engine: Engine, *external_ids: str) -> None:
    route_ended_jobs.handler({"Records": [stream_record(engine, one) for one in external_ids or (JOB,)]}, None)


def kept_log(engine: Engine, external_id: str = JOB) -> str | None:
    stored = engine.system.wiring.use(StoredTexts)
    log = stored.log(external_id)
    assert all(len(row.stored) < 350_000 for row in engine.system.stores.text_rows.values() if row.stored)
    return stored.log_from(external_id, 0, log.size)[0].decode() if log.is_final else None


def asked(engine: Engine) -> dict[str, int]:
    """What the provider was asked for, and how often."""
    return {call: count for call, count in engine.system.provider.calls.items() if count}


def test_an_error_too_long_for_the_job_s_item_is_kept_whole_and_shown_with_the_job(engine: Engine) -> None:
    error = "RuntimeError: " + "the tensors do not fit; " * 60 + "the cause"
    engine.system.remote_job(JOB, JobStatus.FAILED, error=error)
    engine.system.provider.logs[JOB] = BARS
    engine.system.sync()
    beginning = engine.job(JOB).error_message
    assert beginning is not None
    assert beginning.endswith("...")
    client = engine.system.client(get_job.router)
    assert client.get(f"/api/cloud/jobs/{JOB}").json()["job"]["error_message"] == beginning
    notice(engine)
    assert consume(engine) == []
    assert client.get(f"/api/cloud/jobs/{JOB}").json()["job"]["error_message"] == error
    notice(engine)
    consume(engine)
    assert asked(engine) == {"last_look": 1}


def test_the_log_of_an_ended_job_is_fetched_once_and_kept(engine: Engine) -> None:
    ended(engine)
    notice(engine)
    notice(engine)
    assert consume(engine) == []
    assert kept_log(engine) == BARS
    assert asked(engine) == {"last_look": 1}


def test_changes_of_running_jobs_and_deletions_are_not_queued(engine: Engine) -> None:
    engine.system.remote_job(JOB, JobStatus.RUNNING)
    engine.system.sync()
    notice(engine)
    route_ended_jobs.handler({"Records": [{"dynamodb": {"Keys": {}}}, {"dynamodb": {"NewImage": {}}}]}, None)
    assert engine.final_logs.messages == []


def test_a_queue_that_is_down_fails_the_stream_batch_so_that_it_comes_again(engine: Engine) -> None:
    ended(engine)
    engine.final_logs.is_down = True
    with pytest.raises(StoreUnavailableError):
        notice(engine)


def test_the_loss_curve_is_rebuilt_from_the_whole_log(engine: Engine) -> None:
    ended(engine)
    notice(engine)
    consume(engine)
    kept = engine.system.wiring.use(StoredTexts).progress(engine.job(JOB).job_id)
    assert kept is not None
    assert (kept.progress.step, kept.progress.percent) == (2000, 100.0)
    assert len(kept.history) > 50
    assert kept.history[0].step <= 20


@pytest.mark.parametrize("size", [3, PIECE_BYTES, PIECE_BYTES + 1, 4_000_000])
def test_a_log_of_any_size_is_kept_whole(engine: Engine, size: int) -> None:
    log = ("é" + "x" * 62 + "\n") * (size // 65 + 1)
    log = log.encode()[:size].decode(errors="ignore")
    ended(engine, log=log)
    notice(engine)
    consume(engine)
    assert kept_log(engine) == log


def test_a_log_that_the_provider_has_removed_for_good_is_not_asked_for_again(engine: Engine) -> None:
    ended(engine)
    engine.system.provider.without_data.add(JOB)
    notice(engine)
    assert consume(engine) == []
    assert kept_log(engine) is None
    assert engine.system.telemetry.counts[Metric.FINAL_LOG_GIVEN_UP] == 1


@pytest.mark.parametrize("log", [None, ""])
def test_a_job_that_never_ran_has_no_log_and_is_asked_for_once(engine: Engine, log: str | None) -> None:
    engine.system.remote_job(JOB, JobStatus.CANCELLED, started_at=None, billed_seconds=None)
    engine.system.provider.logs[JOB] = log
    engine.system.sync()
    notice(engine)
    assert consume(engine) == []
    assert asked(engine) == {"last_look": 1}
    assert engine.system.telemetry.counts[Metric.FINAL_LOG_GIVEN_UP] == 0


def test_while_the_provider_fails_it_is_tried_for_as_long_as_it_keeps_logs(engine: Engine) -> None:
    ended(engine)
    engine.system.provider.fail("last_look", *[DOWN] * 100)
    notice(engine)
    for minutes in (0, 6, 30, 59):
        assert len(consume(engine, sent_ago=minutes * 60)) == 1
    assert consume(engine, sent_ago=60 * 60) == []
    assert engine.final_logs.messages == []


def test_one_failing_log_holds_no_other_up(engine: Engine) -> None:
    ended(engine, "aaaaaaaa0001")
    ended(engine, "bbbbbbbb0002")
    engine.system.provider.fail("last_look", DOWN, external_id="aaaaaaaa0001")
    notice(engine, "aaaaaaaa0001", "bbbbbbbb0002")
    assert len(consume(engine)) == 1
    assert kept_log(engine, "bbbbbbbb0002") == BARS
    assert consume(engine) == []
    assert kept_log(engine, "aaaaaaaa0001") == BARS


def test_logs_are_fetched_at_a_bounded_rate(engine: Engine) -> None:
    names = [f"jobjob{number:06d}" for number in range(20)]
    for name in names:
        ended(engine, name)
    notice(engine, *names)
    begun = engine.system.clock.monotonic()
    assert consume(engine) == []
    assert engine.system.clock.monotonic() - begun >= 20 / FETCHES_A_SECOND


def test_a_slow_provider_makes_the_batch_come_back_before_the_function_is_killed(engine: Engine) -> None:
    names = [f"jobjob{number:06d}" for number in range(5)]
    for name in names:
        ended(engine, name)
    real = engine.system.provider.last_look

    def slow(external_id: str, kind: str) -> LastLook:
        engine.system.clock.advance(8)
        return real(external_id, kind)

    engine.system.provider.last_look = slow  # type: ignore[method-assign]
    notice(engine, *names)
    begun = engine.system.clock.monotonic()
    assert len(consume(engine)) == 2
    assert engine.system.clock.monotonic() - begun < 28
    assert consume(engine) == []


def test_a_job_deleted_meanwhile_leaves_no_log_behind(engine: Engine) -> None:
    ended(engine)
    job = engine.job(JOB)
    real = engine.system.provider.last_look

    def delete_then_answer(external_id: str, kind: str) -> LastLook:
        engine.system.wiring.use(DeleteJob).run(job, LOCAL_ADMIN)
        return real(external_id, kind)

    engine.system.provider.last_look = delete_then_answer  # type: ignore[method-assign]
    notice(engine)
    assert consume(engine) == []
    assert [key for key in engine.system.stores.text_rows if key[0] == JOB] == []


def test_a_crash_between_two_parts_leaves_a_log_that_is_fetched_again(engine: Engine) -> None:
    ended(engine, log="x\n" * (3 * PIECE_BYTES // 2))
    notice(engine)
    stores = engine.system.stores
    stores.faults.throttle_call(*range(11, 30))
    assert len(consume(engine)) == 1
    stores.faults.clear()
    assert (JOB, PIECE.format(0)) in stores.text_rows
    assert stores.texts.get(JOB, LOG) is None
    engine.system.clock.advance(60)
    assert consume(engine) == []
    assert kept_log(engine) == "x\n" * (3 * PIECE_BYTES // 2)


@pytest.mark.parametrize("body", ["", "7", "{}", "[]", "null", '{"job_id": 7}', '{"job_id": ""}', '{"job_id": "a/b"}'])
def test_a_message_that_names_no_job_is_left_to_the_dead_letters_alone(engine: Engine, body: str) -> None:
    """I43: the rest of its batch is done, and it comes again so soon that it is no hours among the living."""
    ended(engine)
    engine.final_logs.send([body])
    notice(engine)
    assert consume(engine) == [body]
    assert kept_log(engine) == BARS
    assert engine.final_logs.postponed == {"receipt 0": POISON_SECONDS}


def test_an_error_that_nobody_knows_fails_its_own_message_alone(engine: Engine) -> None:
    ended(engine, "aaaaaaaa0001")
    ended(engine, "bbbbbbbb0002")
    engine.system.provider.fail("last_look", RuntimeError("a mistake of ours"), external_id="aaaaaaaa0001")
    notice(engine, "aaaaaaaa0001", "bbbbbbbb0002")
    assert consume(engine) == ['{"job_id": "aaaaaaaa0001"}']
    assert kept_log(engine, "bbbbbbbb0002") == BARS


def test_a_job_that_is_unknown_or_waiting_here_is_dropped(engine: Engine) -> None:
    ended(engine)
    engine.system.stores.put_job(JOB, replace(engine.job(JOB), external_id=None))
    engine.final_logs.send(['{"job_id": "abcdefgh1234"}', '{"job_id": "unknown1"}'])
    assert consume(engine) == []
    assert asked(engine) == {}
