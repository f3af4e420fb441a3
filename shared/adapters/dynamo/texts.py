"""What is big, or changes without being a change: one item a job and part."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from shared.adapters.clock import SystemClock
from shared.adapters.dynamo.batches import batch_delete, batch_get, query
from shared.adapters.dynamo.client import ClientFactory, dynamo_client
from shared.adapters.dynamo.errors import CONDITION_FAILED, error_code, translated
from shared.adapters.dynamo.items import Attributes, Item, micros, number, text
from shared.domain.expiry import latest_credible
from shared.ports import Clock


class DynamoJobTexts:
    def __init__(self, *, table: str, client: ClientFactory = dynamo_client, clock: Clock | None = None) -> None:
        self._table = table
        self._client = client
        self._clock = clock or SystemClock()

    def get(self, job_id: str, part: str) -> bytes | None:
        with translated():
            answer = self._client().get_item(TableName=self._table, Key=_key(job_id, part), ConsistentRead=True)
        return _decode(answer.get("Item", {}))

    def get_many(self, job_ids: Sequence[str], part: str) -> dict[str, bytes]:
        wanted = [(self._table, _key(job_id, part)) for job_id in dict.fromkeys(job_ids)]
        found = batch_get(self._client(), self._clock, wanted)[self._table]
        texts = ((item["job_id"]["S"], _decode(item)) for item in found)
        return {job_id: stored for job_id, stored in texts if stored is not None}

    def parts(self, job_id: str, first: str, last: str) -> dict[str, bytes]:
        found = query(
            self._client(),
            TableName=self._table,
            ConsistentRead=True,
            KeyConditionExpression="job_id = :job AND part BETWEEN :first AND :last",
            ExpressionAttributeValues={":job": text(job_id), ":first": text(first), ":last": text(last)},
        )
        texts = ((item["part"]["S"], _decode(item)) for item in found)
        return {part: stored for part, stored in texts if stored is not None}

    def put(self, job_id: str, part: str, content: bytes) -> None:
        self._update(
            job_id,
            part,
            UpdateExpression="SET content = :content REMOVE lease_until",
            ExpressionAttributeValues={":content": {"B": content}},
        )

    def acquire(self, job_id: str, part: str, *, now: datetime, until: datetime) -> bool:
        return self._update(
            job_id,
            part,
            UpdateExpression="SET lease_until = :until",
            ConditionExpression="attribute_not_exists(lease_until) OR lease_until <= :now OR lease_until > :latest",
            ExpressionAttributeValues={
                ":until": number(micros(until)),
                ":now": number(micros(now)),
                ":latest": number(micros(latest_credible(now, until - now))),
            },
        )

    def delete(self, job_id: str, parts: Sequence[str]) -> None:
        batch_delete(self._client(), self._clock, self._table, [_key(job_id, part) for part in parts])

    def delete_all(self, job_id: str) -> None:
        parts = query(
            self._client(),
            TableName=self._table,
            ConsistentRead=True,
            KeyConditionExpression="job_id = :job",
            ProjectionExpression="job_id, part",
            ExpressionAttributeValues={":job": text(job_id)},
        )
        self.delete(job_id, [row["part"]["S"] for row in parts])

    def _update(self, job_id: str, part: str, **request: Any) -> bool:
        """False when the condition failed, and then nothing was written."""
        try:
            with translated():
                self._client().update_item(TableName=self._table, Key=_key(job_id, part), **request)
        except ClientError as error:
            if error_code(error) != CONDITION_FAILED:
                raise
            return False
        return True


def _key(job_id: str, part: str) -> Item:
    return {"job_id": text(job_id), "part": text(part)}


def _decode(item: Attributes) -> bytes | None:
    """None for an item that holds nothing but a lease."""
    return bytes(item["content"]["B"]) if "content" in item else None
