"""What only the real engine can show, and what only a broken answer can: tokens, lost answers, left-over items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from shared.config import AuthMode, Settings
from shared.domain.errors import ChangeRefusedError, StaleWrite, StoreUnavailableError
from shared.domain.job import JobStatus
from shared.enterprise_config import EnterpriseConfig
from shared.services.polling.poll_provider import PollProvider, TickOutcome
from shared.wiring import Wiring
from tests.builders import a_job, an_observation
from tests.contract.changes import commit, found, key_of, known, many_jobs, moved
from tests.contract.conftest import DynamoTables, dynamo_stores
from tests.fakes import FakeProvider, FakeQueue, FakeTelemetry


class TamperedClient:
    """The client, with one operation replaced."""

    def __init__(self, client: Any, **operations: Any) -> None:
        self._client = client
        self.__dict__.update(operations)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def canceled_by(*codes: str) -> ClientError:
    reasons = [{"Code": code} for code in codes]
    answer: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
    return ClientError(answer, "TransactWriteItems")


def test_an_attempt_sent_twice_with_its_token_is_applied_once(dynamo: DynamoTables) -> None:
    """I13: that is what the SDK does when an answer was lost."""

    def send_twice(**request: Any) -> Any:
        dynamo.client.transact_write_items(**request)
        return dynamo.client.transact_write_items(**request)

    store = dynamo.job_store(TamperedClient(dynamo.client, transact_write_items=send_twice))
    head = store.snapshot().head
    assert store.commit([found(a_job())], head=head, at=dynamo.clock.now()) == dynamo_stores(dynamo).events.head()


def test_each_attempt_has_a_token_of_its_own(dynamo: DynamoTables) -> None:
    tokens = []

    def keep_token(**request: Any) -> Any:
        tokens.append(request["ClientRequestToken"])
        return dynamo.client.transact_write_items(**request)

    store = dynamo.job_store(TamperedClient(dynamo.client, transact_write_items=keep_token))
    head = store.snapshot().head
    store.commit([found(a_job())], head=head, at=dynamo.clock.now())
    with pytest.raises(StaleWrite):
        store.commit([found(a_job())], head=head, at=dynamo.clock.now())
    assert len(set(tokens)) == 2
    assert all(len(token) <= 36 for token in tokens)


def test_a_lost_answer_is_an_unavailable_store_and_the_second_attempt_is_stale(dynamo: DynamoTables) -> None:
    """I13."""

    def lose_answer(**request: Any) -> Any:
        dynamo.client.transact_write_items(**request)
        raise ReadTimeoutError(endpoint_url="https://dynamodb")

    head = dynamo.job_store().snapshot().head
    change = found(a_job())
    with pytest.raises(StoreUnavailableError):
        dynamo.job_store(TamperedClient(dynamo.client, transact_write_items=lose_answer)).commit(
            [change], head=head, at=dynamo.clock.now()
        )
    with pytest.raises(StaleWrite) as caught:
        dynamo.job_store().commit([change], head=head, at=dynamo.clock.now())
    assert caught.value.jobs == {change.job_id}
    assert caught.value.head


@pytest.mark.parametrize(
    ("codes", "jobs", "is_head"),
    [
        (("TransactionConflict", "None", "None", "None", "None"), True, False),
        (("None", "TransactionConflict", "None", "None", "None"), True, False),
        (("None", "None", "TransactionConflict", "None", "None"), False, True),
        (("None", "None", "None", "TransactionConflict", "None"), False, True),
        (("None", "None", "None", "None", "TransactionConflict"), False, True),
        (("ConditionalCheckFailed", "None", "None", "None", "ThrottlingError"), True, False),
    ],
)
def test_a_conflict_is_told_by_what_it_hit(
    dynamo: DynamoTables, codes: tuple[str, ...], jobs: bool, is_head: bool
) -> None:
    """Items in order: job, claim, delivery id, event, head. A conflict on a delivery id is no duplicate yet."""

    def cancel(**_: Any) -> Any:
        raise canceled_by(*codes)

    store = dynamo.job_store(TamperedClient(dynamo.client, transact_write_items=cancel))
    change = found(a_job(), delivery_ids=["msg_1"])
    with pytest.raises(StaleWrite) as caught:
        store.commit([change], head=store.snapshot().head, at=dynamo.clock.now())
    assert caught.value.jobs == ({change.job_id} if jobs else frozenset())
    assert caught.value.head is is_head
    assert not caught.value.delivery_ids


@pytest.mark.parametrize("code", ["ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_throttled_transaction_is_an_unavailable_store(dynamo: DynamoTables, code: str) -> None:
    def cancel(**_: Any) -> Any:
        raise canceled_by("None", code)

    store = dynamo.job_store(TamperedClient(dynamo.client, transact_write_items=cancel))
    with pytest.raises(StoreUnavailableError):
        store.commit([found(a_job())], head=store.snapshot().head, at=dynamo.clock.now())


def test_items_that_were_left_over_are_asked_for_again(dynamo: DynamoTables) -> None:
    jobs = many_jobs(dynamo_stores(dynamo), 10)

    def answer_three(RequestItems: Mapping[str, Any]) -> Any:  # noqa: N803 - the SDK's own keyword
        [(table, wanted)] = RequestItems.items()
        taken, left = wanted["Keys"][:3], wanted["Keys"][3:]
        request: Any = {table: {**wanted, "Keys": taken}}
        answer: Any = dynamo.client.batch_get_item(RequestItems=request)
        return {**answer, "UnprocessedKeys": {table: {**wanted, "Keys": left}} if left else {}}

    store = dynamo.job_store(TamperedClient(dynamo.client, batch_get_item=answer_three))
    assert set(store.get_many([job.job_id for job in jobs])) == {job.job_id for job in jobs}
    assert dynamo.clock.slept == [0.05, 0.1, 0.2]


def test_items_that_are_always_left_over_end_as_an_unavailable_store(dynamo: DynamoTables) -> None:
    def answer_nothing(RequestItems: Mapping[str, Any]) -> Any:  # noqa: N803 - the SDK's own keyword
        return {"Responses": {}, "UnprocessedKeys": RequestItems}

    store = dynamo.job_store(TamperedClient(dynamo.client, batch_get_item=answer_nothing))
    with pytest.raises(StoreUnavailableError):
        store.snapshot()
    assert dynamo.clock.monotonic() < 3


def test_empty_pages_are_followed_to_the_end(dynamo: DynamoTables) -> None:
    jobs = many_jobs(dynamo_stores(dynamo), 3)
    answers = 0

    def query_with_empty_pages(**request: Any) -> Any:
        nonlocal answers
        answers += 1
        if answers % 2:
            return {"Items": [], "LastEvaluatedKey": request.get("ExclusiveStartKey", {})}
        request.pop("ExclusiveStartKey")
        return dynamo.client.query(**request)

    store = dynamo.job_store(TamperedClient(dynamo.client, query=query_with_empty_pages))
    page = store.page(status=None, after=None, limit=10)
    assert [job_id for job_id, _ in page.entries] == [job.job_id for job in reversed(jobs)]
    assert len(store.active("replicate")) == 3


def test_a_round_over_jobs_that_are_as_they_were_reads_the_index_and_nothing_else_of_them(dynamo: DynamoTables) -> None:
    stores = dynamo_stores(dynamo)
    provider = FakeProvider(dynamo.clock)
    for job in many_jobs(stores, 150, JobStatus.RUNNING):
        provider.put(an_observation(str(job.external_id), created_at=job.created_at, observed_at=job.created_at))
    wiring = Wiring(
        Settings(auth_mode=AuthMode.NONE),
        clock=dynamo.clock,
        telemetry=FakeTelemetry(),
        jobs=stores.jobs,
        events=stores.events,
        state=stores.state,
        observations_queue=FakeQueue(),
        enterprise=EnterpriseConfig(),
    )
    wiring.use(PollProvider).run(provider, interval=30)
    dynamo.clock.advance(30)
    dynamo.engine.sent.clear()
    assert wiring.use(PollProvider).run(provider, interval=30) is TickOutcome.RAN
    assert dynamo.engine.sent == {"Query": 4, "GetItem": 2, "UpdateItem": 2}


def test_a_reader_asks_for_few_commits_while_they_are_full_and_for_more_while_they_are_single(
    dynamo: DynamoTables,
) -> None:
    asked_for: list[int] = []

    def query_and_note(**request: Any) -> Any:
        asked_for.append(request["Limit"])
        return dynamo.client.query(**request)

    log = dynamo.event_log(TamperedClient(dynamo.client, query=query_and_note))
    stores = dynamo_stores(dynamo)
    for start in range(0, 120, 40):
        commit(stores, *(found(a_job(f"full-job-{start + number:06d}")) for number in range(40)))
    assert [row.seq for row in log.read(10, 100)] == list(range(11, 111))
    assert asked_for == [8]
    for number in range(50):
        commit(stores, found(a_job(f"single-job-{number:06d}")))
    asked_for.clear()
    assert [row.seq for row in log.read(120, 45)] == list(range(121, 166))
    assert asked_for == [8, 32, 5]


def test_a_log_of_single_changes_goes_on_with_whole_commits(dynamo: DynamoTables) -> None:
    """As an earlier version has stored them: read, trimmed, and written on to."""
    stores = dynamo_stores(dynamo)
    commit(stores, *(found(a_job(f"early-job-{number:06d}")) for number in range(3)))
    table = dynamo.names["EventsTable"]
    [item] = [row for row in dynamo.client.scan(TableName=table)["Items"] if "events" in row]
    dynamo.client.delete_item(TableName=table, Key={"log": item["log"], "seq": item["seq"]})
    for seq, event in enumerate(item["events"]["L"], start=1):
        common: Any = {"log": item["log"], "seq": {"N": str(seq)}, "expires_at": item["expires_at"]}
        dynamo.client.put_item(TableName=table, Item={**event["M"], **common})
    dynamo.clock.advance(timedelta(days=6).total_seconds())
    commit(stores, *(found(a_job(f"later-job-{number:06d}")) for number in range(2)))
    assert [row.seq for row in stores.events.read(1, 10)] == [2, 3, 4, 5]
    dynamo.clock.advance(timedelta(days=1, hours=1).total_seconds())
    assert stores.events.trim(before=dynamo.clock.now() - timedelta(days=7), limit=10) == 3
    assert stores.events.head().first_kept == 4
    assert [row.seq for row in stores.events.read(3, 10)] == [4, 5]


def test_attributes_of_a_newer_release_are_passed_over(dynamo: DynamoTables) -> None:
    stores = dynamo_stores(dynamo)
    job = a_job()
    commit(stores, found(job))
    for table, key in (("JobsTable", {"job_id": {"S": job.job_id}}), ("EventsTable", {"log": {"S": "main"}})):
        rows: list[Any] = [key] if table == "JobsTable" else [{**key, "seq": {"N": seq}} for seq in "01"]
        for row in rows:
            dynamo.client.update_item(
                TableName=dynamo.names[table],
                Key=row,
                UpdateExpression="SET novelty = :map",
                ExpressionAttributeValues={":map": {"M": {"a": {"L": [{"NULL": True}]}}}},
            )
    assert known(stores, job.job_id).status is job.status
    assert stores.events.read(0, 1)[0].event.job_id == job.job_id
    assert stores.jobs.snapshot([key_of(job)]).head.seq == 1


def test_a_missing_table_is_an_unavailable_store(dynamo: DynamoTables) -> None:
    misconfigured = replace(dynamo, names={**dynamo.names, "JobsTable": "no-such-table"})
    with pytest.raises(StoreUnavailableError, match="ResourceNotFoundException"):
        misconfigured.job_store().get("any-job-id-00001")


def test_a_trim_after_the_log_began_anew_deletes_nothing(dynamo: DynamoTables) -> None:
    """A restored log has another epoch: what an old trimmer saw is not true of it."""
    stores = dynamo_stores(dynamo)
    many_jobs(stores, 3)
    commit(stores, moved(known(stores, "job00000abcdef"), JobStatus.RUNNING, dynamo.clock.now()))

    def query_late(**request: Any) -> Any:
        dynamo.client.update_item(
            TableName=dynamo.names["EventsTable"],
            Key={"log": {"S": "main"}, "seq": {"N": "0"}},
            UpdateExpression="SET epoch = :new",
            ExpressionAttributeValues={":new": {"S": "anew"}},
        )
        return dynamo.client.query(**request)

    log = dynamo.event_log(TamperedClient(dynamo.client, query=query_late))
    dynamo.clock.advance(1)
    assert log.trim(before=dynamo.clock.now(), limit=10) == 0
    assert len(stores.events.read(0, 10)) == 4


@pytest.mark.parametrize("seconds", ["1e-320", "1e300", "NaN", "1." + "1" * 50])
def test_a_number_that_no_table_holds_is_a_refused_change(dynamo: DynamoTables, seconds: str) -> None:
    stores = dynamo_stores(dynamo)
    with pytest.raises(ChangeRefusedError) as caught:
        commit(stores, found(a_job()), found(a_job("another-job-00001", billed_seconds=Decimal(seconds))))
    assert caught.value.job_id is None, "the store does not say which"
    assert stores.events.head().seq == 0


def test_a_value_that_a_cancelled_transaction_refuses_is_told_with_its_job(dynamo: DynamoTables) -> None:
    def refuse(**request: Any) -> Any:
        raise canceled_by("None", "None", "ValidationError")

    store = dynamo.job_store(TamperedClient(dynamo.client, transact_write_items=refuse))
    with pytest.raises(ChangeRefusedError) as caught:
        store.commit(
            [found(a_job()), found(a_job("another-job-00001"))], head=store.snapshot().head, at=dynamo.clock.now()
        )
    assert caught.value.job_id == "another-job-00001"


@pytest.mark.parametrize("code", ["TransactionConflictException", "ConditionalCheckFailedException"])
def test_a_turn_that_collides_with_a_transaction_is_a_stale_write(dynamo: DynamoTables, code: str) -> None:
    def collide(**request: Any) -> Any:
        raise ClientError({"Error": {"Code": code}}, "UpdateItem")

    store = dynamo.job_store(TamperedClient(dynamo.client, update_item=collide))
    with pytest.raises(StaleWrite) as caught:
        store.take_turn(dynamo.clock.now())
    assert caught.value.head
