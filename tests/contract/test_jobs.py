"""What every job store promises: guards, atomicity, counts, totals, claims, delivery ids, indexes, snapshots."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from shared.adapters.providers.replicate.profile import TRAINING
from shared.domain import state_keys
from shared.domain.change import Claim, JobChange, RemoteId, Snapshot
from shared.domain.errors import ChangeTooLargeError, StaleWrite
from shared.domain.event import JobDeleted, LogHead
from shared.domain.job import Absence, Job, JobStatus, Transition
from tests.builders import a_job
from tests.contract.changes import commit, deleted, edited, found, key_of, known, many_jobs, moved, stored
from tests.contract.conftest import Stores

NO_SUCH_VERSION = 41

Reasons = tuple[tuple[str, ...], bool, tuple[str, ...]]
HEAD_MOVED: Reasons = ((), True, ())


def reasons_of(stale: StaleWrite) -> Reasons:
    """Job ids, whether the head, delivery ids."""
    return tuple(sorted(stale.jobs)), stale.head, tuple(sorted(stale.delivery_ids))


def refused(stores: Stores, *changes: JobChange, head: LogHead | None = None) -> StaleWrite:
    with pytest.raises(StaleWrite) as caught:
        stores.jobs.commit(changes, head=head or stores.jobs.snapshot().head, at=stores.clock.now())
    return caught.value


def everything(stores: Stores, *job_ids: str, delivery_ids: tuple[str, ...] = ()) -> tuple[object, ...]:
    """All that a commit can change."""
    now = stores.clock.now()
    keys = [RemoteId("replicate", job_id) for job_id in job_ids]
    totals = stores.jobs.day_totals("replicate", now - timedelta(days=2), now + timedelta(days=2))
    return stores.jobs.snapshot(keys, job_ids=job_ids, delivery_ids=delivery_ids), stores.events.read(0, 100), totals


def a_full_job(stores: Stores) -> Job:
    """A job with every field set."""
    now = stores.clock.now() + timedelta(microseconds=123_457)
    return a_job(
        "full-job_0123456789abcdef",
        JobStatus.FAILED,
        created_at=now,
        kind=TRAINING,
        job_type="local",
        config_name="flux ✓",
        queued_at=now + timedelta(seconds=1),
        started_at=now + timedelta(seconds=2),
        completed_at=now + timedelta(seconds=3),
        billed_seconds=Decimal("1.123456789"),
        cost_usd=Decimal("0.001713"),
        error_message="CUDA out of memory",
        output_url="https://example.com/o.tar",
        user_id="ada",
        model="simpletuner/advanced-trainer-h100",
        provider_status="failed",
        webhook_covered=True,
        cancel_requested_at=now + timedelta(seconds=2, microseconds=1),
        absence=Absence(3, now, now + timedelta(seconds=1), now + timedelta(seconds=2)),
        metadata={"run_name": "münchen", "nested": {"a": [1, 2.5, None, True]}},
        transitions=(Transition(JobStatus.QUEUED, now), Transition(JobStatus.FAILED, now + timedelta(seconds=3))),
    )


def test_a_new_job_comes_back_with_every_field_and_version_one(stores: Stores) -> None:
    job = a_full_job(stores)
    assert stored(stores, job) == replace(job, version=1)


def test_each_write_raises_the_version_by_one(stores: Stores) -> None:
    job = stored(stores, a_job())
    commit(stores, edited(job, model="m"))
    assert known(stores, job.job_id).version == 2


def test_an_unknown_job_is_none(stores: Stores) -> None:
    assert stores.jobs.get("nobody-knows-this") is None


def test_many_jobs_are_read_whatever_their_number_and_missing_ones_are_absent(stores: Stores) -> None:
    jobs = many_jobs(stores, 130)
    wanted = [*(job.job_id for job in jobs), "missing-job-id", jobs[0].job_id]
    assert set(stores.jobs.get_many(wanted)) == {job.job_id for job in jobs}
    assert stores.jobs.get_many([]) == {}


def test_a_moved_version_names_the_job_and_nothing_else(stores: Stores) -> None:
    job = stored(stores, a_job())
    stale = refused(stores, moved(replace(job, version=NO_SUCH_VERSION), JobStatus.RUNNING, stores.clock.now()))
    assert reasons_of(stale) == ((job.job_id,), False, ())


def test_a_new_job_never_overwrites_a_stored_one(stores: Stores) -> None:
    job = stored(stores, a_job())
    stale = refused(stores, JobChange(before=None, after=replace(job, model="other")))
    assert stale.jobs == {job.job_id}
    assert known(stores, job.job_id) == job


def test_a_change_of_a_deleted_job_names_it(stores: Stores) -> None:
    job = stored(stores, a_job(status=JobStatus.COMPLETED))
    commit(stores, deleted(job, stores.clock.now()))
    assert refused(stores, edited(job, model="late")).jobs == {job.job_id}


def test_a_moved_head_is_told_as_such(stores: Stores) -> None:
    head = stores.jobs.snapshot().head
    stored(stores, a_job())
    stale = refused(stores, found(a_job("another-job-0001")), head=head)
    assert reasons_of(stale) == HEAD_MOVED


def test_a_head_of_another_epoch_is_stale(stores: Stores) -> None:
    head = stores.jobs.snapshot().head
    assert refused(stores, found(a_job()), head=replace(head, epoch="elsewhere")).head


def test_a_taken_claim_names_the_job_that_wanted_it(stores: Stores) -> None:
    stored(stores, a_job("first-job-000001"))
    second = a_job("second-job-00001", external_id="first-job-000001")
    stale = refused(stores, found(second))
    assert reasons_of(stale) == ((second.job_id,), False, ())


def test_a_known_delivery_id_is_named_and_nothing_else(stores: Stores) -> None:
    commit(stores, found(a_job("first-job-000001"), delivery_ids=["msg_1"]))
    stale = refused(stores, found(a_job("second-job-00001"), delivery_ids=["msg_1", "msg_2"]))
    assert reasons_of(stale) == ((), False, ("msg_1",))


def test_all_reasons_are_told_at_once(stores: Stores) -> None:
    job = stored(stores, a_job())
    head = stores.jobs.snapshot().head
    commit(stores, found(a_job("another-job-0001"), delivery_ids=["msg_1"]))
    change = moved(replace(job, version=NO_SUCH_VERSION), JobStatus.RUNNING, stores.clock.now(), delivery_ids=["msg_1"])
    stale = refused(stores, change, head=head)
    assert reasons_of(stale) == ((job.job_id,), True, ("msg_1",))


@pytest.mark.parametrize("reason", ["version", "claim", "delivery", "head"])
def test_a_refused_commit_writes_nothing_at_all(stores: Stores, reason: str) -> None:
    job = stored(stores, a_job("first-job-000001", JobStatus.RUNNING))
    commit(stores, found(a_job("known-job-000001"), delivery_ids=["msg_1"]))
    head = stores.jobs.snapshot().head
    ended = moved(job, JobStatus.COMPLETED, stores.clock.now(), cost_usd=Decimal(2), completed_at=stores.clock.now())
    spoiled = {
        "version": found(replace(a_job("known-job-000001"), external_id=None)),
        "claim": found(a_job("second-job-00001", external_id="first-job-000001")),
        "delivery": found(a_job("second-job-00001"), delivery_ids=["msg_1"]),
        "head": found(a_job("second-job-00001")),
    }[reason]
    names = ("first-job-000001", "second-job-00001", "known-job-000001")
    before = everything(stores, *names, delivery_ids=("msg_1", "msg_2"))
    ended = replace(ended, delivery_ids=("msg_2",))
    refused(stores, ended, spoiled, head=replace(head, seq=head.seq - 1) if reason == "head" else head)
    assert everything(stores, *names, delivery_ids=("msg_1", "msg_2")) == before


def test_counts_follow_every_change(stores: Stores) -> None:
    first = stored(stores, a_job("first-job-000001"))
    stored(stores, a_job("second-job-00001"))
    stored(stores, a_job("other-job-000001", provider="elsewhere"))
    commit(stores, moved(first, JobStatus.RUNNING, stores.clock.now()))
    assert stores.events.head().counts == {
        ("replicate", JobStatus.QUEUED): 1,
        ("replicate", JobStatus.RUNNING): 1,
        ("elsewhere", JobStatus.QUEUED): 1,
    }
    commit(stores, moved(known(stores, first.job_id), JobStatus.FAILED, stores.clock.now()))
    commit(stores, deleted(known(stores, first.job_id), stores.clock.now()))
    assert stores.jobs.snapshot().head.counts == {
        ("replicate", JobStatus.QUEUED): 1,
        ("elsewhere", JobStatus.QUEUED): 1,
    }


def test_two_moves_of_opposite_kind_in_one_commit_leave_the_counts(stores: Stores) -> None:
    job = stored(stores, a_job("first-job-000001"))
    head = stores.jobs.snapshot().head
    running = a_job("second-job-00001")
    commit(stores, moved(job, JobStatus.RUNNING, stores.clock.now()), found(running))
    assert stores.events.head().counts == {**head.counts, ("replicate", JobStatus.RUNNING): 1}


def test_the_returned_head_serves_the_next_commit(stores: Stores) -> None:
    head = stores.jobs.snapshot().head
    for number in range(3):
        head = stores.jobs.commit([found(a_job(f"job-number-{number:05d}"))], head=head, at=stores.clock.now())
    assert head == stores.events.head()
    assert head.seq == 3


def test_a_change_without_events_needs_no_fresh_head(stores: Stores) -> None:
    old_head = stores.jobs.snapshot().head
    job = stored(stores, a_job())
    assert stores.jobs.commit([edited(job, model="m")], head=old_head, at=stores.clock.now()) == old_head
    assert stores.events.head().seq == 1


def test_several_events_of_one_change_follow_each_other(stores: Stores) -> None:
    job = a_job()
    change = found(job)
    commit(stores, replace(change, events=change.events * 3), found(a_job("another-job-0001")))
    assert [(row.seq, row.event.job_id) for row in stores.events.read(0, 10)] == [
        (1, job.job_id),
        (2, job.job_id),
        (3, job.job_id),
        (4, "another-job-0001"),
    ]


def test_an_end_adds_to_its_day_and_a_later_known_cost_adds_the_difference(stores: Stores) -> None:
    now = stores.clock.now()
    started = now - timedelta(seconds=90)
    job = stored(stores, a_job(status=JobStatus.RUNNING, started_at=started))
    commit(stores, moved(job, JobStatus.COMPLETED, now, completed_at=now))
    commit(stores, edited(known(stores, job.job_id), cost_usd=Decimal("1.25")))
    [total] = stores.jobs.day_totals("replicate", now, now)
    assert (total.provider, total.day, total.cost, total.jobs) == ("replicate", now.date(), Decimal("1.25"), 1)
    assert total.seconds == Decimal(90)


def test_totals_of_jobs_that_end_in_one_commit_add_up_and_a_deletion_takes_nothing(stores: Stores) -> None:
    now = stores.clock.now()
    ended = [
        a_job(f"ended-job-{number:05d}", JobStatus.COMPLETED, completed_at=now, cost_usd=Decimal("0.1"))
        for number in range(3)
    ]
    commit(stores, *(found(job) for job in ended))
    commit(stores, deleted(known(stores, ended[0].job_id), now))
    [total] = stores.jobs.day_totals("replicate", now, now)
    assert (total.cost, total.jobs) == (Decimal("0.3"), 3)


def test_totals_are_listed_by_day_and_days_without_any_are_left_out(stores: Stores) -> None:
    now = stores.clock.now()
    for days in (0, 3, 130, 131):
        moment = now - timedelta(days=days)
        job = a_job(f"ended-job-{days:05d}", JobStatus.COMPLETED, completed_at=moment, cost_usd=Decimal(1))
        commit(stores, found(job))
    listed = [total.day for total in stores.jobs.day_totals("replicate", now - timedelta(days=130), now)]
    expected: list[date] = [(now - timedelta(days=days)).date() for days in (130, 3, 0)]
    assert listed == expected
    assert stores.jobs.day_totals("elsewhere", now, now) == ()
    assert stores.jobs.day_totals("replicate", now, now - timedelta(days=1)) == ()


def test_a_deletion_leaves_a_tombstone_that_no_claim_overwrites(stores: Stores) -> None:
    job = stored(stores, a_job(status=JobStatus.COMPLETED))
    commit(stores, deleted(job, stores.clock.now()))
    snapshot = stores.jobs.snapshot([key_of(job)])
    assert snapshot.claims == {key_of(job): Claim(key_of(job), job.job_id, is_tombstone=True)}
    assert snapshot.jobs == {}
    assert refused(stores, found(job)).jobs == {job.job_id}
    assert isinstance(stores.events.read(1, 10)[0].event, JobDeleted)


def test_an_expired_tombstone_counts_as_absent_though_it_still_lies_there(stores: Stores) -> None:
    job = stored(stores, a_job(status=JobStatus.COMPLETED))
    commit(stores, deleted(job, stores.clock.now()))
    stores.clock.advance(timedelta(days=400).total_seconds() + 1)
    assert stores.jobs.snapshot([key_of(job)]).claims == {}
    assert stored(stores, job).version == 1
    claim = stores.jobs.snapshot([key_of(job)]).claims[key_of(job)]
    assert not claim.is_tombstone


def test_a_job_without_a_remote_job_leaves_no_tombstone(stores: Stores) -> None:
    job = stored(stores, a_job(external_id=None, status=JobStatus.CANCELLED))
    commit(stores, deleted(job, stores.clock.now()))
    assert stores.jobs.snapshot([RemoteId("replicate", job.job_id)]).claims == {}


def test_a_deletion_never_buries_the_claim_of_another_job(stores: Stores) -> None:
    owner = stored(stores, a_job("owner-job-000001"))
    other = a_job("other-job-000001", JobStatus.FAILED, external_id=owner.external_id)
    commit(stores, JobChange(before=None, after=other))
    assert refused(stores, deleted(known(stores, other.job_id), stores.clock.now())).jobs == {other.job_id}


def test_a_waiting_job_binds_to_its_remote_job_once(stores: Stores) -> None:
    job = stored(stores, a_job(external_id=None))
    key = RemoteId("replicate", "remote-job-00001")
    change = replace(edited(job, external_id=key.external_id), claim=Claim(key, job.job_id))
    commit(stores, change)
    snapshot = stores.jobs.snapshot([key])
    assert snapshot.claims[key].job_id == job.job_id
    assert snapshot.jobs[job.job_id].external_id == key.external_id
    assert refused(stores, change).jobs == {job.job_id}


def test_a_delivery_id_is_seen_for_seven_days_and_then_free_though_it_still_lies_there(stores: Stores) -> None:
    job = a_job()
    commit(stores, found(job, delivery_ids=["msg_1"]))
    stores.clock.advance(timedelta(days=7).total_seconds() - 1)
    assert stores.jobs.snapshot(delivery_ids=["msg_1", "msg_2"]).delivery_ids == {"msg_1"}
    stores.clock.advance(3)
    assert stores.jobs.snapshot(delivery_ids=["msg_1"]).delivery_ids == frozenset()
    commit(stores, moved(known(stores, job.job_id), JobStatus.RUNNING, stores.clock.now(), delivery_ids=["msg_1"]))
    assert stores.jobs.snapshot(delivery_ids=["msg_1"]).delivery_ids == {"msg_1"}


def test_the_same_delivery_id_on_two_changes_is_one(stores: Stores) -> None:
    commit(
        stores,
        found(a_job("first-job-000001"), delivery_ids=["m", "m"]),
        found(a_job("second-job-00001"), delivery_ids=["m"]),
    )
    assert stores.jobs.snapshot(delivery_ids=["m"]).delivery_ids == {"m"}


def test_one_job_or_one_remote_job_twice_in_a_commit_is_a_mistake(stores: Stores) -> None:
    job = stored(stores, a_job())
    head = stores.jobs.snapshot().head
    now = stores.clock.now()
    twins = [found(a_job("twin-job-0000001", external_id="r")), found(a_job("twin-job-0000002", external_id="r"))]
    for changes in ([edited(job, model="a"), edited(job, model="b")], twins):
        with pytest.raises(ValueError, match="twice"):
            stores.jobs.commit(changes, head=head, at=now)


def test_a_hundred_items_are_one_commit_and_more_are_a_mistake(stores: Stores) -> None:
    jobs = [stored(stores, a_job("first-job-000001"))]
    jobs += many_jobs(stores, 48)
    changes = [
        moved(replace(job, version=1), JobStatus.RUNNING, stores.clock.now(), delivery_ids=[f"msg_{job.job_id}"])
        for job in jobs
    ]
    assert commit(stores, *changes).seq == 98
    again = [
        moved(
            known(stores, change.job_id), JobStatus.COMPLETED, stores.clock.now(), delivery_ids=[f"end_{change.job_id}"]
        )
        for change in changes
    ]
    with pytest.raises(ChangeTooLargeError, match="100 items"):
        commit(stores, *again)


def test_pages_list_each_of_a_thousand_jobs_once_newest_first(stores: Stores) -> None:
    jobs = many_jobs(stores, 1_050, external_id=None)
    seen: list[str] = []
    after = None
    while True:
        page = stores.jobs.page(status=None, after=after, limit=500)
        seen += [job_id for job_id, _ in page.entries]
        if page.next_key is None:
            break
        after = page.next_key
    assert seen == [job.job_id for job in reversed(jobs)]


def test_jobs_of_one_moment_are_all_listed(stores: Stores) -> None:
    now = stores.clock.now()
    commit(stores, *(found(a_job(f"same-time-{number:05d}", created_at=now)) for number in range(5)))
    first = stores.jobs.page(status=None, after=None, limit=3)
    second = stores.jobs.page(status=None, after=first.next_key, limit=3)
    assert len({job_id for job_id, _ in (*first.entries, *second.entries)}) == 5
    assert second.next_key is None


def test_a_page_that_is_just_full_is_the_last(stores: Stores) -> None:
    many_jobs(stores, 3)
    assert stores.jobs.page(status=None, after=None, limit=3).next_key is None
    assert stores.jobs.page(status=None, after=None, limit=2).next_key is not None


def test_a_status_page_follows_the_job(stores: Stores) -> None:
    jobs = many_jobs(stores, 3)
    commit(stores, moved(known(stores, jobs[1].job_id), JobStatus.RUNNING, stores.clock.now()))
    queued = stores.jobs.page(status=JobStatus.QUEUED, after=None, limit=10)
    running = stores.jobs.page(status=JobStatus.RUNNING, after=None, limit=10)
    assert [job_id for job_id, _ in queued.entries] == [jobs[2].job_id, jobs[0].job_id]
    assert [job_id for job_id, _ in running.entries] == [jobs[1].job_id]


def test_a_prefix_finds_its_jobs_up_to_the_limit(stores: Stores) -> None:
    for job_id in ("abcdefgh1111", "abcdefgh1222", "abcdefgh2000", "abcdefgX0000"):
        stored(stores, a_job(job_id))
    assert stores.jobs.ids_with_prefix("abcdefgh", 5) == ("abcdefgh1111", "abcdefgh1222", "abcdefgh2000")
    assert stores.jobs.ids_with_prefix("abcdefgh1", 5) == ("abcdefgh1111", "abcdefgh1222")
    assert stores.jobs.ids_with_prefix("abcdefgh", 2) == ("abcdefgh1111", "abcdefgh1222")
    assert stores.jobs.ids_with_prefix("abcdefg", 5) == ()
    assert stores.jobs.ids_with_prefix("zzzzzzzzzz", 5) == ()


def test_active_jobs_come_oldest_first_of_one_provider_only(stores: Stores) -> None:
    now = stores.clock.now()
    statuses = [JobStatus.RUNNING, JobStatus.PENDING, JobStatus.COMPLETED, JobStatus.QUEUED, JobStatus.UPLOADING]
    for number, status in enumerate(statuses):
        stored(stores, a_job(f"active-job-{number:04d}", status, created_at=now + timedelta(seconds=number)))
    stored(stores, a_job("foreign-job-0001", provider="elsewhere"))
    found_jobs = stores.jobs.active("replicate")
    assert [job.job_id for job in found_jobs] == [f"active-job-{number:04d}" for number in (0, 1, 3, 4)]
    assert [job.status for job in found_jobs] == [statuses[number] for number in (0, 1, 3, 4)]


def test_an_active_job_is_told_whole(stores: Stores) -> None:
    now = stores.clock.now()
    job = a_job(
        created_at=now,
        kind=TRAINING,
        webhook_covered=True,
        absence=Absence(misses=3, last_miss_at=now, lost_at=now),
    )
    known = stored(stores, job)
    waiting = stored(stores, a_job("waiting-job-0001", external_id=None, created_at=now + timedelta(seconds=1)))
    assert stores.jobs.active("replicate") == (known, waiting)


def test_all_of_many_active_jobs_are_told(stores: Stores) -> None:
    jobs = many_jobs(stores, 150, JobStatus.RUNNING)
    assert [job.job_id for job in stores.jobs.active("replicate")] == [job.job_id for job in jobs]


def test_a_snapshot_of_many_keys_holds_every_job_and_claim(stores: Stores) -> None:
    jobs = many_jobs(stores, 120)
    keys = [key_of(job) for job in jobs]
    snapshot = stores.jobs.snapshot([*keys, RemoteId("replicate", "unknown-job-0001")], delivery_ids=["none"])
    assert set(snapshot.claims) == set(keys)
    assert set(snapshot.jobs) == {job.job_id for job in jobs}
    assert snapshot.head == stores.events.head()


def test_a_snapshot_follows_a_claim_to_a_job_of_another_id(stores: Stores) -> None:
    job = stored(stores, a_job("our-own-id-00001", external_id="remote-job-00001"))
    snapshot = stores.jobs.snapshot([key_of(job)])
    assert snapshot.claims[key_of(job)].job_id == job.job_id
    assert snapshot.jobs[job.job_id] == job


def test_a_claimed_job_that_is_named_is_read_at_once(stores: Stores) -> None:
    job = stored(stores, a_job("our-own-id-00001", external_id="remote-job-00001"))
    snapshot = stores.jobs.snapshot([key_of(job)], job_ids=[job.job_id])
    assert snapshot.claims == {key_of(job): Claim(key_of(job), job.job_id)}
    assert snapshot.jobs == {job.job_id: job}


def test_another_job_that_is_named_never_hides_the_claim(stores: Stores) -> None:
    job = stored(stores, a_job("our-own-id-00001", external_id="remote-job-00001"))
    wrong = stored(stores, a_job("another-job-0001"))
    snapshot = stores.jobs.snapshot([key_of(job)], job_ids=[wrong.job_id])
    assert snapshot.claims[key_of(job)].job_id == job.job_id
    assert set(snapshot.jobs) == {job.job_id, wrong.job_id}


def test_naming_a_job_that_was_deleted_meets_the_tombstone(stores: Stores) -> None:
    job = stored(stores, a_job("our-own-id-00001", JobStatus.FAILED, external_id="remote-job-00001"))
    commit(stores, deleted(job, stores.clock.now()))
    assert stores.jobs.snapshot([key_of(job)], job_ids=[job.job_id]).claims[key_of(job)].is_tombstone


def test_jobs_are_read_by_id_in_a_snapshot_too(stores: Stores) -> None:
    job = stored(stores, a_job())
    assert stores.jobs.snapshot(job_ids=[job.job_id, "missing-job-0001"]).jobs == {job.job_id: job}


def requests_of(stores: Stores, *remote_ids: RemoteId, job_ids: Collection[str] = ()) -> int:
    before = stores.count_requests()
    stores.jobs.snapshot(remote_ids, job_ids=job_ids)
    return stores.count_requests() - before


def test_a_snapshot_costs_one_request_and_a_second_only_for_jobs_of_another_id(stores: Stores) -> None:
    jobs = [stored(stores, a_job(f"own-id-{number:09d}", external_id=f"remote-{number:09d}")) for number in range(50)]
    imported = stored(stores, a_job())
    assert requests_of(stores) == 1
    assert requests_of(stores, key_of(imported)) == 1
    assert requests_of(stores, *map(key_of, jobs[:30]), job_ids=[job.job_id for job in jobs[:30]]) == 1
    assert requests_of(stores, key_of(jobs[0]), key_of(jobs[1])) == 2
    assert requests_of(stores, *(key_of(job) for job in jobs)) == 3


def test_eight_that_begin_a_log_agree_on_its_epoch(stores: Stores) -> None:
    gate = threading.Barrier(8)

    def begin(number: int) -> Snapshot:
        gate.wait()
        return stores.jobs.snapshot() if number % 2 else Snapshot(stores.events.head())

    with ThreadPoolExecutor(8) as pool:
        heads = {snapshot.head.epoch for snapshot in pool.map(begin, range(8))}
    assert len(heads) == 1


@pytest.mark.parametrize("changes_each", [6, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.timeout(1200)
def test_eight_writers_leave_no_gap_and_true_counts(stores: Stores, changes_each: int) -> None:
    """I11 and I10 under contention: every writer tries until its change is in."""
    reasons: list[Reasons] = []

    def write(writer: int) -> None:
        for number in range(changes_each):
            change = found(a_job(f"writer-{writer}-job-{number:04d}"))
            while True:
                try:
                    commit(stores, change)
                    break
                except StaleWrite as stale:
                    reasons.append(reasons_of(stale))
                    time.sleep(random.uniform(0, 0.05))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert set(reasons) <= {HEAD_MOVED}
    events = stores.events.read(0, 8 * changes_each + 1)
    assert [row.seq for row in events] == list(range(1, 8 * changes_each + 1))
    assert len({row.event.job_id for row in events}) == 8 * changes_each
    assert stores.events.head().counts == {("replicate", JobStatus.QUEUED): 8 * changes_each}


def test_a_turn_is_told_by_the_head_until_a_later_one(stores: Stores) -> None:
    job = stored(stores, a_job())
    assert stores.jobs.snapshot().head.turn_until is None
    until = stores.clock.now() + timedelta(seconds=3)
    stores.jobs.take_turn(until)
    assert stores.jobs.snapshot().head == replace(stores.events.head(), turn_until=until)
    change = moved(job, JobStatus.RUNNING, stores.clock.now())
    head = stores.jobs.commit([change], head=stores.jobs.snapshot().head, at=stores.clock.now())
    assert head == stores.events.head(), "who commits without a turn leaves the committer's as it is"
    assert head.turn_until == until
    later = until + timedelta(seconds=1)
    ended = moved(known(stores, job.job_id), JobStatus.COMPLETED, stores.clock.now())
    head = stores.jobs.commit([ended], head=head, at=stores.clock.now(), turn_until=later)
    assert head == stores.events.head()
    assert head.turn_until == later


def test_a_turn_begins_no_log(stores: Stores) -> None:
    with pytest.raises(StaleWrite):
        stores.jobs.take_turn(stores.clock.now())
    assert stores.events.head().seq == 0


def test_a_commit_on_a_head_that_was_read_before_the_turn_stands(stores: Stores) -> None:
    job = stored(stores, a_job())
    head = stores.jobs.snapshot().head
    stores.jobs.take_turn(stores.clock.now() + timedelta(seconds=3))
    change = moved(job, JobStatus.RUNNING, stores.clock.now())
    stores.jobs.commit([change], head=head, at=stores.clock.now())
    assert stores.events.head().seq == 2


def test_a_snapshot_brings_items_of_the_state_store_in_the_same_request(stores: Stores) -> None:
    key, absent = state_keys.provider_config("replicate"), state_keys.provider_config("elsewhere")
    stores.state.put(key, {"webhook_url": "https://example.com"}, now=stores.clock.now())
    stores.jobs.snapshot()
    before = stores.count_requests()
    snapshot = stores.jobs.snapshot([RemoteId("replicate", "abc123def456")], state=[key, absent])
    assert stores.count_requests() == before + 1
    assert {name: item.value for name, item in snapshot.state.items()} == {key: {"webhook_url": "https://example.com"}}
