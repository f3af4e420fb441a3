"""Changes cut into transactions: by items, by bytes, the head and a day's total once."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.dynamo.fill_transactions import bytes_of, check_size, fill_transactions, items_of
from shared.domain.change import Claim, JobChange, RemoteId
from shared.domain.errors import ChangeTooLargeError
from shared.domain.event import status_event
from shared.domain.job import Job, JobStatus
from shared.domain.totals import day_differences
from tests.builders import a_job, after


def a_change(number: int, *, delivery_ids: int = 0, is_new: bool = False, ended: bool = False) -> JobChange:
    status = JobStatus.COMPLETED if ended else JobStatus.RUNNING
    job = a_job(f"job{number:05d}abcdef", status, completed_at=after(600) if ended else None)
    claim = Claim(RemoteId("replicate", job.job_id), job.job_id) if is_new else None
    return JobChange(
        before=None if is_new else replace(job, status=JobStatus.QUEUED, completed_at=None),
        after=job,
        events=(status_event(job, JobStatus.QUEUED),),
        claim=claim,
        delivery_ids=tuple(f"msg_{number}_{delivery_id}" for delivery_id in range(delivery_ids)),
    )


def sizes(changes: list[JobChange]) -> list[int]:
    return [len(batch) for batch in fill_transactions(changes)]


@pytest.mark.parametrize(
    ("delivery_ids", "is_new", "fit"), [(0, False, 98), (1, False, 49), (1, True, 32), (0, True, 49)]
)
def test_as_many_changes_as_fit_a_hundred_items(delivery_ids: int, is_new: bool, fit: int) -> None:
    changes = [a_change(number, delivery_ids=delivery_ids, is_new=is_new) for number in range(fit + 1)]
    assert sizes(changes) == [fit, 1]


def test_a_days_total_counts_once_a_transaction() -> None:
    changes = [a_change(number, ended=True) for number in range(98)]
    assert sizes(changes) == [97, 1]
    days = [
        replace(change, after=replace(change.after, completed_at=after(86_400 * number)))
        for number, change in enumerate(changes)
        if change.after is not None
    ]
    assert sizes(days) == [49, 49]


def test_large_changes_are_cut_by_bytes() -> None:
    job = a_job(metadata={"k": "x" * 1_000_000})
    changes = [JobChange(before=None, after=replace(job, job_id=f"job-number-{n:05d}")) for n in range(7)]
    assert sizes(changes) == [3, 3, 1]


def test_many_large_events_are_cut_by_the_bytes_of_their_item() -> None:
    """I42: an item of DynamoDB holds 400 kB."""
    job = a_job(error_message="x" * 29_000)
    changes = [
        JobChange(before=job, after=replace(job, error_message=None), events=(status_event(job, None),))
        for _ in range(25)
    ]
    assert sizes(changes) == [10, 10, 5]
    with pytest.raises(ChangeTooLargeError, match="events"):
        check_size(changes, items=27)


def test_a_change_too_large_for_any_transaction_stands_alone_and_is_named() -> None:
    large = JobChange(before=None, after=a_job(metadata={"k": "x" * 4_000_000}))
    assert sizes([a_change(1), large, a_change(2)]) == [1, 1, 1]
    with pytest.raises(ChangeTooLargeError, match="bytes") as caught:
        check_size([a_change(1), large], items=6)
    assert caught.value.job_id == large.job_id


def test_of_too_many_delivery_ids_the_newest_are_kept() -> None:
    [[kept]] = fill_transactions([a_change(1, delivery_ids=150, ended=True)])
    assert items_of(kept) + 3 == 100
    assert kept.delivery_ids == tuple(f"msg_1_{delivery_id}" for delivery_id in range(54, 150))


def test_nothing_needs_no_transaction() -> None:
    assert sizes([]) == []


def test_a_deletion_counts_its_tombstone() -> None:
    job = a_job(status=JobStatus.FAILED)
    assert items_of(JobChange(before=job, after=None)) == 2
    assert items_of(JobChange(before=replace(job, external_id=None), after=None)) == 1


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans()), max_size=150))
def test_every_change_is_in_one_transaction_in_order_and_all_fit(shapes: list[tuple[int, bool, bool]]) -> None:
    changes = [
        a_change(number, delivery_ids=delivery_ids, is_new=is_new, ended=ended)
        for number, (delivery_ids, is_new, ended) in enumerate(shapes)
    ]
    batches = list(fill_transactions(changes))
    assert [change for batch in batches for change in batch] == changes
    for batch in batches:
        totals = day_differences([(change.before, change.after) for change in batch])
        assert sum(map(items_of, batch)) + 2 + len(totals) <= 100


def test_bytes_are_estimated_on_the_high_side() -> None:
    job: Job = a_job(error_message="é" * 250, cost_usd=Decimal("1.5"), metadata={"ü": "ü"})
    change = JobChange(before=None, after=job, events=(status_event(job, None),))
    assert bytes_of(change) > 2 * 500
