"""Hands a table's stream to a function, as a Lambda event source mapping does.

Shards are followed from parent to child (DynamoDB Local closes one after four hours), records of a shard come in
order, a failed batch is tried again from the lowest failed record, and places are kept across restarts.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import TypeAdapter

from infra.local.triggers.activity import Activity
from infra.local.triggers.event_patterns import matches
from infra.local.triggers.invoker import InvocationFailed, Invoke, failed_items
from infra.local.triggers.service_definition import StreamTrigger

READ_SECONDS = 0.05
BUSY_SECONDS = 0.2
"""While records come one after the other they are gathered for so long, as a mapping on AWS does by itself."""
REFRESH_SECONDS = 10.0
LARGEST_PAUSE_SECONDS = 2.0
CLOSED = "closed"
_PLACES_OF_NOTHING = {"TrimmedDataAccessException", "ValidationException"}
"""What was there is gone, or the kept place never was one: the shard is read from its beginning."""

SendFailure = Callable[[dict[str, Any]], None]
_Places = TypeAdapter(dict[str, dict[str, str]])
log = logging.getLogger("relay.stream")


class StreamClient(Protocol):
    """The part of boto3's `dynamodbstreams` client that is used here."""

    @property
    def describe_stream(self) -> Callable[..., Any]: ...

    @property
    def get_shard_iterator(self) -> Callable[..., Any]: ...

    @property
    def get_records(self) -> Callable[..., Any]: ...


class Positions:
    """How far each function has read each shard, in one JSON file.

    A file that can't be understood is set aside: streams are then read from their beginning, which does no harm, since
    every reader may hear a record twice. A place that can't be written is kept in memory, for the next try.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._places = _read_places(path)

    def of(self, reader: str) -> dict[str, str]:
        """Shard id to the last delivered sequence number, or `closed`."""
        with self._lock:
            return dict(self._places.get(reader, {}))

    def knows(self, reader: str) -> bool:
        with self._lock:
            return reader in self._places

    def keep(self, reader: str, places: Mapping[str, str]) -> None:
        with self._lock:
            self._places[reader] = dict(places)
            scratch = self._path.with_suffix(".new")
            try:
                scratch.write_text(json.dumps(self._places))
                scratch.replace(self._path)
            except OSError as error:
                log.warning("places of %s are not on disk: %s", reader, error)


def _read_places(path: Path) -> dict[str, dict[str, str]]:
    """Raises OSError when a damaged file can't be moved."""
    if not path.exists():
        return {}
    try:
        return _Places.validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        aside = path.with_suffix(".damaged")
        path.replace(aside)
        log.warning("%s could not be understood and is now %s: %s", path.name, aside.name, error)
        return {}


@dataclass(slots=True)
class _Shard:
    shard_id: str
    parent: str | None
    starts_at: str
    iterator: str | None = None


@dataclass(slots=True)
class StreamRelay:
    """One function's reader of one stream."""

    client: StreamClient
    stream_arn: str
    trigger: StreamTrigger
    invoke: Invoke
    send_failure: SendFailure
    positions: Positions
    activity: Activity
    stop: threading.Event
    _shards: dict[str, _Shard] = field(default_factory=dict)
    _places: dict[str, str] = field(default_factory=dict)
    _refreshed_at: float = float("-inf")
    _delivered: int = 0

    @property
    def reader(self) -> str:
        return f"{self.trigger.function} {self.stream_arn}"

    def run(self) -> None:
        """Reads until told to stop, from the place that `begin` took; an unreachable database is waited for."""
        seen = found = 0
        while not self.stop.wait(max(BUSY_SECONDS if found else READ_SECONDS, self.trigger.batch_window)):
            seen = self.activity.wait(seen)
            try:
                found = self.step()
            except (BotoCoreError, ClientError) as error:
                log.warning("reading %s: %s", self.trigger.table, error)
                self._forget_iterators()
                self.stop.wait(1.0)

    def begin(self) -> None:
        """Takes up the kept places, or starts where the trigger says."""
        self._places = self.positions.of(self.reader)
        if self.positions.knows(self.reader):
            return
        if not self.trigger.from_horizon:
            for shard in self._describe():
                ended = "EndingSequenceNumber" in shard["SequenceNumberRange"]
                self._places[shard["ShardId"]] = CLOSED if ended else self._newest_place(shard["ShardId"])
        self._keep()

    def step(self) -> int:
        """Reads every open shard once, looking for new shards first when it is time. Returns how many records came."""
        delivered = self._delivered
        if time.monotonic() - self._refreshed_at >= REFRESH_SECONDS:
            self._refresh()
        for shard in list(self._shards.values()):
            if shard.parent not in self._shards and self._read(shard):
                del self._shards[shard.shard_id]
                self._refreshed_at = float("-inf")
        return self._delivered - delivered

    def _newest_place(self, shard_id: str) -> str:
        """A place after everything the shard holds now, as `LATEST` would give."""
        iterator = self._iterator(shard_id, "TRIM_HORIZON", None)
        newest = ""
        while iterator:
            answer = self.client.get_records(ShardIterator=iterator, Limit=1000)
            if not answer["Records"]:
                break
            newest = answer["Records"][-1]["dynamodb"]["SequenceNumber"]
            iterator = answer.get("NextShardIterator")
        return newest

    def _describe(self) -> list[Any]:
        shards: list[Any] = []
        arguments: dict[str, Any] = {"StreamArn": self.stream_arn}
        while True:
            description = self.client.describe_stream(**arguments)["StreamDescription"]
            shards.extend(description["Shards"])
            if not description.get("LastEvaluatedShardId"):
                return shards
            arguments["ExclusiveStartShardId"] = description["LastEvaluatedShardId"]

    def _refresh(self) -> None:
        described = self._describe()
        existing = {shard["ShardId"] for shard in described}
        for shard in described:
            shard_id = shard["ShardId"]
            if shard_id not in self._shards and self._places.get(shard_id) != CLOSED:
                self._shards[shard_id] = _Shard(shard_id, shard.get("ParentShardId"), self._places.get(shard_id, ""))
        if not existing >= self._places.keys():
            self._places = {shard_id: place for shard_id, place in self._places.items() if shard_id in existing}
            self._keep()
        self._refreshed_at = time.monotonic()

    def _iterator(self, shard_id: str, kind: str, sequence: str | None) -> str | None:
        arguments = {"StreamArn": self.stream_arn, "ShardId": shard_id, "ShardIteratorType": kind}
        if sequence:
            arguments["SequenceNumber"] = sequence
        iterator: str | None = self.client.get_shard_iterator(**arguments)["ShardIterator"]
        return iterator

    def _open(self, shard: _Shard) -> str | None:
        if not shard.starts_at:
            return self._iterator(shard.shard_id, "TRIM_HORIZON", None)
        try:
            return self._iterator(shard.shard_id, "AFTER_SEQUENCE_NUMBER", shard.starts_at)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _PLACES_OF_NOTHING:
                raise
            return self._iterator(shard.shard_id, "TRIM_HORIZON", None)

    def _read(self, shard: _Shard) -> bool:
        """Delivers what is new in the shard; True when the shard is closed and read to its end."""
        shard.iterator = shard.iterator or self._open(shard)
        answer = self.client.get_records(ShardIterator=shard.iterator, Limit=self.trigger.batch_size)
        records = answer["Records"]
        if records:
            if not self._deliver(shard.shard_id, records):
                shard.iterator = None
                return False
            self._delivered += len(records)
            shard.starts_at = self._places[shard.shard_id] = records[-1]["dynamodb"]["SequenceNumber"]
            self._keep()
        shard.iterator = answer.get("NextShardIterator")
        if shard.iterator is None:
            self._places[shard.shard_id] = CLOSED
            self._keep()
            return True
        return False

    def _deliver(self, shard_id: str, records: Sequence[Any]) -> bool:
        """True when the batch is done with: taken, filtered out or given up; False when stopped meanwhile."""
        events = [_event_record(record, self.stream_arn) for record in records]
        if self.trigger.filter_patterns:
            events = [event for event in events if any(matches(rule, event) for rule in self.trigger.filter_patterns)]
        attempts = 0
        while events:
            if self.stop.is_set():
                return False
            remaining = self._attempt(events)
            attempts = 0 if len(remaining) < len(events) else attempts + 1
            events = remaining
            if events and self._is_hopeless(events[0], attempts):
                log.error("%s: giving up %d records after %d attempts", self.trigger.function, len(events), attempts)
                self.send_failure(_failure(shard_id, self.stream_arn, events, attempts))
                return True
            if events:
                self.stop.wait(min(LARGEST_PAUSE_SECONDS, 0.1 * 2**attempts))
        return True

    def _attempt(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What is left to deliver: nothing, all of it, or all from the lowest failed record on."""
        sequences = [event["dynamodb"]["SequenceNumber"] for event in events]
        try:
            answer = self.invoke(self.trigger.function, {"Records": events})
            failed = failed_items(answer, sequences) if self.trigger.reports_failures else []
        except InvocationFailed as error:
            log.warning("%s", error)
            return events
        if not failed:
            return []
        return events[min(sequences.index(sequence) for sequence in failed) :]

    def _is_hopeless(self, oldest: dict[str, Any], attempts: int) -> bool:
        if 0 <= self.trigger.maximum_retry_attempts < attempts:
            return True
        age = time.time() - float(oldest["dynamodb"].get("ApproximateCreationDateTime", time.time()))
        return 0 <= self.trigger.maximum_record_age < age

    def _forget_iterators(self) -> None:
        for shard in self._shards.values():
            shard.iterator = None

    def _keep(self) -> None:
        self.positions.keep(self.reader, self._places)


def _plain(value: Any) -> Any:
    """boto3's answer as the JSON that Lambda would deliver: bytes in base64, times in epoch seconds."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    return value


def _event_record(record: Mapping[str, Any], stream_arn: str) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(record)
    return {**plain, "eventSourceARN": stream_arn}


def _failure(shard_id: str, stream_arn: str, events: list[dict[str, Any]], attempts: int) -> dict[str, Any]:
    """What AWS sends to `onFailure`: where the records are, not the records."""
    return {
        "requestContext": {"condition": "RetryAttemptsExhausted", "approximateInvokeCount": attempts},
        "DDBStreamBatchInfo": {
            "shardId": shard_id,
            "startSequenceNumber": events[0]["dynamodb"]["SequenceNumber"],
            "endSequenceNumber": events[-1]["dynamodb"]["SequenceNumber"],
            "batchSize": len(events),
            "streamArn": stream_arn,
        },
    }
