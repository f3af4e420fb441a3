"""Feeds a function from a queue, as a Lambda event source mapping does: batches, and only what succeeded is deleted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from infra.local.names import ACCOUNT, REGION
from infra.local.triggers.invoker import InvocationFailed, failed_items
from infra.local.triggers.service_definition import QueueTrigger

LARGEST_RECEIVE = 10
IDLE_SECONDS = 0.2
RESERVE_IDLE_SECONDS = 1.0
"""For the readers that are there for the case that the first one is busy."""

Invoke = Callable[[str, dict[str, Any], float], Any]
log = logging.getLogger("relay.queue")


class QueueClient(Protocol):
    """The part of boto3's `sqs` client that is used here."""

    @property
    def receive_message(self) -> Callable[..., Any]: ...

    @property
    def delete_message(self) -> Callable[..., Any]: ...


@dataclass(frozen=True, slots=True)
class QueueRelay:
    """One reader of one queue; as many of them run beside each other as the trigger allows calls at once."""

    client: QueueClient
    queue_url: str
    trigger: QueueTrigger
    invoke: Invoke
    stop: threading.Event
    idle_seconds: float = IDLE_SECONDS

    def run(self) -> None:
        """Reads until told to stop; an unreachable emulator is waited for."""
        while not self.stop.is_set():
            try:
                taken = self.step()
            except (BotoCoreError, ClientError) as error:
                log.warning("reading %s: %s", self.trigger.queue, error)
                taken = 0
            if not taken:
                self.stop.wait(self.idle_seconds)

    def step(self) -> int:
        """One batch: received, handed over, deleted where it succeeded. Returns how many messages it had."""
        messages = self._receive()
        if not messages:
            return 0
        identifiers = [message["MessageId"] for message in messages]
        event = {"Records": [self._record(message) for message in messages]}
        try:
            answer = self.invoke(self.trigger.function, event, self.trigger.timeout)
            failed = set(failed_items(answer, identifiers)) if self.trigger.reports_failures else set()
        except InvocationFailed as error:
            log.warning("%s", error)
            return len(messages)
        for message in messages:
            if message["MessageId"] not in failed:
                self.client.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
        return len(messages)

    def _receive(self) -> list[Any]:
        """Up to a batch; waits for more within the batching window once there is something."""
        messages: list[Any] = []
        until = time.monotonic() + self.trigger.batching_window
        while len(messages) < self.trigger.batch_size and not self.stop.is_set():
            wanted = min(LARGEST_RECEIVE, self.trigger.batch_size - len(messages))
            answer = self.client.receive_message(
                QueueUrl=self.queue_url,
                MaxNumberOfMessages=wanted,
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
                WaitTimeSeconds=0,
            )
            received = answer.get("Messages", [])
            if messages and not received:
                self.stop.wait(IDLE_SECONDS)
            messages.extend(received)
            if not messages or time.monotonic() >= until:
                break
        return messages

    def _record(self, message: dict[str, Any]) -> dict[str, Any]:
        attributes = message.get("MessageAttributes", {})
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message.get("Attributes", {}),
            "messageAttributes": {
                name: {"dataType": value["DataType"], "stringValue": value.get("StringValue")}
                for name, value in attributes.items()
            },
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.queue_url.rsplit('/', 1)[-1]}",
            "awsRegion": REGION,
        }
