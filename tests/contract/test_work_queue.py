"""What everyone who hands work over relies on, on the fake queue and on SQS as moto plays it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from shared.adapters.aws.sqs_queue import SqsWorkQueue
from shared.domain.errors import StoreUnavailableError
from shared.ports import WorkQueue
from tests.fakes.doubles import FakeQueue

if TYPE_CHECKING:
    from types_boto3_sqs.literals import QueueAttributeNameType


@dataclass(frozen=True)
class Queue:
    """A queue, everything that waits in it now, how many wait for their time, and a way to make it refuse.

    `receive` takes one message in and gives its receipt, `hidden` is how many are received and not done.
    """

    send: WorkQueue
    receive: Callable[[], str]
    hidden: Callable[[], int]
    waiting: Callable[[], list[str]]
    delayed: Callable[[], int]
    break_it: Callable[[], None]


@pytest.fixture(params=["fake", "sqs"])
def queue(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    if request.param == "fake":
        fake = FakeQueue()
        yield Queue(
            fake,
            lambda: f"receipt of {fake.messages.pop(0)}",
            lambda: len(fake.postponed),
            fake.drain,
            lambda: sum(1 for _, delay in fake.messages if delay),
            lambda: setattr(fake, "is_down", True),
        )
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("sqs", region_name="us-east-1")
        url = client.create_queue(QueueName="work")["QueueUrl"]

        def waiting() -> list[str]:
            found: list[str] = []
            while messages := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
                found += [message["Body"] for message in messages]
            return found

        def count(name: QueueAttributeNameType) -> int:
            return int(client.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])

        def receive() -> str:
            [message] = client.receive_message(QueueUrl=url, VisibilityTimeout=1)["Messages"]
            return message["ReceiptHandle"]

        def break_it() -> None:
            client.delete_queue(QueueUrl=url)

        yield Queue(
            SqsWorkQueue(url, client=lambda: client),
            receive,
            lambda: count("ApproximateNumberOfMessagesNotVisible"),
            waiting,
            lambda: count("ApproximateNumberOfMessagesDelayed"),
            break_it,
        )


def test_every_message_waits_once(queue: Queue) -> None:
    messages = [f"message {number} …" for number in range(37)]
    queue.send.send(messages)
    assert sorted(queue.waiting()) == sorted(messages)


def test_the_same_message_twice_waits_twice(queue: Queue) -> None:
    queue.send.send(["same", "same"])
    assert queue.waiting() == ["same", "same"]


def test_a_delayed_message_waits_for_its_time(queue: Queue) -> None:
    queue.send.send([str(number) for number in range(12)], delay_seconds=900)
    assert queue.delayed() == 12


@pytest.mark.parametrize("seconds", [0.5, 3600, 43_200, 10**6])
def test_a_postponed_message_comes_again_no_sooner(queue: Queue, seconds: float) -> None:
    """Nor later than SQS hides one."""
    queue.send.send(["later"])
    queue.send.postpone([queue.receive()], seconds)
    assert (queue.hidden(), queue.waiting()) == (1, [])


def test_nothing_sent_is_nothing_waiting(queue: Queue) -> None:
    queue.send.send([])
    assert queue.waiting() == []


def test_large_messages_wait_whole(queue: Queue) -> None:
    messages = ["ü" * 120_000, "x" * 250_000, "y" * 900_000]
    queue.send.send(messages)
    assert sorted(queue.waiting()) == sorted(messages)


def test_a_queue_that_keeps_nothing_says_so(queue: Queue) -> None:
    queue.break_it()
    with pytest.raises(StoreUnavailableError):
        queue.send.send(["lost otherwise"])
    with pytest.raises(StoreUnavailableError):
        queue.send.postpone(["receipt"], 1)
