"""What the benchmarks share: real stores on DynamoDB Local in memory, with AWS's latencies and conflicts on wish."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.local import dynamodb_local
from infra.local.ports import free_ports
from infra.local.processes import Children
from infra.local.runtimes import find_java
from infra.local.tables import create_tables
from shared.adapters.clock import SystemClock
from shared.adapters.dynamo_connections import DynamoConnections
from shared.adapters.dynamo_events import DynamoEventLog
from shared.adapters.dynamo_jobs import DynamoJobStore
from shared.adapters.dynamo_state import DynamoStateStore
from shared.adapters.dynamo_texts import DynamoJobTexts

HOST = "127.0.0.1"
SMALL_TRANSACTION_SECONDS = 0.025
LARGE_TRANSACTION_SECONDS = 0.060
READ_SECONDS = 0.004
WRITE_SECONDS = 0.006


@dataclass
class Requests:
    """DynamoDB requests by operation since the last `reset`."""

    sent: Counter[str] = field(default_factory=Counter)

    def reset(self) -> None:
        self.sent.clear()


@dataclass(frozen=True)
class BenchStores:
    jobs: DynamoJobStore
    events: DynamoEventLog
    texts: DynamoJobTexts
    state: DynamoStateStore
    connections: DynamoConnections
    requests: Requests


class ModelledClient:
    """A DynamoDB client as far away and as strict as AWS (AWS-FACTS, sections 7): each call takes at least AWS's time.

    A transaction on the log's head while another holds it is cancelled with TransactionConflict, which DynamoDB Local
    never does.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._head = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if name.startswith("transact_write"):
            return lambda **request: self._transact(call, request)
        floor = READ_SECONDS if name.startswith(("get_", "batch_get", "query")) else WRITE_SECONDS
        return (lambda **request: at_least(floor, call, request)) if callable(call) else call

    def _transact(self, call: Callable[..., Any], request: Mapping[str, Any]) -> Any:
        items: Sequence[Mapping[str, Any]] = request["TransactItems"]
        span = LARGE_TRANSACTION_SECONDS - SMALL_TRANSACTION_SECONDS
        seconds = SMALL_TRANSACTION_SECONDS + span * min(1.0, len(items) / 100)
        if not self._head.acquire(blocking=False):
            time.sleep(SMALL_TRANSACTION_SECONDS)
            reasons = [{"Code": "None"} for _ in items]
            heads = [number for number, item in enumerate(items) if _is_head(item)]
            reasons[heads[0] if heads else 0] = {"Code": "TransactionConflict"}
            answer: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise ClientError(answer, "TransactWriteItems")
        try:
            return at_least(seconds, call, request)
        finally:
            self._head.release()


def at_least(seconds: float, call: Callable[..., Any], request: Mapping[str, Any]) -> Any:
    """Call, and answer no sooner than AWS would."""
    started = time.perf_counter()
    try:
        return call(**request)
    finally:
        time.sleep(max(0.0, seconds - (time.perf_counter() - started)))


def _is_head(item: Mapping[str, Any]) -> bool:
    key = item.get("Update", {}).get("Key", {})
    return bool(key.get("seq", {}).get("N") == "0")


@dataclass
class Engine:
    """A running DynamoDB Local; `stores` gives fresh tables."""

    client: Any
    requests: Requests
    _tables: int = 0

    def stores(self, *, modelled: bool = False) -> BenchStores:
        self._tables += 1
        names = create_tables(self.client, prefix=f"bench-{self._tables}-")
        client = ModelledClient(self.client) if modelled else self.client

        def factory() -> Any:
            return client

        clock = SystemClock()
        return BenchStores(
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
    """DynamoDB Local in memory on a free port, ended with the context."""
    if not dynamodb_local.is_fetched():
        dynamodb_local.fetch()
    [port] = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        children = Children(Path(folder), threading.Event())
        children.start("dynamodb", dynamodb_local.command(find_java(), port, None), dict(os.environ))
        try:
            children.wait_until("DynamoDB Local", lambda: _listens(port), seconds=30)
            client = boto3.client(
                "dynamodb",
                endpoint_url=f"http://{HOST}:{port}",
                region_name="us-east-1",
                aws_access_key_id="local",
                aws_secret_access_key="local",
                config=Config(max_pool_connections=64, retries={"total_max_attempts": 1}),
            )
            requests = Requests()
            client.meta.events.register("before-call.dynamodb.*", lambda model, **_: requests.sent.update([model.name]))
            yield Engine(client, requests)
        finally:
            children.stop_all()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
