"""One DynamoDB client a process, made when it is first needed: making it costs 260 ms of a cold start."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

ClientFactory = Callable[[], "DynamoDBClient"]


@cache
def dynamo_client() -> DynamoDBClient:
    """The client for the region and endpoint of the environment. Clients may be shared by threads."""
    import boto3  # noqa: PLC0415 - paid for by functions that use the store
    from botocore.config import Config  # noqa: PLC0415 - as above

    config = Config(
        max_pool_connections=32,
        connect_timeout=2,
        read_timeout=5,
        retries={"mode": "standard", "total_max_attempts": 3},
        # The types are checked before we ship; checking 100 items again costs a writer a sixth of its time.
        parameter_validation=False,
    )
    return boto3.client("dynamodb", config=config)
