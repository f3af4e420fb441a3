"""The emulators of AWS: clients that reach them, and their tables and queues once they answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.local.names import REGION
from infra.local.stack.processes import Children
from infra.local.stack.queues import create_queues
from infra.local.stack.settings import StackSettings
from infra.local.stack.tables import create_tables

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodbstreams import DynamoDBStreamsClient
    from types_boto3_sqs import SQSClient

DUMMY_KEY = "local"


@dataclass(frozen=True, slots=True)
class AwsClients:
    """boto3 clients of the emulators."""

    dynamodb: DynamoDBClient
    streams: DynamoDBStreamsClient
    sqs: SQSClient


def aws_clients(settings: StackSettings) -> AwsClients:
    session = boto3.Session(aws_access_key_id=DUMMY_KEY, aws_secret_access_key=DUMMY_KEY, region_name=REGION)
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
        sqs=session.client("sqs", endpoint_url=settings.moto_url, config=config),
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


def create_queues_when_ready(children: Children, clients: AwsClients, seconds: float) -> dict[str, str]:
    """Logical ids to queue addresses."""
    children.wait_until("moto", _answers(clients.sqs.list_queues), seconds=seconds)
    return create_queues(clients.sqs)
