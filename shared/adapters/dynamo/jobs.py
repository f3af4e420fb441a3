"""Jobs, claims, delivery ids, day totals and the head's counts on DynamoDB, each change in one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from shared.adapters.clock import SystemClock
from shared.adapters.dynamo.batches import batch_get, query
from shared.adapters.dynamo.client import ClientFactory, dynamo_client
from shared.adapters.dynamo.errors import (
    CONDITION_FAILED,
    TRANSACTION_CONFLICT,
    error_code,
    raise_canceled,
    translated,
)
from shared.adapters.dynamo.events import begin_log
from shared.adapters.dynamo.fill_transactions import fill_transactions
from shared.adapters.dynamo.items import (
    SCOPE,
    Attributes,
    Item,
    claim_key,
    decode_claim,
    decode_head,
    decode_job,
    decode_total,
    delivery_key,
    head_key,
    is_live,
    micros,
    number,
    text,
    total_key,
)
from shared.adapters.dynamo.state import decode_state
from shared.adapters.dynamo.transaction import Tables, build_transaction
from shared.domain.change import JobChange, RemoteId, Snapshot
from shared.domain.errors import StaleWrite
from shared.domain.event import LogHead
from shared.domain.job import ACTIVE_STATUSES, MIN_PREFIX_LENGTH, IndexPage, Job, JobStatus
from shared.domain.stored import StateItem
from shared.domain.totals import DayTotal
from shared.ports import Clock


class DynamoJobStore:
    def __init__(
        self,
        *,
        jobs_table: str,
        events_table: str,
        state_table: str,
        client: ClientFactory = dynamo_client,
        clock: Clock | None = None,
    ) -> None:
        self._tables = Tables(jobs_table, events_table, state_table)
        self._client = client
        self._clock = clock or SystemClock()

    def get(self, job_id: str) -> Job | None:
        with translated():
            answer = self._client().get_item(TableName=self._tables.jobs, Key=_job_key(job_id), ConsistentRead=True)
        return decode_job(answer["Item"]) if "Item" in answer else None

    def get_many(self, job_ids: Sequence[str]) -> dict[str, Job]:
        wanted = [(self._tables.jobs, _job_key(job_id)) for job_id in dict.fromkeys(job_ids)]
        found = batch_get(self._client(), self._clock, wanted)
        jobs = (decode_job(item) for item in found[self._tables.jobs])
        return {job.job_id: job for job in jobs}

    def ids_with_prefix(self, prefix: str, limit: int) -> tuple[str, ...]:
        if len(prefix) < MIN_PREFIX_LENGTH:
            return ()
        rows = query(
            self._client(),
            limit=limit,
            TableName=self._tables.jobs,
            IndexName="by_prefix",
            KeyConditionExpression="id_prefix = :start AND begins_with(job_id, :prefix)",
            ExpressionAttributeValues={":start": text(prefix[:MIN_PREFIX_LENGTH]), ":prefix": text(prefix)},
        )
        return tuple(row["job_id"]["S"] for row in rows)

    def page(self, *, status: JobStatus | None, after: str | None, limit: int) -> IndexPage:
        index, attribute, value = ("by_status", "status", status.value) if status else ("by_created", "scope", SCOPE)
        condition = "#partition = :partition"
        values: Item = {":partition": text(value)}
        if after is not None:
            condition += " AND created_key < :after"
            values[":after"] = text(after)
        rows = list(
            query(
                self._client(),
                limit=limit + 1,
                TableName=self._tables.jobs,
                IndexName=index,
                ScanIndexForward=False,
                KeyConditionExpression=condition,
                ProjectionExpression="job_id, created_key",
                ExpressionAttributeNames={"#partition": attribute},
                ExpressionAttributeValues=values,
            )
        )
        entries = tuple((row["job_id"]["S"], row["created_key"]["S"]) for row in rows[:limit])
        return IndexPage(entries, entries[-1][1] if len(rows) > limit else None)

    def active(self, provider: str) -> tuple[Job, ...]:
        # In the order of life: a job that moves on between two of the reads is taken as it is later.
        found: dict[str, Job] = {}
        for status in ACTIVE_STATUSES:
            for row in self._with_status(status, provider):
                found[row["job_id"]["S"]] = decode_job(row)
        return tuple(sorted(found.values(), key=lambda job: (job.created_at, job.job_id)))

    def snapshot(
        self,
        remote_ids: Collection[RemoteId] = (),
        *,
        job_ids: Collection[str] = (),
        delivery_ids: Collection[str] = (),
        state: Collection[str] = (),
    ) -> Snapshot:
        tables, now = self._tables, self._clock.now()
        near = dict.fromkeys([*job_ids, *(remote_id.external_id for remote_id in remote_ids)])
        claim_of_item = {_name(claim_key(remote_id)): remote_id for remote_id in remote_ids}
        delivery_of_item = {_name(delivery_key(delivery_id)): delivery_id for delivery_id in delivery_ids}
        found = self._read(
            (tables.events, head_key()),
            *((tables.jobs, _job_key(job_id)) for job_id in near),
            *((tables.state, {"key": text(name)}) for name in {**claim_of_item, **delivery_of_item}),
            *((tables.state, {"key": text(name)}) for name in state),
        )
        live = {_name(item): item for item in found[tables.state] if is_live(item, now)}
        claims = [decode_claim(claim_of_item[name], live[name]) for name in live if name in claim_of_item]
        far = {claim.job_id: None for claim in claims if not claim.is_tombstone and claim.job_id not in near}
        items = found[tables.jobs] + self._read(*((tables.jobs, _job_key(job_id)) for job_id in far))[tables.jobs]
        heads = [decode_head(item) for item in found[tables.events]]
        return Snapshot(
            head=heads[0] if heads else begin_log(self._client(), tables.events),
            jobs={job.job_id: job for job in map(decode_job, items)},
            claims={claim.remote_id: claim for claim in claims},
            delivery_ids=frozenset(delivery_of_item[name] for name in live if name in delivery_of_item),
            state={_name(item): kept for item in found[tables.state] if (kept := _asked(item, state, now)) is not None},
        )

    def batches(self, changes: Iterable[JobChange]) -> Iterator[Sequence[JobChange]]:
        return fill_transactions(changes)

    def commit(
        self, changes: Sequence[JobChange], *, head: LogHead, at: datetime, turn_until: datetime | None = None
    ) -> LogHead:
        transaction = build_transaction(self._tables, changes, head=head, at=at, turn_until=turn_until)
        try:
            with translated():
                # The token is this attempt's: the SDK's own retries carry it along, so that none is applied twice.
                self._client().transact_write_items(
                    TransactItems=transaction.items, ClientRequestToken=secrets.token_hex(16)
                )
        except ClientError as error:
            raise_canceled(error, transaction.guards)
        return transaction.head

    def take_turn(self, until: datetime) -> None:
        with translated():
            try:
                self._client().update_item(
                    TableName=self._tables.events,
                    Key=head_key(),
                    UpdateExpression="SET turn_until = :turn",
                    # A log that is begun anew meanwhile must find no half of a head there.
                    ConditionExpression="attribute_exists(seq)",
                    ExpressionAttributeValues={":turn": number(micros(until))},
                )
            except ClientError as error:
                if error_code(error) in {CONDITION_FAILED, TRANSACTION_CONFLICT}:
                    raise StaleWrite(head=True) from error
                raise

    def day_totals(self, provider: str, first_day: datetime, last_day: datetime) -> tuple[DayTotal, ...]:
        days = (last_day.date() - first_day.date()).days + 1
        wanted = [
            (self._tables.state, total_key(provider, first_day.date() + timedelta(days=day))) for day in range(days)
        ]
        found = batch_get(self._client(), self._clock, wanted)
        return tuple(sorted((decode_total(item) for item in found[self._tables.state]), key=lambda total: total.day))

    def _read(self, *wanted: tuple[str, Item]) -> dict[str, list[Attributes]]:
        return batch_get(self._client(), self._clock, wanted)

    def _with_status(self, status: JobStatus, provider: str) -> Iterable[Attributes]:
        return query(
            self._client(),
            TableName=self._tables.jobs,
            IndexName="by_status",
            KeyConditionExpression="#status = :status",
            FilterExpression="provider = :provider",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":status": text(status.value), ":provider": text(provider)},
        )


def _job_key(job_id: str) -> Any:
    return {"job_id": text(job_id)}


def _asked(item: Attributes, state: Collection[str], now: datetime) -> StateItem | None:
    return decode_state(item, now) if _name(item) in state else None


def _name(item: Attributes) -> str:
    """The key of an item of the state table."""
    return str(item["key"]["S"])
