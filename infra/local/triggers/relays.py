"""Connects tables, queues and clocks with the functions, as `serverless.yml` says."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from infra.local.names import ACCOUNT, REGION
from infra.local.queues.kept_queues import KeptQueues, NewMessage
from infra.local.triggers.activity import Activity
from infra.local.triggers.invoker import InvocationFailed, Invoke
from infra.local.triggers.queue_relay import QueueRelay
from infra.local.triggers.service_definition import ScheduleTrigger, ServiceDefinition, StreamTrigger
from infra.local.triggers.stream_relay import Positions, StreamRelay

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodbstreams import DynamoDBStreamsClient

log = logging.getLogger("relay")


@dataclass(slots=True)
class Relays:
    """All relays of one stack, as daemon threads.

    The clients reach the database; tables and queues stand under their logical ids. `on_death` is called when a relay
    ends by a fault: without it changes would go untold, so who owns them must end, too.
    """

    service: ServiceDefinition
    dynamodb: DynamoDBClient
    streams: DynamoDBStreamsClient
    queues: KeptQueues
    tables: Mapping[str, str]
    queue_names: Mapping[str, str]
    invoke: Invoke
    activity: Activity
    stop: threading.Event
    on_death: Callable[[], None]
    _streams: list[StreamRelay] = field(default_factory=list)

    def take_places(self, positions_file: Path) -> None:
        """Every stream's reader has its place on return: what is written from now on is told (I45)."""
        positions = Positions(positions_file)
        self._streams = [self._stream_relay(trigger, positions) for trigger in self.service.stream_triggers]
        for relay in self._streams:
            relay.begin()

    def start(self) -> None:
        """Streams and queues; the places must have been taken."""
        for stream_relay in self._streams:
            self._run(f"stream-{stream_relay.trigger.function}", stream_relay.run)
        for trigger in self.service.queue_triggers:
            for number in range(trigger.maximum_concurrency):
                relay = QueueRelay(self.queues, self.queue_names[trigger.queue], trigger, self.invoke, self.stop)
                self._run(f"queue-{trigger.function}-{number}", relay.run)

    def start_schedules(self) -> None:
        """Each fires at once, and from then on at its own rate."""
        for trigger in self.service.schedule_triggers:
            self._run(f"schedule-{trigger.function}", partial(self._keep_time, trigger))

    def _keep_time(self, trigger: ScheduleTrigger) -> None:
        while not self.stop.is_set():
            try:
                self.invoke(trigger.function, scheduled_event())
            except InvocationFailed as error:
                log.warning("%s", error)
            self.stop.wait(trigger.seconds)

    def _run(self, name: str, target: Callable[[], None]) -> None:
        def until_the_end() -> None:
            try:
                target()
            except BaseException:
                log.exception("%s ended", name)
                self.on_death()
                raise

        threading.Thread(target=until_the_end, name=name, daemon=True).start()

    def _stream_relay(self, trigger: StreamTrigger, positions: Positions) -> StreamRelay:
        table = self.tables[trigger.table]
        description = self.dynamodb.describe_table(TableName=table)["Table"]

        def send_failure(report: dict[str, Any]) -> None:
            if trigger.failure_queue:
                self.queues.send(self.queue_names[trigger.failure_queue], [NewMessage(json.dumps(report))])

        return StreamRelay(
            client=self.streams,
            stream_arn=description["LatestStreamArn"],
            trigger=trigger,
            invoke=self.invoke,
            send_failure=send_failure,
            positions=positions,
            activity=self.activity,
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
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/local"],
        "detail": {},
    }
