"""The ordered log on DynamoDB: one item a commit under the number of its last change, item 0 is the head."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from shared.adapters.clock import SystemClock
from shared.adapters.dynamo.batches import batch_delete, query
from shared.adapters.dynamo.client import ClientFactory, dynamo_client
from shared.adapters.dynamo.errors import CONDITION_FAILED, error_code, translated
from shared.adapters.dynamo.items import (
    Attributes,
    Item,
    decode_commit,
    decode_head,
    encode_new_head,
    head_key,
    is_live,
    number,
    text,
)
from shared.adapters.dynamo.transaction import EVENT_LIFE
from shared.domain.event import LOG_NAME, LoggedEvent, LogHead, consecutive
from shared.ports import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


FIRST_PAGE = 8
"""Commits that a reader asks for at first: one of a single change weighs 0.5 kB, a full one 40 kB and more."""


def read_head(client: DynamoDBClient, table: str) -> LogHead:
    """The head by a consistent read; a log that never was begins with a new epoch."""
    with translated():
        answer = client.get_item(TableName=table, Key=head_key(), ConsistentRead=True)
    return decode_head(answer["Item"]) if "Item" in answer else begin_log(client, table)


def begin_log(client: DynamoDBClient, table: str) -> LogHead:
    """Write item 0 with a random epoch; whoever comes second takes the first one's."""
    item = encode_new_head(secrets.token_hex(6))
    try:
        with translated():
            client.put_item(TableName=table, Item=item, ConditionExpression="attribute_not_exists(seq)")
    except ClientError as error:
        if error_code(error) != CONDITION_FAILED:
            raise
        return read_head(client, table)
    return decode_head(item)


class DynamoEventLog:
    def __init__(self, *, table: str, client: ClientFactory = dynamo_client, clock: Clock | None = None) -> None:
        self._table = table
        self._client = client
        self._clock = clock or SystemClock()

    def head(self) -> LogHead:
        return read_head(self._client(), self._table)

    def read(self, after: int, limit: int) -> tuple[LoggedEvent, ...]:
        """Of the commit in which it begins or ends, only what is wanted is handed out."""
        now = self._clock.now()
        live = (row for row in self._rows_after(after, limit) if is_live(row, now))
        later = (logged for row in live for logged in decode_commit(row) if logged.seq > after)
        return consecutive(after, islice(later, limit))

    def written_at(self, after: int) -> datetime | None:
        row = next(self._rows_after(after, 1), None)
        return datetime.fromtimestamp(int(row["expires_at"]["N"]), UTC) - EVENT_LIFE if row else None

    def trim(self, *, before: datetime, limit: int) -> int:
        head = self.head()
        latest_expiry = (before + EVENT_LIFE).timestamp()
        old: list[int] = []
        first_kept = head.seq + 1
        for row in self._rows_after(0, limit):
            if int(row["expires_at"]["N"]) >= latest_expiry:
                first_kept = next(decode_commit(row)).seq
                break
            old.append(_seq(row))
        else:
            if len(old) == limit:
                first_kept = old[-1] + 1
        if first_kept > head.first_kept and not self._move_first_kept(head.epoch, first_kept):
            return 0
        batch_delete(self._client(), self._clock, self._table, [_key(seq) for seq in old])
        return len(old)

    def _rows_after(self, after: int, limit: int) -> Iterator[Attributes]:
        return query(
            self._client(),
            limit=limit,
            first_page=FIRST_PAGE,
            TableName=self._table,
            ConsistentRead=True,
            KeyConditionExpression="#log = :log AND seq > :after",
            ExpressionAttributeNames={"#log": "log"},
            ExpressionAttributeValues={":log": text(LOG_NAME), ":after": number(after)},
        )

    def _move_first_kept(self, epoch: str, first_kept: int) -> bool:
        """False when another trimmer was further, or the log has begun anew."""
        try:
            with translated():
                self._client().update_item(
                    TableName=self._table,
                    Key=head_key(),
                    UpdateExpression="SET first_kept = :kept",
                    ConditionExpression="#epoch = :epoch AND first_kept < :kept",
                    ExpressionAttributeNames={"#epoch": "epoch"},
                    ExpressionAttributeValues={":kept": number(first_kept), ":epoch": text(epoch)},
                )
        except ClientError as error:
            if error_code(error) != CONDITION_FAILED:
                raise
            return False
        return True


def _seq(row: Attributes) -> int:
    return int(row["seq"]["N"])


def _key(seq: int) -> Item:
    return {"log": text(LOG_NAME), "seq": number(seq)}
