"""Jobs, events and the head as DynamoDB items, and back. By hand, because a page of a thousand jobs must be quick.

Fields that are null are left out, attributes that are unknown here are passed over (a newer release may write them),
times are microseconds since 1970, money and durations are decimals and never floats.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from shared.domain import state_keys
from shared.domain.change import Claim, RemoteId
from shared.domain.errors import ChangeTooLargeError
from shared.domain.event import LOG_NAME, EventType, JobDeleted, JobEvent, JobStatusChanged, LoggedEvent, LogHead
from shared.domain.expiry import latest_credible
from shared.domain.job import (
    MIN_PREFIX_LENGTH,
    PRESENT,
    Absence,
    Job,
    JobStatus,
    Transition,
    from_iso,
    to_iso,
)
from shared.domain.totals import DayTotal

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

    Item = dict[str, AttributeValueTypeDef]
else:
    Item = dict

Attributes = Mapping[str, Any]

SCHEMA = 1
SCOPE = "all"
MAX_JOB_ITEM_BYTES = 2_048
MAX_METADATA_BYTES = 256
COUNT_PREFIX = "n#"
_CONTAINER_BYTES = 3

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LETTERS = {
    JobStatus.PENDING: "p",
    JobStatus.UPLOADING: "u",
    JobStatus.QUEUED: "q",
    JobStatus.RUNNING: "r",
    JobStatus.COMPLETED: "c",
    JobStatus.FAILED: "f",
    JobStatus.CANCELLED: "x",
}
_STATUS_OF_LETTER = {letter: status for status, letter in _LETTERS.items()}


def text(value: str) -> AttributeValueTypeDef:
    return {"S": value}


def number(value: int | Decimal) -> AttributeValueTypeDef:
    return {"N": format(value, "f") if isinstance(value, Decimal) else str(value)}


def micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=value)


def epoch_seconds(moment: datetime) -> int:
    """Whole seconds since 1970, rounded up: DynamoDB's expiry knows no fractions."""
    return -((_EPOCH - moment) // timedelta(seconds=1))


def exact_seconds(moment: datetime) -> AttributeValueTypeDef:
    """Seconds since 1970 with their fraction, to compare an expiry with."""
    whole, fraction = divmod(micros(moment), 1_000_000)
    return {"N": f"{whole}.{fraction:06d}"}


def created_key(job: Job) -> str:
    """The sort key of the lists: time first, so that text order is the order of creation."""
    return f"{to_iso(job.created_at)}#{job.job_id}"


def encode_job(job: Job) -> Item:
    """The item of a job, at most 2 kB: when everything else is long, the error message gets the room that is left.

    Raises ChangeTooLargeError when the metadata is larger than 256 bytes of JSON.
    """
    item: Item = {
        "job_id": text(job.job_id),
        "id_prefix": text(job.job_id[:MIN_PREFIX_LENGTH]),
        "scope": text(SCOPE),
        "created_key": text(created_key(job)),
        "schema": number(SCHEMA),
        "version": number(job.version),
        "provider": text(job.provider),
        "status": text(job.status.value),
        "kind": text(job.kind),
        "job_type": text(job.job_type),
        "hardware_type": text(job.hardware_type),
        "price_per_second": number(job.price_per_second),
    }
    _put_texts(
        item,
        external_id=job.external_id,
        config_name=job.config_name,
        output_url=job.output_url,
        user_id=job.user_id,
        model=job.model,
        provider_status=job.provider_status,
        metadata=_encode_metadata(job),
        transitions=_encode_transitions(job),
    )
    _put_moments(
        item,
        queued_at=job.queued_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        cancel_requested_at=job.cancel_requested_at,
        last_miss_at=job.absence.last_miss_at,
        unknown_since=job.absence.unknown_since,
        lost_at=job.absence.lost_at,
    )
    _put_numbers(item, billed_seconds=job.billed_seconds, cost_usd=job.cost_usd, misses=job.absence.misses or None)
    if job.webhook_covered:
        item["webhook_covered"] = {"BOOL": True}
    if job.is_cost_estimated:
        item["cost_estimated"] = {"BOOL": True}
    if job.error_message is not None:
        room = MAX_JOB_ITEM_BYTES - item_bytes(item) - len("error_message")
        item["error_message"] = text(_storable(job.error_message).encode()[: max(0, room)].decode(errors="ignore"))
    return item


def decode_job(item: Attributes) -> Job:
    has = item.get
    created_at = from_iso(item["created_key"]["S"].partition("#")[0])
    return Job(
        job_id=item["job_id"]["S"],
        provider=item["provider"]["S"],
        status=JobStatus(item["status"]["S"]),
        created_at=created_at,
        hardware_type=item["hardware_type"]["S"],
        price_per_second=Decimal(item["price_per_second"]["N"]),
        external_id=_text(has("external_id")),
        kind=item["kind"]["S"],
        job_type=item["job_type"]["S"],
        version=int(item["version"]["N"]),
        config_name=_text(has("config_name")),
        queued_at=_moment(has("queued_at")),
        started_at=_moment(has("started_at")),
        completed_at=_moment(has("completed_at")),
        # The second name is an earlier version's.
        billed_seconds=_decimal(has("billed_seconds") or has("predict_seconds")),
        cost_usd=_decimal(has("cost_usd")),
        is_cost_estimated="cost_estimated" in item,
        error_message=_text(has("error_message")),
        output_url=_text(has("output_url")),
        user_id=_text(has("user_id")),
        model=_text(has("model")),
        provider_status=_text(has("provider_status")),
        webhook_covered="webhook_covered" in item,
        cancel_requested_at=_moment(has("cancel_requested_at")),
        absence=_decode_absence(item),
        metadata=json.loads(item["metadata"]["S"]) if "metadata" in item else {},
        transitions=_decode_transitions(_text(has("transitions")) or "", created_at),
    )


def encode_commit(first: int, events: Sequence[JobEvent], expires_at: int) -> Item:
    """The item of one commit's events, under the number of the last. `ended`: the jobs that ended, for the stream."""
    item: Item = {
        "log": text(LOG_NAME),
        "seq": number(first + len(events) - 1),
        "expires_at": number(expires_at),
        "events": {"L": [{"M": _encode_event(event)} for event in events]},
    }
    ended = [event.job_id for event in events if isinstance(event, JobStatusChanged) and event.status.is_terminal]
    _put_texts(item, ended=" ".join(dict.fromkeys(ended)) or None)
    return item


def decode_commit(item: Attributes) -> Iterator[LoggedEvent]:
    """Also of an item that is one change by itself: a log of an earlier version goes on."""
    events = item["events"]["L"] if "events" in item else [{"M": item}]
    for seq, event in enumerate(events, start=int(item["seq"]["N"]) - len(events) + 1):
        yield LoggedEvent(seq, _decode_event(event["M"]))


def _encode_event(event: JobEvent) -> Item:
    item: Item = {"type": text(event.type.value), "job_id": text(event.job_id), "provider": text(event.provider)}
    _put_moments(item, at=event.at)
    _put_texts(
        item,
        previous_status=event.previous_status.value if event.previous_status else None,
        config_name=event.config_name,
    )
    if isinstance(event, JobStatusChanged):
        _put_texts(item, status=event.status.value, error_message=event.error_message)
        _put_moments(item, started_at=event.started_at, completed_at=event.completed_at)
        _put_numbers(item, cost_usd=event.cost_usd)
    return item


def _decode_event(item: Attributes) -> JobEvent:
    return _DECODERS[EventType(item["type"]["S"])](item)


def _decode_status_changed(item: Attributes) -> JobStatusChanged:
    has = item.get
    return JobStatusChanged(
        job_id=item["job_id"]["S"],
        provider=item["provider"]["S"],
        at=moment_of(int(item["at"]["N"])),
        status=JobStatus(item["status"]["S"]),
        previous_status=JobStatus(item["previous_status"]["S"]) if "previous_status" in item else None,
        config_name=_text(has("config_name")),
        cost_usd=_decimal(has("cost_usd")),
        error_message=_text(has("error_message")),
        started_at=_moment(has("started_at")),
        completed_at=_moment(has("completed_at")),
    )


def _decode_deleted(item: Attributes) -> JobDeleted:
    return JobDeleted(
        job_id=item["job_id"]["S"],
        provider=item["provider"]["S"],
        at=moment_of(int(item["at"]["N"])),
        previous_status=JobStatus(item["previous_status"]["S"]),
        config_name=_text(item.get("config_name")),
    )


_DECODERS: Mapping[EventType, Callable[[Attributes], JobEvent]] = {
    EventType.STATUS_CHANGED: _decode_status_changed,
    EventType.DELETED: _decode_deleted,
}


def head_key() -> Item:
    return {"log": text(LOG_NAME), "seq": number(0)}


def encode_new_head(epoch: str) -> Item:
    return {**head_key(), "epoch": text(epoch), "head": number(0), "first_kept": number(1), "schema": number(SCHEMA)}


def decode_head(item: Attributes) -> LogHead:
    counts: dict[tuple[str, JobStatus], int] = {}
    for name, value in item.items():
        if name.startswith(COUNT_PREFIX) and value["N"] != "0":
            _, provider, status = name.split("#")
            counts[provider, JobStatus(status)] = int(value["N"])
    return LogHead(
        epoch=item["epoch"]["S"],
        seq=int(item["head"]["N"]),
        first_kept=int(item["first_kept"]["N"]),
        counts=counts,
        turn_until=_moment(item.get("turn_until")),
    )


def claim_key(remote_id: RemoteId) -> Item:
    return {"key": text(state_keys.claim(remote_id.provider, remote_id.external_id))}


def decode_claim(remote_id: RemoteId, item: Attributes) -> Claim:
    return Claim(remote_id, item["job_id"]["S"], is_tombstone="tombstone" in item)


def delivery_key(delivery_id: str) -> Item:
    return {"key": text(state_keys.delivery(delivery_id))}


def total_key(provider: str, day: date) -> Item:
    return {"key": text(state_keys.total(provider, day))}


def decode_total(item: Attributes) -> DayTotal:
    _, provider, day = item["key"]["S"].split("#")
    return DayTotal(
        provider=provider,
        day=date.fromisoformat(day),
        cost=Decimal(item["cost"]["N"]),
        jobs=int(item["jobs"]["N"]),
        seconds=Decimal(item["seconds"]["N"]),
    )


def is_live(item: Attributes, now: datetime, *, life: timedelta | None = None) -> bool:
    """Whether an item has not expired; that it still lies there says nothing (I16). None lasts longer than `life`."""
    if "expires_at" not in item:
        return True
    expires_at = int(item["expires_at"]["N"])
    return expires_at > now.timestamp() and (life is None or expires_at <= latest_credible(now, life).timestamp())


def item_bytes(item: Attributes) -> int:
    """What DynamoDB counts: names and texts in UTF-8, two digits a byte, one byte for a flag and for each member."""
    return sum(len(name) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    kind, content = next(iter(value.items()))
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        return (len(content.lstrip("-0.").replace(".", "")) + 1) // 2 + 2
    if kind == "M":
        return item_bytes(content) + _CONTAINER_BYTES + len(content)
    if kind == "L":
        return sum(1 + _value_bytes(one) for one in content) + _CONTAINER_BYTES
    return 1 if kind == "BOOL" else len(content)


def _encode_metadata(job: Job) -> str | None:
    if not job.metadata:
        return None
    encoded = _storable(json.dumps(job.metadata, separators=(",", ":"), ensure_ascii=False, allow_nan=False))
    if len(encoded.encode()) > MAX_METADATA_BYTES:
        raise ChangeTooLargeError(job.job_id, f"A job's metadata may hold {MAX_METADATA_BYTES} bytes of JSON at most.")
    return encoded


def _decode_absence(item: Attributes) -> Absence:
    if not any(name in item for name in ("misses", "last_miss_at", "unknown_since", "lost_at")):
        return PRESENT
    return Absence(
        misses=int(item["misses"]["N"]) if "misses" in item else 0,
        last_miss_at=_moment(item.get("last_miss_at")),
        unknown_since=_moment(item.get("unknown_since")),
        lost_at=_moment(item.get("lost_at")),
    )


def _encode_transitions(job: Job) -> str | None:
    """A letter and the microseconds since the job's creation for each."""
    steps = (f"{_LETTERS[step.status]}{(step.at - job.created_at) // _MICROSECOND}" for step in job.transitions)
    return " ".join(steps) or None


def _decode_transitions(encoded: str, created_at: datetime) -> tuple[Transition, ...]:
    return tuple(
        Transition(_STATUS_OF_LETTER[step[0]], created_at + timedelta(microseconds=int(step[1:])))
        for step in encoded.split()
    )


def _storable(value: str) -> str:
    """Half a surrogate pair, which JSON from outside may hold, is no text that can be stored."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _put_texts(item: Item, **values: str | None) -> None:
    item.update({name: text(_storable(value)) for name, value in values.items() if value is not None})


def _put_moments(item: Item, **values: datetime | None) -> None:
    item.update({name: {"N": str(micros(value))} for name, value in values.items() if value is not None})


def _put_numbers(item: Item, **values: int | Decimal | None) -> None:
    item.update({name: number(value) for name, value in values.items() if value is not None})


def _text(value: Mapping[str, Any] | None) -> str | None:
    return value["S"] if value is not None else None


def _moment(value: Mapping[str, Any] | None) -> datetime | None:
    return moment_of(int(value["N"])) if value is not None else None


def _decimal(value: Mapping[str, Any] | None) -> Decimal | None:
    return Decimal(value["N"]) if value is not None else None
