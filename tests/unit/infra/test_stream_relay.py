"""The relay follows shards from parent to child, delivers in order, and treats failures as Lambda does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.local.triggers.activity import Activity
from infra.local.triggers.invoker import InvocationFailed
from infra.local.triggers.service_definition import StreamTrigger
from infra.local.triggers.stream_relay import Positions, StreamRelay

ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/events/stream/1"
TRIGGER = StreamTrigger(
    function="push",
    table="EventsTable",
    batch_size=50,
    batch_window=0,
    maximum_retry_attempts=2,
    maximum_record_age=-1,
    from_horizon=True,
    reports_failures=True,
    filter_patterns=(),
    failure_queue=None,
)


class FakeStream:
    """Shards with records; iterators are `<shard>@<index>`. Records are numbered over all shards."""

    def __init__(self) -> None:
        self.shards: dict[str, list[str]] = {}
        self.parents: dict[str, str] = {}
        self.closed: set[str] = set()
        self.expired: set[str] = set()
        self.trimmed: set[str] = set()
        self.invalid: set[str] = set()
        self._next = 1

    def open(self, shard: str, parent: str | None = None) -> None:
        self.shards[shard] = []
        if parent:
            self.parents[shard] = parent

    def close(self, shard: str) -> None:
        self.closed.add(shard)

    def put(self, shard: str, count: int = 1) -> list[str]:
        new = [f"{number:05d}" for number in range(self._next, self._next + count)]
        self._next += count
        self.shards[shard].extend(new)
        return new

    def describe_stream(self, StreamArn: str, ExclusiveStartShardId: str | None = None) -> Any:  # noqa: N803
        """One shard a page, so that paging is used."""
        names = list(self.shards)
        index = names.index(ExclusiveStartShardId) + 1 if ExclusiveStartShardId else 0
        page = [self._described(name) for name in names[index : index + 1]]
        more = {"LastEvaluatedShardId": names[index]} if index < len(names) - 1 else {}
        return {"StreamDescription": {"Shards": page, **more}}

    def get_shard_iterator(self, **asked: Any) -> Any:
        shard = asked["ShardId"]
        if asked["ShardIteratorType"] == "TRIM_HORIZON":
            return {"ShardIterator": f"{shard}@0"}
        if shard in self.trimmed:
            raise _client_error("TrimmedDataAccessException")
        if asked["SequenceNumber"] in self.invalid:
            raise _client_error("ValidationException")
        return {"ShardIterator": f"{shard}@{self.shards[shard].index(asked['SequenceNumber']) + 1}"}

    def get_records(self, ShardIterator: str, Limit: int) -> Any:  # noqa: N803
        if ShardIterator in self.expired:
            raise _client_error("ExpiredIteratorException")
        shard, start = ShardIterator.split("@")
        records = self.shards[shard][int(start) : int(start) + Limit]
        end = int(start) + len(records)
        is_over = shard in self.closed and end == len(self.shards[shard])
        following = {} if is_over else {"NextShardIterator": f"{shard}@{end}"}
        return {"Records": [_record(sequence) for sequence in records], **following}

    def _described(self, shard: str) -> Any:
        numbers = {"StartingSequenceNumber": "0"} | ({"EndingSequenceNumber": "9"} if shard in self.closed else {})
        parent = {"ParentShardId": self.parents[shard]} if shard in self.parents else {}
        return {"ShardId": shard, "SequenceNumberRange": numbers, **parent}


class Function:
    """Takes batches; `answers` are played first, exceptions raised, then everything succeeds."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.batches: list[list[str]] = []
        self.events: list[dict[str, Any]] = []

    def invoke(self, name: str, event: dict[str, Any]) -> Any:
        self.events.append(event)
        self.batches.append([record["dynamodb"]["SequenceNumber"] for record in event["Records"]])
        answer = self.answers.pop(0) if self.answers else {"batchItemFailures": []}
        if isinstance(answer, Exception):
            raise answer
        return answer


def _client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "GetRecords")


def _record(sequence: str) -> dict[str, Any]:
    return {
        "eventID": sequence,
        "eventName": "INSERT",
        "dynamodb": {
            "SequenceNumber": sequence,
            "ApproximateCreationDateTime": datetime.now(UTC),
            "Keys": {"log": {"S": "main"}},
            "NewImage": {"packed": {"B": b"\x00\x01"}},
        },
    }


def _failed(sequence: str) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": sequence}]}


class NoWait(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


Build = Callable[..., StreamRelay]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def build(stream: FakeStream, function: Function, trigger: StreamTrigger = TRIGGER, **more: Any) -> StreamRelay:
        relay = StreamRelay(
            client=stream,
            stream_arn=ARN,
            trigger=trigger,
            invoke=function.invoke,
            send_failure=more.get("send_failure", lambda report: None),
            positions=Positions(tmp_path / "positions.json"),
            activity=Activity(lambda: True),
            stop=more.get("stop", NoWait()),
        )
        relay.begin()
        return relay

    return build


def _steps(relay: StreamRelay, count: int = 6) -> None:
    for _ in range(count):
        relay.step()


def test_a_closed_shard_is_read_to_its_end_before_its_child(build: Build) -> None:
    stream, function = FakeStream(), Function()
    stream.open("first")
    before = stream.put("first", 3)
    relay = build(stream, function)
    relay.step()
    late = stream.put("first", 2)
    stream.close("first")
    stream.open("second", parent="first")
    after = stream.put("second", 2)
    _steps(relay)
    assert [sequence for batch in function.batches for sequence in batch] == [*before, *late, *after]


def test_records_after_a_second_shard_change_arrive_too(build: Build) -> None:
    stream, function = FakeStream(), Function()
    stream.open("shard-0")
    relay = build(stream, function)
    expected = []
    for number in range(1, 5):
        expected += stream.put(f"shard-{number - 1}")
        stream.close(f"shard-{number - 1}")
        stream.open(f"shard-{number}", parent=f"shard-{number - 1}")
        _steps(relay, 3)
    expected += stream.put("shard-4")
    _steps(relay)
    assert [sequence for batch in function.batches for sequence in batch] == expected


def test_every_page_of_shards_is_read(build: Build) -> None:
    stream, function = FakeStream(), Function()
    for name in ("a", "b", "c"):
        stream.open(name)
        stream.put(name)
    _steps(build(stream, function))
    assert sorted(sequence for batch in function.batches for sequence in batch) == ["00001", "00002", "00003"]


def test_batches_hold_no_more_than_asked(build: Build) -> None:
    stream, function = FakeStream(), Function()
    stream.open("only")
    stream.put("only", 7)
    _steps(build(stream, function, replace(TRIGGER, batch_size=3)))
    assert [len(batch) for batch in function.batches] == [3, 3, 1]


def test_partial_failure_is_resumed_at_the_lowest_failed_record(build: Build) -> None:
    stream, function = FakeStream(), Function()
    stream.open("only")
    first, second, third = stream.put("only", 3)
    function.answers = [{"batchItemFailures": [{"itemIdentifier": third}, {"itemIdentifier": second}]}]
    _steps(build(stream, function))
    assert function.batches == [[first, second, third], [second, third]]


@pytest.mark.parametrize(
    "answer", [InvocationFailed("boom"), {"batchItemFailures": [{"itemIdentifier": ""}]}, _failed("unknown")]
)
def test_failed_call_is_repeated_whole(build: Build, answer: Any) -> None:
    stream, function = FakeStream(), Function(answer)
    stream.open("only")
    both = stream.put("only", 2)
    _steps(build(stream, function))
    assert function.batches == [both, both]


def test_poison_record_is_given_up_reported_and_passed(build: Build) -> None:
    stream, function = FakeStream(), Function(*[InvocationFailed("boom")] * 3)
    reports: list[dict[str, Any]] = []
    stream.open("only")
    (poison,) = stream.put("only")
    relay = build(stream, function, send_failure=reports.append)
    relay.step()
    (healthy,) = stream.put("only")
    _steps(relay)
    assert function.batches == [[poison], [poison], [poison], [healthy]]
    assert [report["DDBStreamBatchInfo"]["startSequenceNumber"] for report in reports] == [poison]


def test_record_older_than_allowed_is_given_up(build: Build) -> None:
    stream, function = FakeStream(), Function(InvocationFailed("boom"))
    reports: list[dict[str, Any]] = []
    stream.open("only")
    stream.put("only")
    trigger = replace(TRIGGER, maximum_retry_attempts=-1, maximum_record_age=0)
    build(stream, function, trigger, send_failure=reports.append).step()
    assert len(reports) == 1


def test_a_restart_goes_on_after_the_last_delivered_record(build: Build) -> None:
    stream, function = FakeStream(), Function()
    stream.open("only")
    stream.put("only", 2)
    _steps(build(stream, function))
    new = stream.put("only", 2)
    again = Function()
    _steps(build(stream, again))
    assert again.batches == [new]


def test_a_restart_in_a_failing_batch_delivers_it_again(build: Build) -> None:
    stream, stop = FakeStream(), NoWait()
    stream.open("only")
    records = stream.put("only", 2)

    class StoppedMeanwhile(Function):
        def invoke(self, name: str, event: dict[str, Any]) -> Any:
            stop.set()
            raise InvocationFailed("the function's host is gone")

    build(stream, StoppedMeanwhile(), stop=stop).step()
    again = Function()
    _steps(build(stream, again))
    assert again.batches == [records]


def test_a_place_that_was_trimmed_meanwhile_starts_at_the_horizon(build: Build) -> None:
    stream = FakeStream()
    stream.open("only")
    stream.put("only")
    _steps(build(stream, Function()))
    stream.trimmed.add("only")
    again = Function()
    _steps(build(stream, again))
    assert again.batches == [["00001"]]


def test_latest_passes_over_what_was_there_and_misses_nothing_after(build: Build) -> None:
    stream, function = FakeStream(), Function()
    stream.open("only")
    stream.put("only", 3)
    relay = build(stream, function, replace(TRIGGER, from_horizon=False))
    new = stream.put("only", 2)
    _steps(relay)
    assert function.batches == [new]


def test_expired_iterator_is_replaced_and_nothing_is_lost(build: Build) -> None:
    stream, function = FakeStream(), Function()
    stream.open("only")
    first = stream.put("only")
    stop = NoWait()
    relay = build(stream, function, stop=stop)
    relay.step()
    second = stream.put("only")
    stream.expired.add("only@1")

    class Once(Function):
        def invoke(self, name: str, event: dict[str, Any]) -> Any:
            stop.set()
            return super().invoke(name, event)

    resumed = Once()
    relay.invoke = resumed.invoke

    class ExpiresOnce(NoWait):
        def wait(self, timeout: float | None = None) -> bool:
            if timeout == 1.0:
                stream.expired.clear()
            return stop.is_set()

    relay.stop = ExpiresOnce()
    relay.run()
    assert function.batches == [first]
    assert resumed.batches == [second]


def test_filtered_records_wake_nobody_and_are_passed(build: Build) -> None:
    stream, function = FakeStream(), Function()
    stream.open("only")
    stream.put("only", 2)
    relay = build(stream, function, replace(TRIGGER, filter_patterns=({"eventName": ["REMOVE"]},)))
    _steps(relay)
    assert function.batches == []


def test_event_is_json_as_lambda_delivers_it(build: Build) -> None:
    stream, function = FakeStream(), Function()
    stream.open("only")
    stream.put("only")
    _steps(build(stream, function))
    (record,) = function.events[0]["Records"]
    assert record["dynamodb"]["NewImage"] == {"packed": {"B": "AAE="}}
    assert isinstance(record["dynamodb"]["ApproximateCreationDateTime"], float)
    assert record["eventSourceARN"] == ARN


@pytest.mark.parametrize(
    "content", ["", "{", "null", "[]", '"text"', '{"push": "00001"}', '{"push": {"only": 1}}', "\x00\x01", "{}\n{}"]
)
def test_damaged_places_are_set_aside_and_streams_read_from_their_beginning(tmp_path: Path, content: str) -> None:
    path = tmp_path / "positions.json"
    path.write_text(content)
    places = Positions(path)
    assert not places.knows("push")
    assert not path.exists()
    assert (tmp_path / "positions.damaged").read_text() == content
    places.keep("push", {"only": "00007"})
    assert Positions(path).of("push") == {"only": "00007"}


def test_a_place_that_never_was_one_is_read_from_the_beginning(build: Build) -> None:
    stream, function = FakeStream(), Function()
    stream.open("only")
    first = stream.put("only", 2)
    relay = build(stream, function)
    relay.positions.keep(relay.reader, {"only": "nonsense"})
    relay.begin()
    stream.invalid.add("nonsense")
    _steps(relay)
    assert function.batches == [first]


def test_a_full_disk_stops_no_relay(build: Build, tmp_path: Path) -> None:
    """What was delivered is not delivered again by this process; its place waits for the next write."""
    stream, function = FakeStream(), Function()
    stream.open("only")
    relay = build(stream, function)
    blocked = tmp_path / "positions.new"
    blocked.mkdir()
    first = stream.put("only")
    _steps(relay)
    second = stream.put("only")
    _steps(relay)
    assert function.batches == [first, second]
    blocked.rmdir()
    third = stream.put("only")
    _steps(relay)
    assert Positions(tmp_path / "positions.json").of(relay.reader) == {"only": third[0]}
