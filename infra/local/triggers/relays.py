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

from infra.local.names import ACCOUNT, REGION
from infra.local.triggers.invoker import InvocationFailed, LambdaInvoker
from infra.local.triggers.queue_relay import IDLE_SECONDS, RESERVE_IDLE_SECONDS, QueueRelay
from infra.local.triggers.service_definition import ServiceDefinition, StreamTrigger
from infra.local.triggers.stream_relay import Positions, StreamRelay

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodbstreams import DynamoDBStreamsClient
    from types_boto3_sqs import SQSClient

SCHEDULE_TIMEOUT = 60.0
log = logging.getLogger("relay")


@dataclass(frozen=True, slots=True)
class Relays:
    """All relays of one stack, as daemon threads of the starter.

    The clients reach the emulators; tables and queues stand under their logical ids.
    """

    service: ServiceDefinition
    dynamodb: DynamoDBClient
    streams: DynamoDBStreamsClient
    sqs: SQSClient
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
                    client=self.sqs,
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
        description = self.dynamodb.describe_table(TableName=table)["Table"]

        def send_failure(report: dict[str, Any]) -> None:
            if trigger.failure_queue:
                url = self.queues[trigger.failure_queue]
                self.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(report))

        return StreamRelay(
            client=self.streams,
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
        "account": ACCOUNT,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/at-start"],
        "detail": {},
    }
