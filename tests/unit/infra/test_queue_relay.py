"""The relay hands over batches as Lambda does, and deletes only what succeeded."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from infra.local.triggers.invoker import InvocationFailed
from infra.local.triggers.queue_relay import QueueRelay
from infra.local.triggers.service_definition import QueueTrigger

TRIGGER = QueueTrigger(
    function="commit",
    queue="ObservationsQueue",
    batch_size=10,
    batching_window=0,
    maximum_concurrency=2,
    reports_failures=True,
    timeout=5,
)


class FakeQueue:
    """Hands out each message once; what is not deleted could come again."""

    def __init__(self, count: int) -> None:
        self.waiting = [f"m{number}" for number in range(count)]
        self.deleted: list[str] = []

    def receive_message(self, **asked: Any) -> Any:
        taken = self.waiting[: asked["MaxNumberOfMessages"]]
        del self.waiting[: len(taken)]
        return {"Messages": [_message(name) for name in taken]} if taken else {}

    def delete_message(self, **asked: Any) -> Any:
        self.deleted.append(asked["ReceiptHandle"].removeprefix("receipt-"))
        return {}


def _message(name: str) -> dict[str, Any]:
    return {
        "MessageId": name,
        "ReceiptHandle": f"receipt-{name}",
        "Body": f"body of {name}",
        "MD5OfBody": "0",
        "Attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1700000000000"},
    }


def _relay(queue: FakeQueue, answer: Any, trigger: QueueTrigger = TRIGGER) -> tuple[QueueRelay, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []

    def invoke(function: str, event: dict[str, Any], timeout: float) -> Any:
        events.append(event)
        if isinstance(answer, Exception):
            raise answer
        return answer

    stop = threading.Event()
    return QueueRelay(queue, "http://127.0.0.1:1/123456789012/observations", trigger, invoke, stop), events


def test_success_deletes_the_whole_batch() -> None:
    queue = FakeQueue(3)
    relay, events = _relay(queue, {"batchItemFailures": []})
    assert relay.step() == 3
    assert queue.deleted == ["m0", "m1", "m2"]
    assert [record["body"] for record in events[0]["Records"]] == ["body of m0", "body of m1", "body of m2"]


def test_reported_failures_stay_in_the_queue() -> None:
    queue = FakeQueue(3)
    relay, _ = _relay(queue, {"batchItemFailures": [{"itemIdentifier": "m1"}]})
    relay.step()
    assert queue.deleted == ["m0", "m2"]


@pytest.mark.parametrize("answer", [InvocationFailed("boom"), {"batchItemFailures": [{"itemIdentifier": "other"}]}])
def test_failed_call_deletes_nothing(answer: Any) -> None:
    queue = FakeQueue(3)
    relay, _ = _relay(queue, answer)
    relay.step()
    assert queue.deleted == []


def test_failures_count_only_for_functions_that_report_them() -> None:
    queue = FakeQueue(2)
    relay, _ = _relay(
        queue, {"batchItemFailures": [{"itemIdentifier": "m1"}]}, replace(TRIGGER, reports_failures=False)
    )
    relay.step()
    assert queue.deleted == ["m0", "m1"]


def test_large_batches_are_gathered_from_several_receives_within_the_window() -> None:
    queue = FakeQueue(30)
    relay, events = _relay(queue, {}, replace(TRIGGER, batch_size=25, batching_window=5))
    assert relay.step() == 25
    assert relay.step() == 5
    assert [len(event["Records"]) for event in events] == [25, 5]


def test_ticks_come_one_at_a_time() -> None:
    queue = FakeQueue(2)
    relay, events = _relay(queue, {}, replace(TRIGGER, batch_size=1))
    assert [relay.step(), relay.step(), relay.step()] == [1, 1, 0]
    assert [len(event["Records"]) for event in events] == [1, 1]


def test_empty_queue_calls_nobody() -> None:
    relay, events = _relay(FakeQueue(0), {})
    assert relay.step() == 0
    assert events == []
