"""The queue: every message kept, or an error that says so."""

from __future__ import annotations

from typing import Any

import pytest

from shared.adapters.aws.sqs_queue import SqsWorkQueue
from shared.domain.errors import StoreUnavailableError


class StubSqs:
    """Keeps what was sent; refuses the messages in `refused` as often as it says."""

    def __init__(self, **refused: int) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        self.postponed: list[list[dict[str, Any]]] = []
        self.refused = refused

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - SDK
        self.requests.append(Entries)
        failed = []
        for entry in Entries:
            if self.refused.get(entry["MessageBody"], 0) > 0:
                self.refused[entry["MessageBody"]] -= 1
                failed.append({"Id": entry["Id"]})
        return {"Failed": failed} if failed else {}

    def change_message_visibility_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - SDK
        self.postponed.append(Entries)
        return {"Failed": [{"Id": entry["Id"]} for entry in Entries if entry["ReceiptHandle"] in self.refused]}


def queue_on(client: Any) -> SqsWorkQueue:
    return SqsWorkQueue("https://queue", client=lambda: client)


def test_messages_go_ten_a_request_with_their_delay() -> None:
    client = StubSqs()
    queue_on(client).send([str(number) for number in range(23)], delay_seconds=7)
    assert [len(entries) for entries in client.requests] == [10, 10, 3]
    assert [entry["MessageBody"] for entries in client.requests for entry in entries] == [str(n) for n in range(23)]
    assert {entry["DelaySeconds"] for entries in client.requests for entry in entries} == {7}


def test_nothing_to_send_sends_nothing() -> None:
    client = StubSqs()
    queue_on(client).send([])
    assert client.requests == []


def test_large_messages_share_no_request_that_would_be_too_large() -> None:
    client = StubSqs()
    queue_on(client).send(["ü" * 200_000] * 3)
    assert [len(entries) for entries in client.requests] == [2, 1]


def test_a_refused_message_is_sent_again_alone() -> None:
    client = StubSqs(b=1)
    queue_on(client).send(["a", "b", "c"])
    assert [[entry["MessageBody"] for entry in entries] for entries in client.requests] == [["a", "b", "c"], ["b"]]


def test_a_message_refused_twice_is_an_error() -> None:
    with pytest.raises(StoreUnavailableError):
        queue_on(StubSqs(b=2)).send(["a", "b"])


def test_messages_are_postponed_ten_a_request_in_whole_seconds() -> None:
    client = StubSqs()
    queue_on(client).postpone([str(number) for number in range(23)], 1.2)
    assert [len(entries) for entries in client.postponed] == [10, 10, 3]
    assert {entry["VisibilityTimeout"] for entries in client.postponed for entry in entries} == {2}


def test_a_receipt_that_is_refused_keeps_no_other_message_back() -> None:
    client = StubSqs(first=1)
    with pytest.raises(StoreUnavailableError, match="1 messages"):
        queue_on(client).postpone(["first", *(str(number) for number in range(15))], 1)
    assert [len(entries) for entries in client.postponed] == [10, 6]
