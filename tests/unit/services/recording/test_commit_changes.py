"""One loop for whatever can be in the way: another writer, a change that is too large, a store that is down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.change import JobChange
from shared.domain.errors import ChangeTooLargeError
from shared.domain.event import LONGEST_TURN, LogHead
from shared.domain.job import JobStatus
from shared.domain.observation import Report
from shared.services.recording.commit_changes import (
    OWN_TRIES,
    TRIES_WHILE_DOWN,
    TURN,
    CommitChanges,
    Committed,
)
from shared.services.recording.decide import Decision, Group, fold
from shared.wiring import Wiring
from tests.builders import an_observation
from tests.system import System, a_system

NAMES = [f"remote-job-{number:05d}" for number in range(10)]


@pytest.fixture
def system() -> Iterator[System]:
    with a_system() as standing:
        yield standing


def about(*names: str, status: JobStatus = JobStatus.RUNNING) -> list[Group]:
    return fold(Report(an_observation(name, status)) for name in names)


def commit(system: System, groups: Sequence[Group], *, tries: int = OWN_TRIES) -> Committed:
    return system.wiring.use(CommitChanges).run(groups, tries=tries)


def commit_as_committer(system: System, groups: Sequence[Group], *, seconds: float = 10) -> Committed:
    return system.wiring.use(CommitChanges).run_as_committer(groups, seconds=seconds)


def another_writes(system: System, *names: str, status: JobStatus = JobStatus.QUEUED) -> Callable[[object], object]:
    """A second process that commits these just before a commit of ours."""
    other = Wiring(system.wiring.settings, **system.parts).use(CommitChanges)
    return lambda _: other.run(about(*names, status=status), tries=1)


def names_of(decisions: Sequence[Decision]) -> list[str]:
    return [decision.work.remote_id.external_id for decision in decisions if isinstance(decision.work, Group)]


def commits(system: System) -> int:
    return system.stores.usage["jobs.commit"].calls


def test_a_moved_head_costs_one_more_try(system: System) -> None:
    system.stores.before_commit(another_writes(system, "another-job-0001"))
    committed = commit(system, about(*NAMES))
    assert names_of(committed.done) == NAMES
    assert not committed.left
    assert system.stores.events.head().seq == len(NAMES) + 1
    assert system.telemetry.counts["TxRetry"] == 1


def test_while_the_head_moves_at_every_try_all_is_left_with_what_was_decided(system: System) -> None:
    system.stores.faults.conflict_on_commit(*range(1, 100))
    committed = commit(system, about(*NAMES))
    assert commits(system) == OWN_TRIES
    assert not committed.done
    assert names_of(committed.left) == NAMES
    assert all(decision.job is not None and decision.change is not None for decision in committed.left)


def test_a_job_that_another_writer_was_first_with_holds_no_other_up(system: System) -> None:
    commit(system, about(*NAMES, status=JobStatus.QUEUED))
    system.stores.reset_usage()
    system.stores.before_commit(another_writes(system, NAMES[3], status=JobStatus.FAILED))
    committed = commit(system, about(*NAMES, status=JobStatus.COMPLETED))
    assert not committed.left
    statuses = {name: system.stores.job_rows[name].status for name in NAMES}
    assert statuses == dict.fromkeys(NAMES, JobStatus.COMPLETED) | {NAMES[3]: JobStatus.FAILED}
    assert commits(system) == 3, "ours, the other's, and ours without the job that had moved"
    assert system.telemetry.counts["TerminalConflict"] == 1


def test_a_job_that_always_moves_is_left_alone(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(system, about(*NAMES, status=JobStatus.QUEUED))
    real = system.stores.jobs.snapshot

    def outdated(*given: Any, **named: Any) -> Any:
        found = real(*given, **named)
        jobs = {name: job for name, job in found.jobs.items() if name != NAMES[3]}
        claims = {key: claim for key, claim in found.claims.items() if claim.job_id != NAMES[3]}
        return type(found)(found.head, jobs, claims)

    monkeypatch.setattr(system.stores.jobs, "snapshot", outdated)
    committed = commit_as_committer(system, about(*NAMES, status=JobStatus.COMPLETED))
    assert names_of(committed.left) == [NAMES[3]]
    assert len(committed.done) == len(NAMES) - 1


def test_a_change_that_is_too_large_is_left_untried_and_the_others_are_written(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = system.stores.jobs.commit
    tried: list[int] = []

    def refuse(changes: Sequence[JobChange], **how: Any) -> LogHead:
        tried.append(len(changes))
        if any(change.job_id == NAMES[3] for change in changes):
            raise ChangeTooLargeError(NAMES[3], "A transaction holds at most 100 items.")
        return real(changes, **how)

    monkeypatch.setattr(system.stores.jobs, "commit", refuse)
    committed = commit_as_committer(system, about(*NAMES))
    assert names_of(committed.left) == [NAMES[3]]
    assert tried == [len(NAMES), len(NAMES) - 1]
    assert len(system.stores.job_rows) == len(NAMES) - 1


def test_a_store_that_is_down_is_tried_twice_by_anybody(system: System) -> None:
    system.stores.faults.throttle_call(*range(1, 100))
    committed = commit_as_committer(system, about(*NAMES))
    assert names_of(committed.left) == NAMES
    assert all(decision.change is None for decision in committed.left), "nobody could decide"
    assert system.stores.total_usage.calls == TRIES_WHILE_DOWN


def test_a_store_that_goes_down_between_two_transactions_keeps_what_it_took(system: System) -> None:
    names = [f"many-jobs-{number:05d}" for number in range(60)]
    system.stores.faults.throttle_call(4, 5)  # after a snapshot, the prices and one transaction
    committed = commit(system, about(*names))
    done = names_of(committed.done)
    assert 0 < len(done) < len(names)
    assert done + names_of(committed.left) == names
    assert set(system.stores.job_rows) == set(done)


def test_settings_that_cannot_be_read_leave_the_work_undecided(system: System) -> None:
    """A job that is found needs its provider's prices."""
    system.stores.faults.throttle_call(2, 4)
    committed = commit(system, about(NAMES[0]))
    assert names_of(committed.left) == NAMES[:1]
    assert not system.stores.job_rows


def test_a_snapshot_that_was_read_ahead_is_written_on_the_head_of_the_last_transaction(system: System) -> None:
    ahead = system.stores.jobs.snapshot([group.remote_id for group in about(*NAMES[5:])])
    commit(system, about(*NAMES[:5]))
    system.stores.reset_usage()
    committed = system.wiring.use(CommitChanges).run(about(*NAMES[5:]), tries=1, snapshot=ahead)
    assert names_of(committed.done) == NAMES[5:]
    assert commits(system) == 1


def test_each_transaction_follows_on_the_one_before_it_without_a_read(system: System) -> None:
    names = [f"many-jobs-{number:05d}" for number in range(240)]
    committed = commit(system, about(*names))
    assert len(committed.done) == len(names)
    assert system.stores.usage["jobs.snapshot"].calls == 1
    assert not system.telemetry.counts["TxRetry"]


def test_in_the_committers_turn_all_is_decided_and_left_after_one_read(system: System) -> None:
    begin_turn(system, seconds=3)
    committed = commit(system, about(*NAMES))
    assert names_of(committed.left) == NAMES
    assert all(decision.job is not None and decision.change is not None for decision in committed.left)
    assert system.stores.usage["jobs.snapshot"].calls == 1
    assert "jobs.commit" not in system.stores.usage
    assert not system.clock.slept


@pytest.mark.parametrize("seconds", [0, -5, LONGEST_TURN.total_seconds() + 1, 86_400])
def test_a_turn_that_is_over_or_was_written_by_a_clock_that_is_ahead_stops_nobody(
    system: System, seconds: float
) -> None:
    begin_turn(system, seconds=seconds)
    assert names_of(commit(system, about(*NAMES)).done) == NAMES


def test_a_writer_of_many_transactions_stops_where_the_turn_begins(system: System) -> None:
    names = [f"many-jobs-{number:05d}" for number in range(240)]
    other = Wiring(system.wiring.settings, **system.parts).use(CommitChanges)

    def take_over(_: object) -> None:
        begin_turn(system, seconds=3)
        other.run_as_committer(about("another-job-0001"), seconds=1)

    system.stores.before_commit(lambda _: None, times=2)
    system.stores.before_commit(take_over)
    committed = commit(system, about(*names))
    assert 0 < len(committed.done) < len(names)
    assert sorted(names_of([*committed.done, *committed.left])) == names
    assert all(decision.change is not None for decision in committed.left)
    assert commits(system) == 4, "two of ours, the committer's, and the one that collided with it"


def test_nobody_yields_on_what_was_read_long_before_and_all_do_after_one_collision(system: System) -> None:
    ahead = system.stores.jobs.snapshot([group.remote_id for group in about(*NAMES)])
    another_writes(system, "another-job-0001")(None)
    begin_turn(system, seconds=3)
    committed = system.wiring.use(CommitChanges).run(about(*NAMES), tries=OWN_TRIES, snapshot=ahead)
    assert names_of(committed.left) == NAMES
    assert commits(system) == 2, "the other's, and one of ours"


def test_the_committer_prolongs_its_turn_with_each_transaction_and_ends_by_itself(system: System) -> None:
    names = [f"many-jobs-{number:05d}" for number in range(240)]
    system.wiring.use(CommitChanges).run_as_committer(about(*names), seconds=10, is_in_turn=True)
    assert "jobs.take_turn" not in system.stores.usage, "it costs no request of its own"
    assert system.stores.events.head().turn_until == system.clock.now() + TURN
    assert names_of(commit(system, about(*NAMES)).left) == NAMES
    system.clock.advance(TURN.total_seconds())
    assert names_of(commit(system, about(*NAMES)).done) == NAMES


def test_without_a_collision_there_is_no_turn(system: System) -> None:
    commit_as_committer(system, about(*NAMES))
    assert system.stores.events.head().turn_until is None


def begin_turn(system: System, *, seconds: float) -> None:
    system.stores.events.head()
    system.stores.jobs.take_turn(system.clock.now() + timedelta(seconds=seconds))
