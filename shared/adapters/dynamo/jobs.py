"""Jobs, claims, delivery ids, day totals and the head's counts on DynamoDB, each change in one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from shared.adapters.clock import SystemClock
from shared.adapters.dynamo.batches import batch_get, query
from shared.adapters.dynamo.client import ClientFactory, dynamo_client
from shared.adapters.dynamo.errors import raise_canceled, translated
from shared.adapters.dynamo.events import begin_log
from shared.adapters.dynamo.items import (
    SCOPE,
    Attributes,
    Item,
    claim_key,
    decode_active,
    decode_claim,
    decode_head,
    decode_job,
    decode_total,
    delivery_key,
    head_key,
    is_live,
    text,
    total_key,
)
from shared.adapters.dynamo.transaction import Tables, build_transaction
from shared.domain.change import Claim, JobChange, RemoteId, Snapshot
from shared.domain.event import LogHead
from shared.domain.job import ACTIVE_STATUSES, MIN_PREFIX_LENGTH, ActiveJob, IndexPage, Job, JobStatus
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
                ExpressionAttributeNames={"#partition": attribute},
                ExpressionAttributeValues=values,
            )
        )
        entries = tuple((row["job_id"]["S"], row["created_key"]["S"]) for row in rows[:limit])
        return IndexPage(entries, entries[-1][1] if len(rows) > limit else None)

    def active(self, provider: str) -> tuple[ActiveJob, ...]:
        # In the order of life: a job that moves on between two of the reads is taken as it is later.
        found: dict[str, ActiveJob] = {}
        for status in ACTIVE_STATUSES:
            for row in self._with_status(status, provider):
                found[row["job_id"]["S"]] = decode_active(row)
        return tuple(sorted(found.values(), key=lambda job: (job.created_at, job.job_id)))

    def snapshot(
        self,
        remote_ids: Collection[RemoteId] = (),
        *,
        of: Mapping[RemoteId, str] = {},
        job_ids: Collection[str] = (),
        delivery_ids: Collection[str] = (),
    ) -> Snapshot:
        reading = _Reading(self._tables, self._clock.now())
        reading.want_jobs(job_ids)
        for remote_id in dict.fromkeys(remote_ids):
            reading.want_jobs([of.get(remote_id, remote_id.external_id)])
            if remote_id not in of:
                reading.want_claim(remote_id)
        reading.want_delivery_ids(delivery_ids)
        reading.take(batch_get(self._client(), self._clock, [(self._tables.events, head_key()), *reading.open()]))
        for remote_id in remote_ids:
            reading.claim_or_want(remote_id, of.get(remote_id))
        reading.want_jobs(claim.job_id for claim in reading.claims.values() if not claim.is_tombstone)
        while missing := reading.open():
            reading.take(batch_get(self._client(), self._clock, missing))
            reading.want_jobs(claim.job_id for claim in reading.claims.values() if not claim.is_tombstone)
        head = reading.head or begin_log(self._client(), self._tables.events)
        return Snapshot(
            head=head, jobs=reading.jobs, claims=reading.claims, delivery_ids=frozenset(reading.delivery_ids)
        )

    def commit(self, changes: Sequence[JobChange], *, head: LogHead, at: datetime) -> LogHead:
        transaction = build_transaction(self._tables, changes, head=head, at=at)
        try:
            with translated():
                # The token is this attempt's: the SDK's own retries carry it along, so that none is applied twice.
                self._client().transact_write_items(
                    TransactItems=transaction.items, ClientRequestToken=secrets.token_hex(16)
                )
        except ClientError as error:
            raise_canceled(error, transaction.guards)
        return transaction.head

    def day_totals(self, provider: str, first_day: datetime, last_day: datetime) -> tuple[DayTotal, ...]:
        days = (last_day.date() - first_day.date()).days + 1
        wanted = [
            (self._tables.state, total_key(provider, first_day.date() + timedelta(days=number)))
            for number in range(days)
        ]
        found = batch_get(self._client(), self._clock, wanted)
        return tuple(sorted((decode_total(item) for item in found[self._tables.state]), key=lambda total: total.day))

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


class _Reading:
    """A snapshot while it is read: what is wanted, what was found, and what is still open."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        self._tables = tables
        self._now = now
        self._open: dict[tuple[str, str], Item] = {}
        self._asked: set[tuple[str, str]] = set()
        self._claims_by_item: dict[str, RemoteId] = {}
        self._delivery_ids_by_item: dict[str, str] = {}
        self.head: LogHead | None = None
        self.jobs: dict[str, Job] = {}
        self.claims: dict[RemoteId, Claim] = {}
        self.delivery_ids: set[str] = set()

    def want_jobs(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            self._want(self._tables.jobs, job_id, _job_key(job_id))

    def want_claim(self, remote_id: RemoteId) -> None:
        item_key = claim_key(remote_id)
        self._claims_by_item[item_key["key"]["S"]] = remote_id
        self._want(self._tables.state, item_key["key"]["S"], item_key)

    def want_delivery_ids(self, delivery_ids: Iterable[str]) -> None:
        for delivery_id in delivery_ids:
            item_key = delivery_key(delivery_id)
            self._delivery_ids_by_item[item_key["key"]["S"]] = delivery_id
            self._want(self._tables.state, item_key["key"]["S"], item_key)

    def claim_or_want(self, remote_id: RemoteId, job_id: str | None) -> None:
        """A hinted job that says itself which remote job it is needs no look at the claim."""
        if remote_id in self.claims:
            return
        job = self.jobs.get(job_id) if job_id else None
        if job and (job.provider, job.external_id) == (remote_id.provider, remote_id.external_id):
            self.claims[remote_id] = Claim(remote_id, job.job_id)
        else:
            self.want_claim(remote_id)

    def open(self) -> list[tuple[str, Item]]:
        """What is wanted and was not asked for yet; from now on it counts as asked for."""
        wanted = [(table, key) for (table, _), key in self._open.items()]
        self._asked |= set(self._open)
        self._open.clear()
        return wanted

    def take(self, found: Mapping[str, Iterable[Attributes]]) -> None:
        for item in found.get(self._tables.events, ()):
            self.head = decode_head(item)
        for item in found.get(self._tables.jobs, ()):
            job = decode_job(item)
            self.jobs[job.job_id] = job
        for item in found.get(self._tables.state, ()):
            name = item["key"]["S"]
            if name in self._delivery_ids_by_item:
                if is_live(item, self._now):
                    self.delivery_ids.add(self._delivery_ids_by_item[name])
                continue
            remote_id = self._claims_by_item[name]
            claim = decode_claim(remote_id, item, self._now)
            if claim:
                self.claims[remote_id] = claim

    def _want(self, table: str, name: str, key: Item) -> None:
        if (table, name) not in self._asked:
            self._open[table, name] = key


def _job_key(job_id: str) -> Any:
    return {"job_id": text(job_id)}
