"""The database: clients that reach it, and its tables once it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.local.names import REGION
from infra.local.stack.processes import Children
from infra.local.stack.settings import StackSettings
from infra.local.stack.tables import create_tables

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodbstreams import DynamoDBStreamsClient


UNUSED = "local"
"""A secret key that nobody checks: the access key id is the secret here."""


@dataclass(frozen=True, slots=True)
class AwsClients:
    """boto3 clients of the database."""

    dynamodb: DynamoDBClient
    streams: DynamoDBStreamsClient


def aws_clients(settings: StackSettings) -> AwsClients:
    """The database keeps a file for each access key, so nobody without ours reaches our tables (T28)."""
    session = boto3.Session(aws_access_key_id=settings.key, aws_secret_access_key=UNUSED, region_name=REGION)
    config = Config(
        connect_timeout=2,
        read_timeout=10,
        retries={"total_max_attempts": 1},
        max_pool_connections=32,
        account_id_endpoint_mode="disabled",
    )
    return AwsClients(
        dynamodb=session.client("dynamodb", endpoint_url=settings.dynamodb_url, config=config),
        streams=session.client("dynamodbstreams", endpoint_url=settings.dynamodb_url, config=config),
    )


def _answers(ask: Callable[[], object]) -> Callable[[], bool]:
    def is_ready() -> bool:
        try:
            ask()
        except (BotoCoreError, ClientError):
            return False
        return True

    return is_ready


def create_tables_when_ready(children: Children, clients: AwsClients, seconds: float) -> dict[str, str]:
    """Logical ids to table names."""
    children.wait_until("DynamoDB Local", _answers(clients.dynamodb.list_tables), seconds=seconds)
    return create_tables(clients.dynamodb)
