"""The same tests on the fakes and on AWS's own DynamoDB engine, so that a fake never promises what the table breaks."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from infra.local.stack.tables import create_tables
from shared.adapters.dynamo.connections import DynamoConnections
from shared.adapters.dynamo.events import DynamoEventLog
from shared.adapters.dynamo.jobs import DynamoJobStore
from shared.adapters.dynamo.state import DynamoStateStore
from shared.adapters.dynamo.texts import DynamoJobTexts
from shared.ports import Connections, EventLog, JobStore, JobTexts, StateStore
from tests.fakes.clock import FakeClock
from tests.fakes.stores import FakeStores

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_numbers = itertools.count()


@dataclass
class Stores:
    """The five stores, and what a test may do behind their backs."""

    clock: FakeClock
    jobs: JobStore
    events: EventLog
    texts: JobTexts
    state: StateStore
    connections: Connections
    drop_commit: Callable[[int], None]
    """By the number of its last change."""
    count_requests: Callable[[], int]


@dataclass
class Engine:
    """A running DynamoDB engine: its client, and how many requests were sent by operation."""

    client: DynamoDBClient
    sent: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class DynamoTables:
    """Fresh tables of one test, by the logical ids of `infra/storage.yml`."""

    engine: Engine
    names: dict[str, str]
    clock: FakeClock

    @property
    def client(self) -> DynamoDBClient:
        return self.engine.client

    def job_store(self, client: Any = None) -> DynamoJobStore:
        return DynamoJobStore(
            jobs_table=self.names["JobsTable"],
            events_table=self.names["EventsTable"],
            state_table=self.names["StateTable"],
            client=lambda: client or self.client,
            clock=self.clock,
        )

    def event_log(self, client: Any = None) -> DynamoEventLog:
        return DynamoEventLog(table=self.names["EventsTable"], client=lambda: client or self.client, clock=self.clock)


@pytest.fixture(scope="session")
def engine(dynamodb_url: str) -> Iterator[Engine]:
    client = boto3.client(
        "dynamodb",
        endpoint_url=dynamodb_url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(max_pool_connections=32),
    )
    started = Engine(client)
    client.meta.events.register("before-call.dynamodb.*", lambda model, **_: started.sent.update([model.name]))
    yield started
    client.close()


@pytest.fixture
def clock() -> FakeClock:
    """Begins at the true time: the engine deletes what it thinks has expired."""
    return FakeClock(datetime.now(UTC).replace(microsecond=250_000))


@pytest.fixture(scope="session")
def used_tables() -> list[dict[str, str]]:
    """Emptied tables of tests that are over: emptying few items is quicker than making tables."""
    return []


@pytest.fixture
def dynamo(engine: Engine, clock: FakeClock, used_tables: list[dict[str, str]]) -> Iterator[DynamoTables]:
    names = used_tables.pop() if used_tables else create_tables(engine.client, prefix=f"test-{next(_numbers)}-")
    yield DynamoTables(engine, names, clock)
    if all(_emptied(engine.client, name) for name in names.values()):
        used_tables.append(names)


def _emptied(client: DynamoDBClient, table: str) -> bool:
    """False when the table holds too many items to be emptied one by one."""
    keys = [entry["AttributeName"] for entry in client.describe_table(TableName=table)["Table"]["KeySchema"]]
    answer = client.scan(TableName=table, Limit=40)
    for item in answer["Items"]:
        client.delete_item(TableName=table, Key={name: item[name] for name in keys})
    return "LastEvaluatedKey" not in answer


@pytest.fixture
def fakes(clock: FakeClock) -> FakeStores:
    return FakeStores(clock)


@pytest.fixture(params=["fake", "dynamo"])
def stores(request: pytest.FixtureRequest) -> Stores:
    if request.param == "fake":
        return fake_stores(request.getfixturevalue("fakes"))
    return dynamo_stores(request.getfixturevalue("dynamo"))


def fake_stores(fakes: FakeStores) -> Stores:
    assert isinstance(fakes.clock, FakeClock)
    return Stores(
        clock=fakes.clock,
        jobs=fakes.jobs,
        events=fakes.events,
        texts=fakes.texts,
        state=fakes.state,
        connections=fakes.connections,
        drop_commit=fakes.commit_rows.__delitem__,
        count_requests=lambda: fakes.total_usage.requests,
    )


def dynamo_stores(dynamo: DynamoTables) -> Stores:
    names, clock = dynamo.names, dynamo.clock

    def client() -> DynamoDBClient:
        return dynamo.client

    def drop_commit(last: int) -> None:
        dynamo.client.delete_item(TableName=names["EventsTable"], Key={"log": {"S": "main"}, "seq": {"N": str(last)}})

    return Stores(
        clock=clock,
        jobs=dynamo.job_store(),
        events=dynamo.event_log(),
        texts=DynamoJobTexts(table=names["JobTextsTable"], client=client, clock=clock),
        state=DynamoStateStore(table=names["StateTable"], client=client, clock=clock),
        connections=DynamoConnections(table=names["ConnectionsTable"], client=client),
        drop_commit=drop_commit,
        count_requests=dynamo.engine.sent.total,
    )
