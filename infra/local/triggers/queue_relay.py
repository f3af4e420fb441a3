"""Feeds a function from a queue, as a Lambda event source mapping does: batches, and only what succeeded is deleted."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import Any

from infra.local.names import ACCOUNT, REGION
from infra.local.queues.kept_queues import KeptQueues, Message
from infra.local.queues.sqs_api import message_json
from infra.local.triggers.invoker import InvocationFailed, Invoke, failed_items
from infra.local.triggers.service_definition import QueueTrigger

LOOK_SECONDS = 60.0
"""A queue's reader sleeps so long at most; what arrives wakes it."""
GATHER_SECONDS = 0.2

log = logging.getLogger("relay.queue")


@dataclass(frozen=True, slots=True)
class QueueRelay:
    """One reader of one queue; as many of them run beside each other as the trigger allows calls at once."""

    queues: KeptQueues
    queue: str
    trigger: QueueTrigger
    invoke: Invoke
    stop: threading.Event

    def run(self) -> None:
        """Reads until told to stop; a disk that takes nothing is waited for."""
        while not self.stop.is_set():
            try:
                if self.queues.wait(self.queue, LOOK_SECONDS) and not self.stop.is_set():
                    self.step()
            except sqlite3.Error as error:
                log.warning("reading %s: %s", self.queue, error)
                self.stop.wait(1.0)

    def step(self) -> int:
        """One batch: received, handed over, deleted where it succeeded. Returns how many messages it had."""
        messages = self._receive()
        if not messages:
            return 0
        identifiers = [message.message_id for message in messages]
        event = {"Records": [self._record(message) for message in messages]}
        try:
            answer = self.invoke(self.trigger.function, event)
            failed = set(failed_items(answer, identifiers)) if self.trigger.reports_failures else set()
        except InvocationFailed as error:
            log.warning("%s", error)
            return len(messages)
        self.queues.delete(self.queue, [message.receipt for message in messages if message.message_id not in failed])
        return len(messages)

    def _receive(self) -> list[Message]:
        """Up to a batch; waits for more within the batching window once there is something."""
        until = time.monotonic() + self.trigger.batching_window
        messages = self.queues.receive(self.queue, self.trigger.batch_size)
        while messages and len(messages) < self.trigger.batch_size and time.monotonic() < until:
            if self.stop.wait(GATHER_SECONDS):
                break
            messages += self.queues.receive(self.queue, self.trigger.batch_size - len(messages))
        return messages

    def _record(self, message: Message) -> dict[str, Any]:
        told = message_json(message)
        return {
            "messageId": told["MessageId"],
            "receiptHandle": told["ReceiptHandle"],
            "body": told["Body"],
            "attributes": told["Attributes"],
            "messageAttributes": told.get("MessageAttributes", {}),
            "md5OfBody": told["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.queue}",
            "awsRegion": REGION,
        }
