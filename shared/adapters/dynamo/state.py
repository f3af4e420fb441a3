"""Small shared state by key: JSON values with versions, expiry judged by condition or reader and never by deletion."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from shared.adapters.clock import SystemClock
from shared.adapters.dynamo.batches import batch_get
from shared.adapters.dynamo.client import ClientFactory, dynamo_client
from shared.adapters.dynamo.errors import CONDITION_FAILED, error_code, translated
from shared.adapters.dynamo.items import Attributes, Item, epoch_seconds, exact_seconds, is_live, micros, number, text
from shared.domain import state_keys
from shared.domain.errors import StaleWrite
from shared.domain.expiry import latest_credible
from shared.domain.stored import StateItem
from shared.ports import Clock

"""Items of the same table that only the job store's transaction may write."""


class DynamoStateStore:
    def __init__(self, *, table: str, client: ClientFactory = dynamo_client, clock: Clock | None = None) -> None:
        self._table = table
        self._client = client
        self._clock = clock or SystemClock()

    def get(self, key: str, *, now: datetime) -> StateItem | None:
        with translated():
            answer = self._client().get_item(TableName=self._table, Key=_key(key), ConsistentRead=True)
        return decode_state(answer.get("Item", {}), now)

    def get_many(self, keys: Sequence[str], *, now: datetime) -> dict[str, StateItem]:
        wanted = [(self._table, _key(key)) for key in dict.fromkeys(keys)]
        found = batch_get(self._client(), self._clock, wanted)[self._table]
        items = ((item["key"]["S"], decode_state(item, now)) for item in found)
        return {key: item for key, item in items if item is not None}

    def put(
        self,
        key: str,
        value: Mapping[str, object],
        *,
        now: datetime,
        expires_at: datetime | None = None,
        if_version: int | None = None,
    ) -> int:
        # A new item begins with the time as its version, so that a guard from before a deletion never fits again.
        life = state_keys.longest_life(key)
        if expires_at is not None and life is not None and expires_at > now + life:
            raise ValueError(f"{key.partition('#')[0]} items last for {life} at the most.")
        values: Item = {
            ":value": text(json.dumps(value, allow_nan=False)),
            ":one": number(1),
            ":before_first": number(micros(now) // 1000 - 1),
        }
        changes = "SET #value = :value, version = if_not_exists(version, :before_first) + :one"
        if expires_at is None:
            changes += " REMOVE expires_at"
        else:
            changes += ", expires_at = :expiry"
            values[":expiry"] = number(epoch_seconds(expires_at))
        request: dict[str, Any] = {} if if_version is None else _guard(if_version, key, now)
        request["ExpressionAttributeNames"] = {"#value": "value", **request.get("ExpressionAttributeNames", {})}
        request["ExpressionAttributeValues"] = {**values, **request.get("ExpressionAttributeValues", {})}
        try:
            with translated():
                answer = self._client().update_item(
                    TableName=self._table,
                    Key=_key(key),
                    UpdateExpression=changes,
                    ReturnValues="UPDATED_NEW",
                    **request,
                )
        except ClientError as error:
            if error_code(error) != CONDITION_FAILED:
                raise
            raise StaleWrite from error
        return int(answer["Attributes"]["version"]["N"])

    def delete(self, key: str, *, now: datetime, if_version: int | None = None) -> StateItem | None:
        # Always with a condition: of two that delete at once only one may be told what was there.
        exists = {"ConditionExpression": "attribute_exists(#key)", "ExpressionAttributeNames": {"#key": "key"}}
        request: dict[str, Any] = exists if if_version is None else _guard(if_version, key, now)
        try:
            with translated():
                answer = self._client().delete_item(
                    TableName=self._table, Key=_key(key), ReturnValues="ALL_OLD", **request
                )
        except ClientError as error:
            if error_code(error) != CONDITION_FAILED:
                raise
            if if_version is None:
                return None
            raise StaleWrite from error
        return decode_state(answer.get("Attributes", {}), now)


def _key(key: str) -> Item:
    if key.startswith(state_keys.JOB_STORE_PREFIXES):
        raise ValueError(f"{key.partition('#')[0]} items belong to the job store.")
    return {"key": text(key)}


def decode_state(item: Attributes, now: datetime) -> StateItem | None:
    """None for an item that is absent or has expired (I16)."""
    if not item or not is_live(item, now, life=state_keys.longest_life(item["key"]["S"])):
        return None
    return StateItem(json.loads(item["value"]["S"]), int(item["version"]["N"]))


def _guard(version: int, key: str, now: datetime) -> dict[str, Any]:
    """The condition that an item stands at a version, its names and its values."""
    values: Item = {":now": exact_seconds(now)}
    is_over, lasts = "expires_at <= :now", "expires_at > :now"
    life = state_keys.longest_life(key)
    if life is not None:
        values[":latest"] = exact_seconds(latest_credible(now, life))
        is_over, lasts = "expires_at <= :now OR expires_at > :latest", "(expires_at > :now AND expires_at <= :latest)"
    if version == 0:
        return {
            "ConditionExpression": f"attribute_not_exists(#key) OR {is_over}",
            "ExpressionAttributeNames": {"#key": "key"},
            "ExpressionAttributeValues": values,
        }
    return {
        "ConditionExpression": f"#version = :version AND (attribute_not_exists(expires_at) OR {lasts})",
        "ExpressionAttributeNames": {"#version": "version"},
        "ExpressionAttributeValues": {**values, ":version": number(version)},
    }
