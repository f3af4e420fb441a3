"""Reading and deleting many items: as many a request as it may hold, and what was left over is asked for again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from shared.adapters.dynamo.errors import translated
from shared.adapters.dynamo.items import Attributes, Item
from shared.domain.errors import StoreUnavailableError
from shared.ports import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_Part = TypeVar("_Part")

KEYS_A_REQUEST = 100
DELETES_A_REQUEST = 25
_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds before each further try; DynamoDB leaves over what its throughput did not allow."""


def batch_get(client: DynamoDBClient, clock: Clock, wanted: Sequence[tuple[str, Item]]) -> dict[str, list[Attributes]]:
    """Consistent reads of (table, key), which must differ; found items by table, in no order.

    Raises StoreUnavailableError when some were still left over after five further tries.
    """
    found: dict[str, list[Attributes]] = defaultdict(list)
    for chunk in _chunks(wanted, KEYS_A_REQUEST):
        request: dict[str, Any] = {}
        for table, key in chunk:
            request.setdefault(table, {"Keys": [], "ConsistentRead": True})["Keys"].append(key)
        for answer in _until_processed(clock, lambda left: client.batch_get_item(RequestItems=left), request):
            for table, items in answer["Responses"].items():
                found[table].extend(items)
    return found


def batch_delete(client: DynamoDBClient, clock: Clock, table: str, keys: Sequence[Item]) -> None:
    """Delete items by key. Raises StoreUnavailableError as `batch_get` does."""
    for chunk in _chunks(keys, DELETES_A_REQUEST):
        request: dict[str, Any] = {table: [{"DeleteRequest": {"Key": key}} for key in chunk]}
        for _ in _until_processed(clock, lambda left: client.batch_write_item(RequestItems=left), request):
            pass


def query(
    client: DynamoDBClient, *, limit: int | None = None, first_page: int | None = None, **request: Any
) -> Iterator[Attributes]:
    """Items of a Query, following every page, empty ones too; at most `limit`.

    With `first_page` no more than that many are read at first, and each page after it may be four times as long: for
    whoever may have enough of a few large items.
    """
    left, page = limit, first_page
    while left is None or left > 0:
        sizes = [size for size in (left, page) if size is not None]
        if sizes:
            request["Limit"] = min(sizes)
        with translated():
            answer = client.query(**request)
        items = answer["Items"]
        yield from items
        if "LastEvaluatedKey" not in answer:
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        left = None if left is None else left - len(items)
        page = None if page is None else page * 4


def scan(client: DynamoDBClient, **request: Any) -> Iterator[Attributes]:
    """Items of a Scan, following every page, empty ones too."""
    while True:
        with translated():
            answer = client.scan(**request)
        yield from answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _until_processed(
    clock: Clock, send: Callable[[Any], Any], request: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    for wait in (*_WAITS, None):
        with translated():
            answer = send(request)
        yield answer
        request = answer.get("UnprocessedKeys") or answer.get("UnprocessedItems") or {}
        if not request:
            return
        if wait is not None:
            clock.sleep(wait)
    raise StoreUnavailableError("The store is throttled and left items over.")


def _chunks(items: Sequence[_Part], size: int) -> Iterator[Sequence[_Part]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
