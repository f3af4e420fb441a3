"""What the benchmarks share: real stores on DynamoDB Local in memory, and a count of the requests they send."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from infra.local.install.dynamodb_local import SUSTAINED
from infra.local.stack.tables import create_tables
from shared.adapters.clock import SystemClock
from shared.adapters.dynamo.connections import DynamoConnections
from shared.adapters.dynamo.events import DynamoEventLog
from shared.adapters.dynamo.jobs import DynamoJobStore
from shared.adapters.dynamo.state import DynamoStateStore
from shared.adapters.dynamo.texts import DynamoJobTexts
from tests.local.stack import in_memory_dynamodb


@dataclass
class Requests:
    """DynamoDB requests by operation since the last `reset`."""

    sent: Counter[str] = field(default_factory=Counter)

    def reset(self) -> None:
        self.sent.clear()


@dataclass(frozen=True)
class BenchStores:
    jobs_table: str
    jobs: DynamoJobStore
    events: DynamoEventLog
    texts: DynamoJobTexts
    state: DynamoStateStore
    connections: DynamoConnections
    requests: Requests


@dataclass
class Engine:
    """A running DynamoDB Local; `stores` gives fresh tables."""

    client: Any
    requests: Requests
    _tables: int = 0

    def stores(self, *, has_stream: bool = True) -> BenchStores:
        """Without a stream the tables leave nothing behind that would slow later ones down: for warming up."""
        self._tables += 1
        names = create_tables(self.client, prefix=f"bench-{self._tables}-")
        if not has_stream:
            self.client.update_table(TableName=names["EventsTable"], StreamSpecification={"StreamEnabled": False})

        def factory() -> Any:
            return self.client

        clock = SystemClock()
        return BenchStores(
            jobs_table=names["JobsTable"],
            jobs=DynamoJobStore(
                jobs_table=names["JobsTable"],
                events_table=names["EventsTable"],
                state_table=names["StateTable"],
                client=factory,
                clock=clock,
            ),
            events=DynamoEventLog(table=names["EventsTable"], client=factory, clock=clock),
            texts=DynamoJobTexts(table=names["JobTextsTable"], client=factory, clock=clock),
            state=DynamoStateStore(table=names["StateTable"], client=factory, clock=clock),
            connections=DynamoConnections(table=names["ConnectionsTable"], client=factory),
            requests=self.requests,
        )


@contextmanager
def running_engine() -> Iterator[Engine]:
    """DynamoDB Local in memory on a free port, ended with the context.

    One for each figure: for every item put into a table with a stream, the engine searches the stream records of all
    tables that were there before, so that an old engine is several times slower than a fresh one.
    """
    with tempfile.TemporaryDirectory() as folder, in_memory_dynamodb(Path(folder), SUSTAINED) as url:
        client = boto3.client(
            "dynamodb",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(max_pool_connections=64, retries={"total_max_attempts": 1}, parameter_validation=False),
        )
        requests = Requests()
        client.meta.events.register("before-call.dynamodb.*", lambda model, **_: requests.sent.update([model.name]))
        yield Engine(client, requests)
