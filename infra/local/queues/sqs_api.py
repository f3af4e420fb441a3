"""SQS's JSON protocol over the kept queues, as far as programs of this stack and the AWS command line ask for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from infra.local.names import ACCOUNT, REGION
from infra.local.queues.kept_queues import (
    KeptQueues,
    Message,
    NewMessage,
    NoSuchQueueError,
    ReceiptError,
    md5_of,
)

LARGEST_REQUEST = 1_048_576
LARGEST_BATCH = 10
LONGEST_DELAY = 900
LONGEST_VISIBILITY = 43_200
LONGEST_WAIT = 20

Body = Mapping[str, Any]


class SqsError(Exception):
    """What SQS answers to a request that it does not take: a code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class SqsApi:
    """`endpoint` is the address before `/<account>/<queue>` in the queues' addresses."""

    queues: KeptQueues
    endpoint: str

    def answer(self, operation: str, body: Body) -> tuple[int, dict[str, Any]]:
        """HTTP status and JSON body. May wait as long as the request says; so call it from a thread."""
        operations: Mapping[str, Callable[[Body], dict[str, Any]]] = {
            "ListQueues": self._list,
            "GetQueueUrl": self._url,
            "GetQueueAttributes": self._attributes,
            "SendMessage": self._send,
            "SendMessageBatch": self._send_batch,
            "ReceiveMessage": self._receive,
            "DeleteMessage": self._delete,
            "DeleteMessageBatch": self._delete_batch,
            "ChangeMessageVisibility": self._change_visibility,
            "ChangeMessageVisibilityBatch": self._change_visibility_batch,
            "PurgeQueue": self._purge,
        }
        try:
            if operation not in operations:
                raise SqsError("com.amazonaws.sqs#UnsupportedOperation", f"{operation} is not played here.")
            return 200, operations[operation](body)
        except SqsError as error:
            return 400, _problem(error.code, str(error))
        except NoSuchQueueError:
            return 400, _problem("com.amazonaws.sqs#QueueDoesNotExist", "The specified queue does not exist.")
        except ReceiptError:
            return 400, _problem("com.amazonaws.sqs#ReceiptHandleIsInvalid", "The receipt handle is not valid.")
        except (KeyError, TypeError, ValueError) as error:
            return 400, _problem("com.amazonaws.sqs#InvalidParameterValue", f"{type(error).__name__}: {error}")
        except sqlite3.Error as error:
            return 500, _problem("com.amazonaws.sqs#InternalError", f"The queue could not be kept: {error}")

    def _queue(self, body: Body) -> str:
        return str(body["QueueUrl"]).rsplit("/", 1)[-1]

    def _url_of(self, name: str) -> str:
        return f"{self.endpoint}/{ACCOUNT}/{name}"

    def _list(self, body: Body) -> dict[str, Any]:
        prefix = str(body.get("QueueNamePrefix", ""))
        return {"QueueUrls": [self._url_of(name) for name in self.queues.names if name.startswith(prefix)]}

    def _url(self, body: Body) -> dict[str, Any]:
        name = str(body["QueueName"])
        self.queues.rules_of(name)
        return {"QueueUrl": self._url_of(name)}

    def _attributes(self, body: Body) -> dict[str, Any]:
        name = self._queue(body)
        rules, counts = self.queues.rules_of(name), self.queues.count(name)
        all_of_them = {
            "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}",
            "ApproximateNumberOfMessages": str(counts.visible),
            "ApproximateNumberOfMessagesNotVisible": str(counts.in_flight),
            "ApproximateNumberOfMessagesDelayed": str(counts.delayed),
            "VisibilityTimeout": f"{rules.visibility:.0f}",
            "MessageRetentionPeriod": f"{rules.retention:.0f}",
            "DelaySeconds": f"{rules.delay:.0f}",
        }
        wanted = body.get("AttributeNames", [])
        return {"Attributes": {key: value for key, value in all_of_them.items() if "All" in wanted or key in wanted}}

    def _send(self, body: Body) -> dict[str, Any]:
        message = _new_message(body)
        _check_size([message])
        (message_id,) = self.queues.send(self._queue(body), [message])
        return {"MessageId": message_id, "MD5OfMessageBody": md5_of(message.body)}

    def _send_batch(self, body: Body) -> dict[str, Any]:
        entries = _entries(body)
        messages = [_new_message(entry) for entry in entries]
        _check_size(messages)
        ids = self.queues.send(self._queue(body), messages)
        return {
            "Successful": [
                {"Id": entry["Id"], "MessageId": message_id, "MD5OfMessageBody": md5_of(message.body)}
                for entry, message_id, message in zip(entries, ids, messages, strict=True)
            ],
            "Failed": [],
        }

    def _receive(self, body: Body) -> dict[str, Any]:
        name = self._queue(body)
        most = _within(body.get("MaxNumberOfMessages", 1), 1, LARGEST_BATCH, "MaxNumberOfMessages")
        wait = _within(body.get("WaitTimeSeconds", 0), 0, LONGEST_WAIT, "WaitTimeSeconds")
        visibility = body.get("VisibilityTimeout")
        self.queues.rules_of(name)
        if wait:
            self.queues.wait(name, wait)
        received = self.queues.receive(name, most, visibility=None if visibility is None else float(visibility))
        return {"Messages": [message_json(message) for message in received]} if received else {}

    def _delete(self, body: Body) -> dict[str, Any]:
        self.queues.delete(self._queue(body), [str(body["ReceiptHandle"])])
        return {}

    def _delete_batch(self, body: Body) -> dict[str, Any]:
        entries = _entries(body)
        self.queues.delete(self._queue(body), [str(entry["ReceiptHandle"]) for entry in entries])
        return {"Successful": [{"Id": entry["Id"]} for entry in entries], "Failed": []}

    def _change_visibility(self, body: Body) -> dict[str, Any]:
        seconds = _within(body["VisibilityTimeout"], 0, LONGEST_VISIBILITY, "VisibilityTimeout")
        self.queues.change_visibility(self._queue(body), str(body["ReceiptHandle"]), seconds)
        return {}

    def _change_visibility_batch(self, body: Body) -> dict[str, Any]:
        done: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        for entry in _entries(body):
            try:
                self._change_visibility({**entry, "QueueUrl": body["QueueUrl"]})
                done.append({"Id": entry["Id"]})
            except ReceiptError:
                failed.append({"Id": entry["Id"], "SenderFault": True, "Code": "ReceiptHandleIsInvalid"})
        return {"Successful": done, "Failed": failed}

    def _purge(self, body: Body) -> dict[str, Any]:
        self.queues.purge(self._queue(body))
        return {}


def message_json(message: Message) -> dict[str, Any]:
    """A received message as SQS sends it."""
    return {
        "MessageId": message.message_id,
        "ReceiptHandle": message.receipt,
        "MD5OfBody": message.md5,
        "Body": message.body,
        "Attributes": {
            "SenderId": ACCOUNT,
            "SentTimestamp": str(int(message.sent_at * 1000)),
            "ApproximateReceiveCount": str(message.receives),
            "ApproximateFirstReceiveTimestamp": str(int(message.first_received_at * 1000)),
        },
        **({"MessageAttributes": dict(message.attributes)} if message.attributes else {}),
    }


def _problem(code: str, message: str) -> dict[str, Any]:
    return {"__type": code, "message": message}


def _entries(body: Body) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = body["Entries"]
    if not entries:
        raise SqsError("com.amazonaws.sqs#EmptyBatchRequest", "There should be at least one entry in the request.")
    if len(entries) > LARGEST_BATCH:
        raise SqsError("com.amazonaws.sqs#TooManyEntriesInBatchRequest", "Maximum number of entries per request is 10.")
    if len({entry["Id"] for entry in entries}) < len(entries):
        raise SqsError("com.amazonaws.sqs#BatchEntryIdsNotDistinct", "Two or more entries have the same Id.")
    return entries


def _new_message(entry: Body) -> NewMessage:
    delay = entry.get("DelaySeconds")
    return NewMessage(
        body=str(entry["MessageBody"]),
        delay=None if delay is None else _within(delay, 0, LONGEST_DELAY, "DelaySeconds"),
        attributes=entry.get("MessageAttributes"),
    )


def _check_size(messages: list[NewMessage]) -> None:
    if sum(len(message.body.encode()) for message in messages) > LARGEST_REQUEST:
        raise SqsError("com.amazonaws.sqs#BatchRequestTooLong", "The request is longer than 1,048,576 bytes.")


def _within(value: Any, least: int, most: int, name: str) -> int:
    if not least <= int(value) <= most:
        raise SqsError("com.amazonaws.sqs#InvalidParameterValue", f"{name} must be from {least} to {most}.")
    return int(value)
