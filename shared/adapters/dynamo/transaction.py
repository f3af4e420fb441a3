"""One transaction that writes whole changes: job, events, head with counts, day totals, claims and delivery ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.adapters.dynamo.errors import Guard, Guarded
from shared.adapters.dynamo.fill_transactions import check_size
from shared.adapters.dynamo.items import (
    COUNT_PREFIX,
    Item,
    claim_key,
    delivery_key,
    encode_commit,
    encode_job,
    epoch_seconds,
    exact_seconds,
    head_key,
    micros,
    number,
    text,
    total_key,
)
from shared.domain.change import Claim, JobChange
from shared.domain.event import LOG_NAME, JobEvent, LogHead
from shared.domain.job import JobStatus
from shared.domain.totals import DayTotal, day_differences

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

EVENT_LIFE = timedelta(days=8)
DELIVERY_ID_LIFE = timedelta(days=7)
TOMBSTONE_LIFE = timedelta(days=400)

_ABSENT_OR_EXPIRED = "attribute_not_exists(#key) OR expires_at <= :now"


@dataclass(frozen=True, slots=True)
class Tables:
    """The names of the tables that a change writes to."""

    jobs: str
    events: str
    state: str


@dataclass(frozen=True, slots=True)
class Transaction:
    """The items to write, what each of them guards, in the same order, and the head as it is afterwards."""

    items: list[TransactWriteItemTypeDef]
    guards: list[Guard]
    head: LogHead


def build_transaction(
    tables: Tables, changes: Sequence[JobChange], *, head: LogHead, at: datetime, turn_until: datetime | None = None
) -> Transaction:
    """Raises ChangeTooLargeError for what DynamoDB would refuse, ValueError for an item twice, which is a mistake."""
    builder = _Builder(tables, at)
    for change in changes:
        builder.add_job(change)
        builder.add_claim(change)
    for delivery_id in dict.fromkeys(delivery_id for change in changes for delivery_id in change.delivery_ids):
        builder.add_delivery_id(delivery_id)
    events = [event for change in changes for event in change.events]
    if events:
        builder.add_events(head.seq + 1, events)
    counts = _count_differences(changes)
    after = head
    if events or counts:
        after = _head_after(replace(head, turn_until=turn_until or head.turn_until), len(events), counts)
        builder.add_head(head, after, counts)
    for difference in day_differences([(change.before, change.after) for change in changes]):
        builder.add_total(difference)
    check_size(changes, len(builder.items))
    if len({guard.item for guard in builder.guards}) < len(builder.guards):
        raise ValueError("A transaction holds no item twice.")
    return Transaction(builder.items, builder.guards, after)


def _count_differences(changes: Sequence[JobChange]) -> dict[tuple[str, JobStatus], int]:
    counts: Counter[tuple[str, JobStatus]] = Counter()
    for change in changes:
        if change.before:
            counts[change.before.provider, change.before.status] -= 1
        if change.after:
            counts[change.after.provider, change.after.status] += 1
    return {key: difference for key, difference in counts.items() if difference}


def _head_after(head: LogHead, events: int, differences: dict[tuple[str, JobStatus], int]) -> LogHead:
    counts = {key: head.counts.get(key, 0) + differences.get(key, 0) for key in {*head.counts, *differences}}
    return replace(head, seq=head.seq + events, counts={key: count for key, count in counts.items() if count})


@dataclass
class _Builder:
    tables: Tables
    at: datetime
    items: list[TransactWriteItemTypeDef] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)

    def add_job(self, change: JobChange) -> None:
        guard = Guard(Guarded.JOB, change.job_id, f"job#{change.job_id}")
        if change.before is None:
            condition, values = "attribute_not_exists(job_id)", None
        else:
            condition, values = "version = :version", {":version": number(change.before.version)}
        write: dict[str, Any] = {"TableName": self.tables.jobs, "ConditionExpression": condition}
        if values is not None:
            write["ExpressionAttributeValues"] = values
        if change.after is None:
            self._add(guard, {"Delete": {"Key": {"job_id": text(change.job_id)}, **write}})
        else:
            version = (change.before.version if change.before else 0) + 1
            self._add(guard, {"Put": {"Item": encode_job(replace(change.after, version=version)), **write}})

    def add_claim(self, change: JobChange) -> None:
        """Whoever takes a claim takes it for good; only a deletion writes its tombstone over it."""
        claim = change.written_claim
        if claim is not None:
            (self._bury_claim if claim.is_tombstone else self._put_claim)(claim)

    def add_delivery_id(self, delivery_id: str) -> None:
        item: Item = {**delivery_key(delivery_id), "expires_at": number(epoch_seconds(self.at + DELIVERY_ID_LIFE))}
        self._put_if_absent(Guard(Guarded.DELIVERY, delivery_id, item["key"]["S"]), item)

    def add_events(self, first: int, events: Sequence[JobEvent]) -> None:
        item = encode_commit(first, events, epoch_seconds(self.at + EVENT_LIFE))
        self._add(
            Guard(Guarded.EVENTS, LOG_NAME, f"event#{first}"),
            {
                "Put": {
                    "TableName": self.tables.events,
                    "Item": item,
                    "ConditionExpression": "attribute_not_exists(seq)",
                }
            },
        )

    def add_head(self, head: LogHead, after: LogHead, counts: dict[tuple[str, JobStatus], int]) -> None:
        names = {"#head": "head", "#epoch": "epoch"}
        values: Item = {":before": number(head.seq), ":after": number(after.seq), ":epoch": text(head.epoch)}
        additions = []
        for place, ((provider, status), difference) in enumerate(counts.items()):
            names[f"#count{place}"] = f"{COUNT_PREFIX}{provider}#{status.value}"
            values[f":count{place}"] = number(difference)
            additions.append(f"#count{place} :count{place}")
        settings = "#head = :after"
        if after.turn_until is not None and after.turn_until != head.turn_until:
            settings += ", turn_until = :turn"
            values[":turn"] = number(micros(after.turn_until))
        self._add(
            Guard(Guarded.HEAD, LOG_NAME, "event#0"),
            {
                "Update": {
                    "TableName": self.tables.events,
                    "Key": head_key(),
                    "UpdateExpression": f"SET {settings}" + (f" ADD {', '.join(additions)}" if additions else ""),
                    "ConditionExpression": "#epoch = :epoch AND #head = :before",
                    "ExpressionAttributeNames": names,
                    "ExpressionAttributeValues": values,
                }
            },
        )

    def add_total(self, difference: DayTotal) -> None:
        key = total_key(difference.provider, difference.day)
        self._add(
            Guard(Guarded.TOTAL, difference.provider, key["key"]["S"]),
            {
                "Update": {
                    "TableName": self.tables.state,
                    "Key": key,
                    "UpdateExpression": "ADD #cost :cost, #jobs :jobs, #seconds :seconds",
                    "ExpressionAttributeNames": {"#cost": "cost", "#jobs": "jobs", "#seconds": "seconds"},
                    "ExpressionAttributeValues": {
                        ":cost": number(difference.cost),
                        ":jobs": number(difference.jobs),
                        ":seconds": number(difference.seconds),
                    },
                }
            },
        )

    def _put_claim(self, claim: Claim) -> None:
        item: Item = {**claim_key(claim.remote_id), "job_id": text(claim.job_id)}
        self._put_if_absent(Guard(Guarded.CLAIM, claim.job_id, item["key"]["S"]), item)

    def _bury_claim(self, tombstone: Claim) -> None:
        key = claim_key(tombstone.remote_id)
        self._add(
            Guard(Guarded.CLAIM, tombstone.job_id, key["key"]["S"]),
            {
                "Update": {
                    "TableName": self.tables.state,
                    "Key": key,
                    "UpdateExpression": "SET job_id = :job, tombstone = :true, expires_at = :expiry",
                    "ConditionExpression": f"{_ABSENT_OR_EXPIRED} OR job_id = :job",
                    "ExpressionAttributeNames": {"#key": "key"},
                    "ExpressionAttributeValues": {
                        ":job": text(tombstone.job_id),
                        ":true": {"BOOL": True},
                        ":expiry": number(epoch_seconds(self.at + TOMBSTONE_LIFE)),
                        ":now": exact_seconds(self.at),
                    },
                }
            },
        )

    def _put_if_absent(self, guard: Guard, item: Item) -> None:
        self._add(
            guard,
            {
                "Put": {
                    "TableName": self.tables.state,
                    "Item": item,
                    "ConditionExpression": _ABSENT_OR_EXPIRED,
                    "ExpressionAttributeNames": {"#key": "key"},
                    "ExpressionAttributeValues": {":now": exact_seconds(self.at)},
                }
            },
        )

    def _add(self, guard: Guard, item: Any) -> None:
        self.guards.append(guard)
        self.items.append(item)
