"""How many changes fit into one transaction: by items and by bytes; head, events and a day's total are an item each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime

from shared.domain.change import JobChange
from shared.domain.errors import ChangeTooLargeError
from shared.domain.event import JobEvent
from shared.domain.job import Job
from shared.domain.totals import day_differences

MAX_ITEMS = 100
"""DynamoDB's own limit of one transaction."""
MAX_BYTES = 3_500_000
"""Below DynamoDB's 4 MB, because sizes are estimated."""
MAX_EVENT_BYTES = 300_000
"""Of the one item that holds a commit's events; DynamoDB's own limit is 400 kB (I42)."""

_FIELD_BYTES = 32
"""The name of a field, and the value of one that is no text."""
_KEY_BYTES = 256
"""An item that is little more than its key: a claim, a delivery id, a day's total, the head."""
_OWN_ITEMS = 2
"""The log's head, and the item that holds the events."""


def items_of(change: JobChange) -> int:
    """Items that the change writes by itself: the job, its claim or tombstone, its delivery ids.

    The log's head, the events and the totals of its day come on top, once a transaction.
    """
    return 1 + (change.written_claim is not None) + len(change.delivery_ids)


def bytes_of(change: JobChange) -> int:
    """An estimate, on the high side, of what the change's items weigh in bytes."""
    job = change.after or change.before
    own = _row_bytes(job) if job else 0
    return own + event_bytes_of(change) + _KEY_BYTES * (1 + len(change.delivery_ids))


def event_bytes_of(change: JobChange) -> int:
    """The part of them that its events are."""
    return sum(map(_row_bytes, change.events))


def fill_transactions(
    changes: Iterable[JobChange], *, max_items: int = MAX_ITEMS, max_bytes: int = MAX_BYTES
) -> Iterator[list[JobChange]]:
    """Cut changes, in their order, into the fewest runs that each fit one transaction.

    Of one change's delivery ids only as many as fit are kept, the newest ones: a delivery without it that comes again
    is merged again, which changes nothing. A change that fits no transaction stands alone.
    """
    filling = _Filling(max_items, max_bytes)
    for whole in changes:
        load = _load_of(whole, max_items)
        if filling.changes and not filling.takes(load):
            yield filling.changes
            filling = _Filling(max_items, max_bytes)
        filling.add(load)
    if filling.changes:
        yield filling.changes


def check_size(changes: Sequence[JobChange], items: int) -> None:
    """Raises ChangeTooLargeError, which names the largest of them, when their `items` fit no transaction."""
    _check(changes, items, MAX_ITEMS, "items in a transaction", largest_by=items_of)
    _check(changes, sum(map(bytes_of, changes)), MAX_BYTES, "bytes in a transaction", largest_by=bytes_of)
    event_bytes = sum(map(event_bytes_of, changes))
    _check(changes, event_bytes, MAX_EVENT_BYTES, "bytes of events in a commit", largest_by=event_bytes_of)


def _check(
    changes: Sequence[JobChange], size: int, most: int, what: str, *, largest_by: Callable[[JobChange], int]
) -> None:
    if size > most:
        raise ChangeTooLargeError(max(changes, key=largest_by).job_id, f"At most {most} {what}, not {size}.")


@dataclass(frozen=True, slots=True)
class _Load:
    """What one change brings into a transaction, reckoned once."""

    change: JobChange
    items: int
    size: int
    event_size: int
    days: frozenset[tuple[str, date]]


def _load_of(whole: JobChange, max_items: int) -> _Load:
    """A change with only as many delivery ids, the newest ones, as fit a transaction of its own."""
    load = _weigh(whole)
    excess = _OWN_ITEMS + load.items + len(load.days) - max_items
    return _weigh(replace(whole, delivery_ids=whole.delivery_ids[excess:])) if excess > 0 else load


def _weigh(change: JobChange) -> _Load:
    days = frozenset((total.provider, total.day) for total in day_differences([(change.before, change.after)]))
    return _Load(change, items_of(change), bytes_of(change), event_bytes_of(change), days)


@dataclass
class _Filling:
    """A transaction that is being filled."""

    max_items: int
    max_bytes: int
    changes: list[JobChange] = field(default_factory=list)
    items: int = _OWN_ITEMS
    size: int = 2 * _KEY_BYTES
    event_size: int = 0
    days: set[tuple[str, date]] = field(default_factory=set)

    def takes(self, load: _Load) -> bool:
        new_days = len(load.days - self.days)
        return (
            self.items + load.items + new_days <= self.max_items
            and self.size + load.size + new_days * _KEY_BYTES <= self.max_bytes
            and self.event_size + load.event_size <= MAX_EVENT_BYTES
        )

    def add(self, load: _Load) -> None:
        new_days = len(load.days - self.days)
        self.changes.append(load.change)
        self.items += load.items + new_days
        self.size += load.size + new_days * _KEY_BYTES
        self.event_size += load.event_size
        self.days |= load.days


def _row_bytes(row: Job | JobEvent) -> int:
    return sum(_FIELD_BYTES + _value_bytes(getattr(row, each.name)) for each in fields(row))


def _value_bytes(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))
    if isinstance(value, tuple):
        return _FIELD_BYTES * len(value)
    if isinstance(value, dict):
        return len(json.dumps(value, default=_as_text, ensure_ascii=False).encode("utf-8", "replace"))
    return 0


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
