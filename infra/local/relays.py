"""Connects the emulators with the functions: streams, queues and schedules, as `serverless.yml` says."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.local.invoker import InvocationFailed, LambdaInvoker
from infra.local.processes import Children
from infra.local.queue_relay import IDLE_SECONDS, RESERVE_IDLE_SECONDS, QueueRelay
from infra.local.queues import create_queues
from infra.local.settings import REGION, StackSettings
from infra.local.stream_relay import Positions, StreamRelay
from infra.local.tables import create_tables
from infra.local.triggers import ServiceDefinition, StreamTrigger

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodbstreams import DynamoDBStreamsClient
    from types_boto3_sqs import SQSClient

SCHEDULE_TIMEOUT = 60.0
DUMMY_KEY = "local"
log = logging.getLogger("relay")


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


@dataclass(frozen=True, slots=True)
class Relays:
    """All relays of one stack, as daemon threads of the starter. Tables and queues by their logical ids."""

    service: ServiceDefinition
    clients: AwsClients
    tables: dict[str, str]
    queues: dict[str, str]
    invoker: LambdaInvoker
    stop: threading.Event

    def start(self, positions_file: Path) -> None:
        positions = Positions(positions_file)
        for stream_trigger in self.service.stream_triggers:
            self._run(f"stream-{stream_trigger.function}", self._stream_relay(stream_trigger, positions).run)
        for queue_trigger in self.service.queue_triggers:
            for number in range(queue_trigger.maximum_concurrency):
                relay = QueueRelay(
                    client=self.clients.sqs,
                    queue_url=self.queues[queue_trigger.queue],
                    trigger=queue_trigger,
                    invoke=self.invoker.invoke,
                    stop=self.stop,
                    idle_seconds=RESERVE_IDLE_SECONDS if number else IDLE_SECONDS,
                )
                self._run(f"queue-{queue_trigger.function}-{number}", relay.run)

    def fire_schedules(self) -> None:
        """Once at the start; from then on serverless-offline fires them itself, at the schedule's own times."""

        def fire_one_after_the_other() -> None:
            for function in self.service.scheduled_functions:
                self._fire(function)

        self._run("schedules", fire_one_after_the_other)

    def _run(self, name: str, target: Callable[[], None]) -> None:
        threading.Thread(target=target, name=name, daemon=True).start()

    def _fire(self, function: str) -> None:
        try:
            self.invoker.invoke(function, scheduled_event(), SCHEDULE_TIMEOUT)
        except InvocationFailed as error:
            log.warning("%s", error)

    def _stream_relay(self, trigger: StreamTrigger, positions: Positions) -> StreamRelay:
        table = self.tables[trigger.table]
        description = self.clients.dynamodb.describe_table(TableName=table)["Table"]

        def send_failure(report: dict[str, Any]) -> None:
            if trigger.failure_queue:
                url = self.queues[trigger.failure_queue]
                self.clients.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(report))

        return StreamRelay(
            client=self.clients.streams,
            stream_arn=description["LatestStreamArn"],
            trigger=trigger,
            invoke=self.invoker.invoke,
            send_failure=send_failure,
            positions=positions,
            stop=self.stop,
        )


def scheduled_event() -> dict[str, Any]:
    """EventBridge's event of a scheduled rule."""
    return {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:123456789012:rule/at-start"],
        "detail": {},
    }
