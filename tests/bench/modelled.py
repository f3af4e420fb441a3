"""The stores with AWS's latencies and conflicts (AWS-23), over the fakes that the contract suite checks.

DynamoDB Local is no base for this: under load it is slower than AWS by far, and never says TransactionConflict.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from shared.adapters.dynamo.fill_transactions import items_of
from shared.domain.change import JobChange, RemoteId, Snapshot
from shared.domain.errors import StaleWrite
from shared.domain.event import LogHead
from shared.domain.job import Job
from shared.ports import Clock
from tests.fakes.stores import FakeJobStore, FakeStores

SMALL_TRANSACTION_SECONDS = 0.025
LARGE_TRANSACTION_SECONDS = 0.060
READ_SECONDS = 0.004
WRITE_SECONDS = 0.006
KEYS_A_REQUEST = 100
HEAD_AND_EVENTS = 2


class ModelledJobStore(FakeJobStore):
    """Transactions on one head commit in series: a second one meanwhile is cancelled after its own time."""

    def __init__(self, stores: FakeStores, slowness: float = 1) -> None:
        super().__init__(stores)
        self._head = threading.Lock()
        self._slowness = slowness

    def get(self, job_id: str) -> Job | None:
        self._sleep(READ_SECONDS)
        return super().get(job_id)

    def get_many(self, job_ids: Sequence[str]) -> dict[str, Job]:
        self._sleep(READ_SECONDS * math.ceil(len(job_ids) / KEYS_A_REQUEST))
        return super().get_many(job_ids)

    def snapshot(
        self,
        remote_ids: Collection[RemoteId] = (),
        *,
        job_ids: Collection[str] = (),
        delivery_ids: Collection[str] = (),
        state: Collection[str] = (),
    ) -> Snapshot:
        keys = 1 + 2 * len(remote_ids) + len(job_ids) + len(delivery_ids) + len(state)
        self._sleep(READ_SECONDS * math.ceil(keys / KEYS_A_REQUEST))
        return super().snapshot(remote_ids, job_ids=job_ids, delivery_ids=delivery_ids, state=state)

    def commit(
        self, changes: Sequence[JobChange], *, head: LogHead, at: datetime, turn_until: datetime | None = None
    ) -> LogHead:
        if not any(change.events for change in changes):
            self._sleep(SMALL_TRANSACTION_SECONDS)
            return super().commit(changes, head=head, at=at, turn_until=turn_until)
        if not self._head.acquire(blocking=False):
            self._sleep(SMALL_TRANSACTION_SECONDS)
            raise StaleWrite(head=True)
        try:
            share = min(1.0, (HEAD_AND_EVENTS + sum(items_of(change) for change in changes)) / 100)
            self._sleep(SMALL_TRANSACTION_SECONDS + share * (LARGE_TRANSACTION_SECONDS - SMALL_TRANSACTION_SECONDS))
            return super().commit(changes, head=head, at=at, turn_until=turn_until)
        finally:
            self._head.release()

    def _sleep(self, seconds: float) -> None:
        self._db.clock.sleep(seconds * self._slowness)

    def take_turn(self, until: datetime) -> None:
        self._sleep(WRITE_SECONDS)
        if self._head.locked():
            raise StaleWrite(head=True)
        super().take_turn(until)


class Delayed:
    """Any other store: each call takes its time first."""

    def __init__(self, store: Any, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        seconds = READ_SECONDS if name.startswith(("get", "read", "head", "all")) else WRITE_SECONDS
        call = getattr(self._store, name)

        def delayed(*given: Any, **named: Any) -> Any:
            self._clock.sleep(seconds)
            return call(*given, **named)

        return delayed


def modelled_stores(clock: Clock, *, slowness: float = 1) -> FakeStores:
    """Fresh stores that are as far away and as strict as AWS; `slowness` times slower in what concerns jobs."""
    stores: Any = FakeStores(clock)
    stores.jobs = ModelledJobStore(stores, slowness)
    stores.events = Delayed(stores.events, clock)
    stores.state = Delayed(stores.state, clock)
    stores.texts = Delayed(stores.texts, clock)
    typed: FakeStores = stores
    return typed
