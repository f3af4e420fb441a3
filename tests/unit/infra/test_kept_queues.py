"""The local queues keep SQS's rules, and what they have acknowledged, whoever is killed (I44)."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.queues.definitions import QueueRules, queue_rules
from infra.local.queues.kept_queues import KeptQueues, NewMessage, NoSuchQueueError, ReceiptError
from infra.local.queues.sqs_api import SqsApi
from infra.templates import REPOSITORY
from tests.proof import scaled

RULES = {
    "work": QueueRules(delay=0, retention=1000, visibility=30, dead_letters="dead", most_receives=2),
    "dead": QueueRules(delay=0, retention=5000, visibility=30),
    "slow": QueueRules(delay=10, retention=1000, visibility=30),
}
WRITER = """
import sys
from pathlib import Path
from tests.unit.infra.test_kept_queues import RULES
from infra.local.queues.kept_queues import KeptQueues, NewMessage
queues = KeptQueues(Path(sys.argv[1]), RULES)
number = 0
while True:
    queues.send("work", [NewMessage(str(number))])
    sys.stdout.write(f"{number}\\n"); sys.stdout.flush()
    number += 1
"""


class Time:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def queues(tmp_path: Path, time: Time) -> Iterator[KeptQueues]:
    kept = KeptQueues(tmp_path / "queues.db", RULES, time)
    yield kept
    kept.close()


def _bodies(queues: KeptQueues, queue: str, most: int = 10) -> list[str]:
    return [message.body for message in queues.receive(queue, most)]


def test_nothing_acknowledged_is_lost_by_a_kill(tmp_path: Path) -> None:
    """Writers killed at some moment each; all that they were told is kept is there."""
    for number in range(scaled(40)):
        path = tmp_path / f"{number}.db"
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            told = [next(writer.stdout).strip() for _ in range(20 + number)]
            writer.kill()
            told += [line.strip() for line in writer.stdout if line.endswith("\n")]
        kept = KeptQueues(path, RULES)
        found = {message.body for message in kept.receive("work", 1_000_000)}
        kept.close()
        assert set(told) <= found


def test_what_a_killed_reader_had_in_hand_waits_for_the_next(tmp_path: Path, queues: KeptQueues, time: Time) -> None:
    queues.send("work", [NewMessage("held")])
    queues.send("slow", [NewMessage("delayed")])
    assert _bodies(queues, "work") == ["held"]
    again = KeptQueues(tmp_path / "queues.db", RULES, time)
    assert _bodies(again, "work") == ["held"]
    assert _bodies(again, "slow") == []
    again.close()


def test_an_undeleted_message_comes_again_and_ends_with_the_dead_letters(queues: KeptQueues, time: Time) -> None:
    queues.send("work", [NewMessage("poison")])
    for receives in (1, 2):
        (message,) = queues.receive("work", 10)
        assert message.receives == receives
        assert _bodies(queues, "work") == []
        time.now += 30
    assert _bodies(queues, "work") == []
    assert _bodies(queues, "dead") == ["poison"]


def test_an_old_receipt_deletes_nothing(queues: KeptQueues, time: Time) -> None:
    queues.send("work", [NewMessage("once")])
    (first,) = queues.receive("work", 1)
    time.now += 31
    (second,) = queues.receive("work", 1)
    queues.delete("work", [first.receipt])
    assert queues.count("work").in_flight == 1
    queues.delete("work", [second.receipt])
    assert queues.count("work").in_flight == 0


def test_delays_are_the_messages_own_or_the_queues(queues: KeptQueues, time: Time) -> None:
    queues.send("slow", [NewMessage("queue's"), NewMessage("at once", delay=0), NewMessage("late", delay=60)])
    assert _bodies(queues, "slow") == ["at once"]
    assert queues.count("slow").delayed == 2
    time.now += 10
    assert _bodies(queues, "slow") == ["queue's"]


def test_visibility_can_be_changed_by_the_newest_receipt_only(queues: KeptQueues, time: Time) -> None:
    queues.send("work", [NewMessage("again")])
    (message,) = queues.receive("work", 1)
    queues.change_visibility("work", message.receipt, 5)
    assert _bodies(queues, "work") == []
    time.now += 5
    assert _bodies(queues, "work") == ["again"]
    with pytest.raises(ReceiptError):
        queues.change_visibility("work", message.receipt, 5)


def test_retention_ends_a_message(queues: KeptQueues, time: Time) -> None:
    queues.send("work", [NewMessage("old")])
    time.now += 1001
    assert _bodies(queues, "work") == []
    assert queues.count("work").visible == 0


def test_two_readers_never_hold_the_same_message(queues: KeptQueues) -> None:
    queues.send("work", [NewMessage(str(number)) for number in range(200)])
    held: list[str] = []

    def read() -> None:
        while bodies := _bodies(queues, "work", 3):
            held.extend(bodies)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(30)
    assert sorted(held, key=int) == [str(number) for number in range(200)]


def test_a_waiting_reader_is_woken_by_what_arrives(tmp_path: Path) -> None:
    kept = KeptQueues(tmp_path / "queues.db", RULES)
    sender = threading.Timer(0.05, kept.send, ("work", [NewMessage("news")]))
    sender.start()
    assert kept.wait("work", 30)
    assert not kept.wait("dead", 0.01)
    sender.join()
    kept.close()


def test_unknown_queues_are_refused(queues: KeptQueues) -> None:
    with pytest.raises(NoSuchQueueError):
        queues.send("elsewhere", [NewMessage("lost")])
    api = SqsApi(queues, "http://127.0.0.1:1")
    status, answer = api.answer("SendMessage", {"QueueUrl": "http://127.0.0.1:1/1/elsewhere", "MessageBody": "x"})
    assert (status, answer["__type"]) == (400, "com.amazonaws.sqs#QueueDoesNotExist")


@pytest.mark.parametrize(
    ("operation", "body", "code"),
    [
        ("SendMessage", {}, "InvalidParameterValue"),
        ("SendMessage", {"MessageBody": "x", "DelaySeconds": 901}, "InvalidParameterValue"),
        ("SendMessageBatch", {"Entries": []}, "EmptyBatchRequest"),
        ("SendMessageBatch", {"Entries": [{"Id": "a", "MessageBody": "x"}] * 2}, "BatchEntryIdsNotDistinct"),
        ("SendMessage", {"MessageBody": "x" * 1_048_577}, "BatchRequestTooLong"),
        ("ReceiveMessage", {"MaxNumberOfMessages": 11}, "InvalidParameterValue"),
        ("ChangeMessageVisibility", {"ReceiptHandle": "no", "VisibilityTimeout": 1}, "ReceiptHandleIsInvalid"),
        ("CreateQueue", {}, "UnsupportedOperation"),
    ],
)
def test_wrong_requests_get_sqs_words(queues: KeptQueues, operation: str, body: dict[str, object], code: str) -> None:
    api = SqsApi(queues, "http://127.0.0.1:1")
    status, answer = api.answer(operation, {"QueueUrl": "http://127.0.0.1:1/1/work", **body})
    assert (status, answer["__type"]) == (400, f"com.amazonaws.sqs#{code}")
    assert queues.count("work").visible == 0


def test_the_queues_of_the_template_have_its_rules() -> None:
    rules = queue_rules()
    observations = rules["simpletuner-local-observations"]
    assert observations.dead_letters == "simpletuner-local-observations-dead-letter"
    assert observations.most_receives >= 10
    assert rules["simpletuner-local-ticks"].retention == 120
