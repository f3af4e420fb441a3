"""The relay hands over batches as Lambda does, and deletes only what succeeded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.local.queues.definitions import QueueRules
from infra.local.queues.kept_queues import KeptQueues, NewMessage
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
)


@pytest.fixture
def queues(tmp_path: Path) -> Iterator[KeptQueues]:
    rules = QueueRules(delay=0, retention=1000, visibility=60)
    kept = KeptQueues(tmp_path / "queues.db", {"work": rules})
    yield kept
    kept.close()


def _relay(
    queues: KeptQueues, count: int, answer: Callable[[list[str]], Any], trigger: QueueTrigger = TRIGGER
) -> tuple[QueueRelay, list[dict[str, Any]], list[str]]:
    """`answer` is given the ids that were sent."""
    events: list[dict[str, Any]] = []
    ids = queues.send("work", [NewMessage(f"body {number}") for number in range(count)]) if count else []

    def invoke(function: str, event: dict[str, Any]) -> Any:
        events.append(event)
        found = answer(ids)
        if isinstance(found, Exception):
            raise found
        return found

    return QueueRelay(queues, "work", trigger, invoke, threading.Event()), events, ids


def _left(queues: KeptQueues) -> int:
    counts = queues.count("work")
    return counts.visible + counts.in_flight


def test_success_deletes_the_whole_batch(queues: KeptQueues) -> None:
    relay, events, ids = _relay(queues, 3, lambda ids: {"batchItemFailures": []})
    assert relay.step() == 3
    assert _left(queues) == 0
    assert [record["body"] for record in events[0]["Records"]] == ["body 0", "body 1", "body 2"]
    assert [record["messageId"] for record in events[0]["Records"]] == ids
    assert events[0]["Records"][0]["attributes"]["ApproximateReceiveCount"] == "1"


def test_reported_failures_stay_in_the_queue(queues: KeptQueues) -> None:
    relay, _, _ = _relay(queues, 3, lambda ids: {"batchItemFailures": [{"itemIdentifier": ids[1]}]})
    relay.step()
    assert _left(queues) == 1


@pytest.mark.parametrize("answer", [InvocationFailed("boom"), {"batchItemFailures": [{"itemIdentifier": "other"}]}])
def test_failed_call_deletes_nothing(queues: KeptQueues, answer: Any) -> None:
    relay, _, _ = _relay(queues, 3, lambda ids: answer)
    relay.step()
    assert _left(queues) == 3


def test_failures_count_only_for_functions_that_report_them(queues: KeptQueues) -> None:
    trigger = replace(TRIGGER, reports_failures=False)
    relay, _, _ = _relay(queues, 2, lambda ids: {"batchItemFailures": [{"itemIdentifier": ids[1]}]}, trigger)
    relay.step()
    assert _left(queues) == 0


def test_large_batches_are_full_when_enough_waits(queues: KeptQueues) -> None:
    relay, events, _ = _relay(queues, 30, lambda ids: {}, replace(TRIGGER, batch_size=25, batching_window=0.3))
    assert relay.step() == 25
    assert relay.step() == 5
    assert [len(event["Records"]) for event in events] == [25, 5]


def test_ticks_come_one_at_a_time(queues: KeptQueues) -> None:
    relay, events, _ = _relay(queues, 2, lambda ids: {}, replace(TRIGGER, batch_size=1))
    assert [relay.step(), relay.step(), relay.step()] == [1, 1, 0]
    assert [len(event["Records"]) for event in events] == [1, 1]


def test_empty_queue_calls_nobody(queues: KeptQueues) -> None:
    relay, events, _ = _relay(queues, 0, lambda ids: {})
    assert relay.step() == 0
    assert events == []
