"""What every event log promises its readers: consecutive runs, no expired rows, a trim that never skips silently."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from shared.domain.event import JobDeleted
from shared.domain.job import JobStatus
from tests.builders import a_job
from tests.contract.changes import commit, deleted, found, known, many_jobs, moved
from tests.contract.conftest import Stores, fake_stores
from tests.fakes.stores import FakeStores

DAY = timedelta(days=1).total_seconds()


def numbers(stores: Stores, after: int, limit: int = 100) -> list[int]:
    return [row.seq for row in stores.events.read(after, limit)]


def test_a_new_log_begins_empty_and_keeps_its_epoch(stores: Stores) -> None:
    head = stores.events.head()
    assert (head.seq, head.first_kept, head.counts) == (0, 1, {})
    assert stores.events.head() == head
    assert stores.jobs.snapshot().head == head
    assert stores.events.read(0, 10) == ()


def test_an_epoch_fits_into_an_event_id(stores: Stores) -> None:
    assert stores.events.head().epoch.isalnum()


def test_an_event_tells_all_that_was_committed(stores: Stores) -> None:
    now = stores.clock.now()
    job = a_job(status=JobStatus.RUNNING, config_name="flux")
    commit(stores, found(job))
    change = moved(
        known(stores, job.job_id),
        JobStatus.FAILED,
        now,
        started_at=now,
        completed_at=now + timedelta(microseconds=1),
        error_message="out of memory",
        cost_usd=Decimal("0.000001"),
    )
    commit(stores, change)
    [logged] = stores.events.read(1, 10)
    assert logged.seq == 2
    assert logged.event == change.events[0]


def test_it_tells_when_the_first_change_after_a_number_was_written(stores: Stores) -> None:
    assert stores.events.written_at(0) is None
    commit(stores, found(a_job(created_at=stores.clock.now() - timedelta(days=3))))
    written = stores.events.written_at(0)
    assert written is not None
    assert abs(stores.clock.now() - written) < timedelta(seconds=30)
    assert stores.events.written_at(1) is None


def test_a_deletion_is_told_too(stores: Stores) -> None:
    job = a_job(status=JobStatus.COMPLETED)
    commit(stores, found(job))
    commit(stores, deleted(known(stores, job.job_id), stores.clock.now()))
    event = stores.events.read(1, 1)[0].event
    assert isinstance(event, JobDeleted)
    assert event.previous_status is JobStatus.COMPLETED


def test_a_reader_goes_on_where_it_stood_within_a_commit_and_across_commits(stores: Stores) -> None:
    many_jobs(stores, 7)
    many_jobs_later(stores, 3)
    assert numbers(stores, 0, 4) == [1, 2, 3, 4]
    assert numbers(stores, 4, 4) == [5, 6, 7, 8]
    assert numbers(stores, 9) == [10]


@pytest.mark.parametrize("after", [10, 11, 10**17])
def test_at_the_head_and_beyond_there_is_nothing_to_read(stores: Stores, after: int) -> None:
    many_jobs(stores, 10)
    assert numbers(stores, after) == []
    assert stores.clock.slept == []


def test_a_log_of_more_than_a_megabyte_is_read_whole(stores: Stores) -> None:
    many_jobs(stores, 300, JobStatus.FAILED, error_message="e" * 4_000)
    assert numbers(stores, 0, 2_000) == list(range(1, 301))


def test_nothing_beyond_a_hole_is_handed_out(stores: Stores) -> None:
    """I14: never k+1 without k. Whether to read again is the reader's business."""
    many_jobs(stores, 3)
    one_job_a_commit(stores, 3)
    stores.drop_commit(4)
    assert numbers(stores, 0) == [1, 2, 3]
    assert numbers(stores, 1, 5) == [2, 3]
    assert stores.clock.slept == []
    assert numbers(stores, 3) == []
    assert numbers(stores, 4) == [5, 6]


def test_a_whole_commit_that_is_not_seen_is_a_hole(stores: Stores) -> None:
    one_job_a_commit(stores, 1)
    many_jobs(stores, 3)
    many_jobs_later(stores, 2)
    stores.drop_commit(4)
    assert numbers(stores, 0) == [1]
    assert numbers(stores, 2) == []
    assert numbers(stores, 4) == [5, 6]


def test_a_torn_read_of_the_fake_ends_before_its_hole(fakes: FakeStores) -> None:
    one_job_a_commit(fake_stores(fakes), 6)
    fakes.faults.tear_reads(4)
    assert [row.seq for row in fakes.events.read(0, 100)] == [1, 2, 3]
    assert [row.seq for row in fakes.events.read(3, 100)] == [4, 5, 6]


def test_trimming_moves_the_first_kept_number_past_what_is_old(stores: Stores) -> None:
    one_job_a_commit(stores, 1)
    many_jobs(stores, 4)
    stores.clock.advance(8 * DAY - 100)
    many_jobs_later(stores, 3)
    before = stores.clock.now() - timedelta(days=7)
    assert stores.events.trim(before=before, limit=100) == 2
    head = stores.events.head()
    assert (head.seq, head.first_kept) == (8, 6)
    assert numbers(stores, 5) == [6, 7, 8]
    assert numbers(stores, 2) == []
    assert stores.clock.slept == []


def test_trimming_again_finds_nothing(stores: Stores) -> None:
    one_job_a_commit(stores, 2)
    stores.clock.advance(7 * DAY + 100)
    before = stores.clock.now() - timedelta(days=7)
    assert stores.events.trim(before=before, limit=100) == 2
    head = stores.events.head()
    assert stores.events.trim(before=before, limit=100) == 0
    assert stores.events.head() == head
    assert head.first_kept == 3


def test_trimming_goes_as_far_as_its_limit_of_commits(stores: Stores) -> None:
    one_job_a_commit(stores, 2)
    many_jobs(stores, 3)
    stores.clock.advance(7 * DAY + 100)
    before = stores.clock.now() - timedelta(days=7)
    assert stores.events.trim(before=before, limit=2) == 2
    assert stores.events.head().first_kept == 3
    assert numbers(stores, 2) == [3, 4, 5]


def test_trimming_never_touches_what_is_young(stores: Stores) -> None:
    many_jobs(stores, 5)
    assert stores.events.trim(before=stores.clock.now() - timedelta(days=7), limit=100) == 0
    assert stores.events.head().first_kept == 1


def test_a_log_that_expiry_has_emptied_is_trimmed_all_the_same(stores: Stores) -> None:
    """I15, I16: else a reader of long ago would wait for ever instead of hearing of a reset."""
    many_jobs(stores, 3)
    stores.drop_commit(3)
    assert stores.events.trim(before=stores.clock.now() - timedelta(days=7), limit=100) == 0
    assert stores.events.head().first_kept == 4


def test_a_trim_that_died_before_deleting_is_finished_by_the_next(fakes: FakeStores) -> None:
    one_job_a_commit(fake_stores(fakes), 3)
    assert fakes.head is not None
    fakes.head = replace(fakes.head, first_kept=3)
    fakes.clock.sleep(7 * DAY + 100)
    assert fakes.events.trim(before=fakes.clock.now() - timedelta(days=7), limit=2) == 2
    assert fakes.head.first_kept == 3
    assert sorted(fakes.commit_rows) == [3]


def test_expired_events_are_never_read_though_they_still_lie_there(stores: Stores) -> None:
    many_jobs(stores, 3)
    stores.clock.advance(8 * DAY + 10)
    many_jobs_later(stores, 1)
    assert numbers(stores, 0) == []
    assert numbers(stores, 3) == [4]
    assert stores.clock.slept == []


def one_job_a_commit(stores: Stores, count: int) -> None:
    for number in range(count):
        commit(stores, found(a_job(f"alone-job-{number:06d}")))


def many_jobs_later(stores: Stores, count: int) -> None:
    commit(stores, *(found(a_job(f"later-job-{number:06d}")) for number in range(count)))
