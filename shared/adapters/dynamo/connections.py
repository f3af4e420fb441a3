"""The registry of WebSocket clients, small enough to be read whole: 200 bytes a connection."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from botocore.exceptions import ClientError

from shared.adapters.dynamo.batches import scan
from shared.adapters.dynamo.client import ClientFactory, dynamo_client
from shared.adapters.dynamo.errors import CONDITION_FAILED, error_code, translated
from shared.adapters.dynamo.items import Attributes, Item, is_live, micros, moment_of, number, text
from shared.domain.connection import CONNECTION_LIFE, Connection
from shared.domain.expiry import ALLOWED_SKEW

_SKEW = ALLOWED_SKEW // timedelta(seconds=1)
_SECOND = timedelta(seconds=1) // timedelta(microseconds=1)


class DynamoConnections:
    def __init__(self, *, table: str, client: ClientFactory = dynamo_client) -> None:
        self._table = table
        self._client = client

    def add(self, connection: Connection) -> None:
        with translated():
            self._client().put_item(TableName=self._table, Item=_encode(connection))

    def count_message(self, connection_id: str, *, now: datetime) -> tuple[Connection, int] | None:
        second = micros(now) // _SECOND
        first = self._count(
            connection_id,
            "SET messages_in = :second, messages = :one",
            "attribute_exists(connection_id) AND "
            "(attribute_not_exists(messages_in) OR messages_in < :second OR messages_in > :latest)",
            {":second": number(second), ":latest": number(second + _SKEW), ":one": number(1)},
        )
        row = first or self._count(
            connection_id, "ADD messages :one", "attribute_exists(connection_id)", {":one": number(1)}
        )
        return (
            (_decode(row), int(row["messages"]["N"]))
            if row is not None and is_live(row, now, life=CONNECTION_LIFE)
            else None
        )

    def _count(self, connection_id: str, update: str, condition: str, values: Item) -> Attributes | None:
        """The row as the update left it; None when the condition does not hold."""
        try:
            with translated():
                answer = self._client().update_item(
                    TableName=self._table,
                    Key=_key(connection_id),
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                )
        except ClientError as error:
            if error_code(error) != CONDITION_FAILED:
                raise
            return None
        return answer["Attributes"]

    def count_of_user(self, user_id: str, *, now: datetime) -> int:
        rows = scan(
            self._client(),
            TableName=self._table,
            ConsistentRead=True,
            FilterExpression="user_id = :user",
            ExpressionAttributeValues={":user": text(user_id)},
        )
        return sum(1 for row in rows if is_live(row, now, life=CONNECTION_LIFE))

    def all(self, *, now: datetime) -> Iterator[Connection]:
        # A consistent Scan and no index: one that lags would hide a client from the wake right after its hello (I18).
        rows = scan(
            self._client(),
            TableName=self._table,
            ConsistentRead=True,
            FilterExpression="attribute_exists(#cursor)",
            ExpressionAttributeNames={"#cursor": "cursor"},
        )
        return (_decode(row) for row in rows if is_live(row, now, life=CONNECTION_LIFE))

    def advance(self, connection: Connection, *, cursor: int, epoch: str, failures: int = 0) -> bool:
        values: Item = {
            ":cursor": number(cursor),
            ":epoch": text(epoch),
            ":failures": number(failures),
        }
        if connection.cursor is None:
            unmoved = "attribute_not_exists(#cursor)"
        else:
            unmoved = "#cursor = :cursor_before"
            values[":cursor_before"] = number(connection.cursor)
        if connection.epoch is None:
            unmoved += " AND attribute_not_exists(#epoch)"
        else:
            unmoved += " AND #epoch = :epoch_before"
            values[":epoch_before"] = text(connection.epoch)
        try:
            with translated():
                self._client().update_item(
                    TableName=self._table,
                    Key=_key(connection.connection_id),
                    UpdateExpression="SET #cursor = :cursor, #epoch = :epoch, failures = :failures",
                    ConditionExpression=f"attribute_exists(connection_id) AND {unmoved}",
                    ExpressionAttributeNames={"#cursor": "cursor", "#epoch": "epoch"},
                    ExpressionAttributeValues=values,
                )
        except ClientError as error:
            if error_code(error) != CONDITION_FAILED:
                raise
            return False
        return True

    def remove(self, connection_id: str) -> None:
        with translated():
            self._client().delete_item(TableName=self._table, Key=_key(connection_id))


def _key(connection_id: str) -> Item:
    return {"connection_id": text(connection_id)}


def _encode(connection: Connection) -> Item:
    item: Item = {
        **_key(connection.connection_id),
        "user_id": text(connection.user_id),
        "expires_at": number(micros(connection.expires_at) // _SECOND),
        "failures": number(connection.failures),
    }
    if connection.key_id is not None:
        item["key_id"] = text(connection.key_id)
    if connection.epoch is not None:
        item["epoch"] = text(connection.epoch)
    if connection.cursor is not None:
        item["cursor"] = number(connection.cursor)
    return item


def _decode(item: Attributes) -> Connection:
    return Connection(
        connection_id=item["connection_id"]["S"],
        user_id=item["user_id"]["S"],
        key_id=item["key_id"]["S"] if "key_id" in item else None,
        expires_at=moment_of(int(item["expires_at"]["N"]) * _SECOND),
        cursor=int(item["cursor"]["N"]) if "cursor" in item else None,
        epoch=item["epoch"]["S"] if "epoch" in item else None,
        failures=int(item["failures"]["N"]),
    )
