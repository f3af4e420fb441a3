"""DynamoDB's errors in the words of the domain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from shared.domain.errors import ChangeRefusedError, StaleWrite, StoreUnavailableError

CONDITION_FAILED = "ConditionalCheckFailedException"
TRANSACTION_CONFLICT = "TransactionConflictException"
_VALIDATION = "ValidationException"
_OUR_MISTAKES = frozenset({_VALIDATION, "SerializationException", "IdempotentParameterMismatchException"})
_TRANSACTION_CANCELED = "TransactionCanceledException"


def error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _message(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", ""))


@contextmanager
def translated() -> Iterator[None]:
    """Raise StoreUnavailableError for throttling, outages, time-outs and missing rights.

    Failed conditions pass through, because each caller knows what its own means; so do requests that are malformed,
    because those are mistakes of this code and no trouble of the store.
    """
    try:
        yield
    except ClientError as error:
        code = error_code(error)
        if code in _OUR_MISTAKES or code in {CONDITION_FAILED, _TRANSACTION_CANCELED}:
            raise
        raise StoreUnavailableError(f"The store did not answer ({code}).") from error
    except BotoCoreError as error:
        raise StoreUnavailableError(f"The store could not be reached ({type(error).__name__}).") from error


class Guarded(Enum):
    """What an item of a transaction guards."""

    JOB = auto()
    CLAIM = auto()
    DELIVERY = auto()
    EVENTS = auto()
    HEAD = auto()
    TOTAL = auto()


@dataclass(frozen=True, slots=True)
class Guard:
    """Names an item of a transaction: `name` is a job's id, for its claim too, or a delivery id; `item` is its key."""

    kind: Guarded
    name: str
    item: str


def raise_canceled(error: ClientError, guards: Sequence[Guard]) -> None:
    """Raise what a cancelled transaction means; the reasons stand in the order of the items.

    Raises StaleWrite when a guard failed or another transaction held an item, StoreUnavailableError when nothing
    but throttling was in the way, ChangeRefusedError for a value that the store does not take (a number out of its
    range, an item too large), and the error itself when it is anything else.
    """
    if error_code(error) == _VALIDATION:
        raise ChangeRefusedError(None, _message(error)) from error
    if error_code(error) != _TRANSACTION_CANCELED:
        raise error
    answer: Mapping[str, Any] = error.response
    codes = [str(reason.get("Code", "None")) for reason in answer.get("CancellationReasons", ())]
    failed = [(code, guard) for code, guard in zip(codes, guards, strict=False) if code != "None"]
    for code, guard in failed:
        if code == "ValidationError":
            job_id = guard.name if guard.kind in {Guarded.JOB, Guarded.CLAIM} else None
            raise ChangeRefusedError(job_id, "The store refuses a value of the change.") from error
    moved = [(code, guard) for code, guard in failed if code in {"ConditionalCheckFailed", "TransactionConflict"}]
    if not moved:
        raise StoreUnavailableError(f"The store is throttled ({', '.join(sorted(set(codes)))}).") from error
    raise _stale(moved) from error


def _stale(moved: Sequence[tuple[str, Guard]]) -> StaleWrite:
    jobs: set[str] = set()
    delivery_ids: set[str] = set()
    is_head = False
    for code, guard in moved:
        if guard.kind in {Guarded.JOB, Guarded.CLAIM}:
            jobs.add(guard.name)
        elif guard.kind is Guarded.DELIVERY and code == "ConditionalCheckFailed":
            delivery_ids.add(guard.name)
        else:
            is_head = True
    return StaleWrite(jobs=jobs, head=is_head, delivery_ids=delivery_ids)
