"""The status engine under any order of webhooks, polls, crashes and races (I1–I16), and mutants that must be caught."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from shared.adapters.providers.replicate.profile import PROFILE as REPLICATE
from shared.domain.change import JobChange
from shared.domain.change_request import ChangeRequest, RequestedChange
from shared.domain.errors import JobNotFoundError, StaleWrite, StoreUnavailableError
from shared.domain.event import JobDeleted, LogHead, status_event
from shared.domain.job import Job, JobStatus
from shared.domain.observation import Observation, Observed, merge_observations
from shared.domain.totals import day_share, left_share
from shared.services.leases import Leases
from shared.services.providers.provider_settings import ProviderSettings
from shared.services.recording import decide
from shared.services.recording.change_job import ChangeJob
from shared.services.recording.commit_changes import CommitChanges
from shared.services.recording.commit_queued import CommitQueued, Delivered
from shared.services.recording.record_observations import Recorded, RecordObservations
from tests.builders import a_job, an_observation
from tests.fakes.clock import FakeClock
from tests.fakes.doubles import FakeQueue, FakeTelemetry
from tests.fakes.faults import Crash
from tests.fakes.stores import FakeJobStore, FakeStores
from tests.proof import scaled

REMOTE_IDS = [f"remote{number}aaaaaaaa" for number in range(4)]
LOCAL_IDS = [f"local{number}bbbbbbbb" for number in range(3)]
STATUSES = [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, None]
EXAMPLES = scaled(2000)
STEPS = 50

remote_ids = st.sampled_from(REMOTE_IDS)
local_ids = st.sampled_from(LOCAL_IDS)
hints = st.sampled_from([None, None, *LOCAL_IDS])
statuses = st.sampled_from(STATUSES)
ends_without = st.sampled_from(
    [(), (), ("billed_seconds",), ("billed_seconds", "completed_at"), ("billed_seconds", "started_at")]
)
webhook_ids = st.sampled_from([f"msg_{number}" for number in range(12)])


def assert_cost_stays(before: Job, after: Job, now: datetime) -> None:
    """I46: no cost that was shown vanishes; what is billed never falls, and an estimate gives way to it alone."""
    shown = before.cost_at(now)
    if shown is None:
        return
    cost = after.cost_at(now)
    assert cost is not None, "a cost vanished"
    if not after.is_cost_estimated:
        assert before.status is JobStatus.RUNNING or before.is_cost_estimated or cost >= shown
    elif after.started_at and after.completed_at and after.completed_at > after.started_at:
        assert cost == after.cost_until(after.completed_at)
    if before.status.is_terminal and not before.is_cost_estimated:
        assert not after.is_cost_estimated


class StatusMachine(RuleBasedStateMachine):
    """Every rule may crash before or after any write; the invariants hold after each step all the same."""

    store_class: type[FakeJobStore] = FakeJobStore

    def __init__(self) -> None:
        super().__init__()
        random.seed(0)
        self.clock = FakeClock()
        self.stores = FakeStores(self.clock)
        self.jobs = self.store_class(self.stores)
        self.queue = FakeQueue()
        self.recorder = self._recorder(self.queue)
        self.change_job = ChangeJob(
            commit_changes=self.recorder.commit_changes, observations_queue=self.queue, telemetry=FakeTelemetry()
        )
        self.committer = CommitQueued(
            commit_changes=self._commit_changes(),
            texts=self.stores.texts,
            leases=Leases(FakeStores(self.clock).state, self.clock, FakeTelemetry()),
            clock=self.clock,
            telemetry=FakeTelemetry(),
            observations_queue=self.queue,
            profiles={REPLICATE.name: REPLICATE},
        )
        self.first_end: dict[str, JobStatus] = {}
        self.deliveries: dict[str, tuple[str, JobStatus | None, str | None]] = {}
        self.ends_without: tuple[str, ...] = ()
        self.deleted: set[str] = set()
        self.given_up: set[str] = set()
        self.last_known: dict[str, Job] = {}
        self._put_job = self.stores.put_job
        self.stores.put_job = self._note_and_put  # type: ignore[method-assign]

    def _note_and_put(self, job_id: str, job: Job | None) -> None:
        """So that what becomes of a job between two steps is known, too."""
        if job is not None:
            before = self.last_known.get(job_id)
            if before is not None:
                assert_cost_stays(before, job, self.clock.now())
            self.last_known[job_id] = job
        self._put_job(job_id, job)

    def _commit_changes(self) -> CommitChanges:
        settings = ProviderSettings(FakeStores(self.clock).state, self.clock, {REPLICATE.name: REPLICATE}, {})
        return CommitChanges(
            jobs=self.jobs, clock=self.clock, telemetry=FakeTelemetry(), provider_settings=settings, retention=None
        )

    def _recorder(self, overflow: FakeQueue) -> RecordObservations:
        return RecordObservations(
            jobs=self.jobs,
            commit_changes=self._commit_changes(),
            telemetry=FakeTelemetry(),
            observations_queue=overflow,
        )

    def _observation(self, remote_id: str, status: JobStatus | None) -> Observation:
        """An end may lack any of what a cost is made of; webhooks with the same id may do so, too."""
        blank = self.ends_without if status is not None and status.is_terminal else ()
        return an_observation(remote_id, status, observed_at=self.clock.now(), **dict.fromkeys(blank))

    def _request(self, wanted: RequestedChange, job_id: str) -> None:
        with suppress(Crash, JobNotFoundError, StoreUnavailableError):
            self.change_job.run(ChangeRequest(wanted, job_id, self.clock.now()))

    def _record(
        self, looks: Sequence[Observation], delivery_id: str | None = None, hint: str | None = None
    ) -> Recorded | None:
        """None when the process died or the store was down: the caller was not told yes."""
        of = {seen.remote_id: hint for seen in looks} if hint else {}
        with suppress(Crash, StoreUnavailableError):
            return self.recorder.run(looks, of=of, delivery_id=delivery_id)
        return None

    @rule(local_id=local_ids)
    def submit(self, local_id: str) -> None:
        """A job of our own that the provider does not know yet."""
        job = a_job(local_id, JobStatus.PENDING, external_id=None, created_at=self.clock.now())
        with suppress(Crash, StaleWrite, StoreUnavailableError):
            snapshot = self.jobs.snapshot(job_ids=[local_id])
            if local_id not in snapshot.jobs and local_id not in self.deleted:
                new = JobChange(before=None, after=job, events=(status_event(job, None),))
                self.jobs.commit([new], head=snapshot.head, at=self.clock.now())

    @rule(local_id=local_ids)
    def give_up(self, local_id: str) -> None:
        """Only a job that the provider does not know is ours to end (I8)."""
        self.given_up.add(local_id)
        self._request(RequestedChange.END, local_id)

    @rule(job_id=st.one_of(remote_ids, local_ids))
    def accept_cancel(self, job_id: str) -> None:
        self._request(RequestedChange.MARK_CANCEL, job_id)

    @rule(remote_id=remote_ids, status=statuses, webhook_id=webhook_ids, hint=hints)
    def webhook(self, remote_id: str, status: JobStatus | None, webhook_id: str, hint: str | None) -> None:
        """The same id always brings the same body, but may come at any time again."""
        remote_id, status, hint = self.deliveries.setdefault(webhook_id, (remote_id, status, hint))
        before = len(self.stores.logged_events())
        known = webhook_id in self.stores.delivery_rows
        self._record([self._observation(remote_id, status)], webhook_id, hint)
        if known:
            assert len(self.stores.logged_events()) == before, "a webhook id had an effect twice"

    @rule(looks=st.lists(st.tuples(remote_ids, statuses), min_size=1, max_size=8))
    def poll(self, looks: list[tuple[str, JobStatus | None]]) -> None:
        self._record([self._observation(remote_id, status) for remote_id, status in looks])

    @rule(
        looks=st.lists(st.tuples(remote_ids, statuses), min_size=1, max_size=8), between=st.tuples(remote_ids, statuses)
    )
    def poll_ahead(self, looks: list[tuple[str, JobStatus | None]], between: tuple[str, JobStatus | None]) -> None:
        """A poll reads what it decides on while it still writes what it saw before."""
        seen = [self._observation(remote_id, status) for remote_id, status in looks]
        with suppress(Crash, StoreUnavailableError):
            snapshot = self.jobs.snapshot([one.remote_id for one in seen])
            self.recorder.run([self._observation(*between)])
            self.recorder.run(seen, snapshot=snapshot)

    @rule(remote_id=remote_ids, first=statuses, second=statuses, hint=hints)
    def race(self, remote_id: str, first: JobStatus | None, second: JobStatus | None, hint: str | None) -> None:
        """A second writer commits between this one's read and its write."""
        other = self._recorder(FakeQueue())
        looks = [self._observation(remote_id, second)]
        of = {looks[0].remote_id: hint} if hint else {}
        self.stores.before_commit(lambda changes: self._quietly(lambda: other.run(looks, of=of)))
        self._record([self._observation(remote_id, first)])

    @staticmethod
    def _quietly(act: Callable[[], object]) -> None:
        with suppress(Crash, StoreUnavailableError):
            act()

    @rule(remote_id=remote_ids)
    def miss(self, remote_id: str) -> None:
        seen = an_observation(remote_id, None, observed_at=self.clock.now(), found=False)
        self._record([seen])

    @rule(job_id=st.one_of(remote_ids, local_ids))
    def delete(self, job_id: str) -> None:
        self._request(RequestedChange.DELETE, job_id)

    @precondition(lambda self: self.queue.messages)
    @rule(order=st.randoms(use_true_random=False), twice=st.booleans())
    def commit_queue(self, order: random.Random, twice: bool) -> None:
        """The committer sees its batch in any order, at least once."""
        batch = [message for message, _ in self.queue.messages]
        order.shuffle(batch)
        for _ in range(2 if twice else 1):
            with suppress(Crash, StoreUnavailableError):
                kept = self.committer.run([Delivered(body, "") for body in batch])
                self.queue.messages = [(batch[place], 0) for place in kept]

    @rule(blank=ends_without)
    def forget_to_tell(self, blank: tuple[str, ...]) -> None:
        """From now on ends come without these."""
        self.ends_without = blank

    @rule(write=st.integers(1, 3), after=st.booleans())
    def plan_crash(self, write: int, after: bool) -> None:
        (self.stores.faults.crash_after_write if after else self.stores.faults.crash_before_write)(write)

    @rule(call=st.integers(1, 4))
    def plan_throttle(self, call: int) -> None:
        self.stores.faults.throttle_call(call)

    @rule(commits=st.integers(1, 3))
    def plan_conflicts(self, commits: int) -> None:
        self.stores.faults.conflict_on_commit(*range(1, commits + 1))

    @rule(seconds=st.sampled_from([1, 61, 3600, 86_400 * 8]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @invariant()
    def ends_stand(self) -> None:
        """I1, I2, I3; and only what the provider does not know ended by our word (I8)."""
        for job in self.stores.job_rows.values():
            if job.status.is_terminal:
                assert self.first_end.setdefault(job.job_id, job.status) is job.status
                assert job.external_id is not None or job.job_id in self.given_up

    @invariant()
    def log_and_jobs_agree(self) -> None:
        """I10, I11, I12: no gap, old meets new, and folding the log gives the jobs."""
        logged = self.stores.logged_events()
        numbers = [one.seq for one in logged]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) == (self.stores.head.seq if self.stores.head else 0)
        folded: dict[str, JobStatus | None] = {}
        ends: Counter[str] = Counter()
        for event in (one.event for one in logged):
            assert folded.get(event.job_id) is event.previous_status
            if isinstance(event, JobDeleted):
                folded[event.job_id] = None
                self.deleted.add(event.job_id)
                continue
            folded[event.job_id] = event.status
            if event.status.is_terminal:
                ends[event.job_id] += 1
        assert {job_id: status for job_id, status in folded.items() if status} == {
            job.job_id: job.status for job in self.stores.job_rows.values()
        }
        assert all(count == 1 for count in ends.values())

    @invariant()
    def counts_and_totals_agree(self) -> None:
        """I10; what a deleted job has cost stays spent."""
        stored = Counter((job.provider, job.status) for job in self.stores.job_rows.values())
        assert dict(self.stores.head.counts if self.stores.head else {}) == dict(stored)
        expected: dict[tuple[str, object], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
        for job in self.last_known.values():
            share = day_share(job) or (None if job.job_id in self.stores.job_rows else left_share(job))
            if share:
                sums = expected[share.provider, share.day]
                expected[share.provider, share.day] = [
                    total + part
                    for total, part in zip(sums, (share.cost, Decimal(share.jobs), share.seconds), strict=True)
                ]
        kept = {
            key: [row.cost, Decimal(row.jobs), row.seconds]
            for key, row in self.stores.total_rows.items()
            if not row.is_empty
        }
        assert kept == dict(expected)

    @invariant()
    def one_remote_job_is_one_job(self) -> None:
        """I7, and a deleted job stays deleted."""
        owners = Counter(job.external_id for job in self.stores.job_rows.values() if job.external_id)
        assert all(count == 1 for count in owners.values())
        buried = {self.last_known[job_id].external_id for job_id in self.deleted if job_id in self.last_known}
        assert not buried.intersection(owners)
        assert not self.deleted.intersection(self.stores.job_rows)

    @invariant()
    def delivery_ids_have_effects(self) -> None:
        """I33: a delivery id without its effect would swallow the provider's repeat."""
        known = {job.external_id: job for job in self.last_known.values()}
        for webhook_id in self.stores.delivery_rows:
            remote_id, status, _ = self.deliveries[webhook_id]
            assert remote_id in known
            assert status is None or known[remote_id].status.rank >= status.rank


def run(machine: type[StatusMachine], examples: int) -> None:
    options = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        database=None,
    )
    run_state_machine_as_test(seed(20261122)(machine), settings=options)


@pytest.mark.timeout(1800)
def test_no_order_of_anything_breaks_a_promise() -> None:
    run(StatusMachine, EXAMPLES)


class NoVersionCheck(FakeJobStore):
    """A store that forgets to look whether a job was changed meanwhile."""

    def _check(self, plan: Any, head: LogHead, at: datetime) -> None:
        try:
            super()._check(plan, head, at)
        except StaleWrite as stale:
            if stale.head or stale.delivery_ids:
                raise StaleWrite(head=stale.head, delivery_ids=stale.delivery_ids) from None


class TwoWrites(FakeJobStore):
    """Jobs first, everything else in a second write: a crash between them loses the event."""

    def _apply(self, plan: Any, at: datetime) -> None:
        for change in plan.changes:
            version = (change.before.version if change.before else 0) + 1
            self._db.put_job(change.job_id, replace(change.after, version=version) if change.after else None)
        self._db.faults.end_write()
        self._db.faults.begin_write()
        super()._apply(plan, at)


class DeliveriesOutside(FakeJobStore):
    """The delivery id is written before the change it stands for."""

    def commit(
        self, changes: Sequence[JobChange], *, head: LogHead, at: datetime, turn_until: datetime | None = None
    ) -> LogHead:
        with self._db.write("jobs.deliveries"):
            for delivery_id in (delivery_id for change in changes for delivery_id in change.delivery_ids):
                self._db.delivery_rows[delivery_id] = int(at.timestamp()) + 600_000
        without = [replace(change, delivery_ids=()) for change in changes]
        return super().commit(without, head=head, at=at, turn_until=turn_until)


class CountsOutside(FakeJobStore):
    """The counts are written after the change."""

    def _apply(self, plan: Any, at: datetime) -> None:
        assert self._db.head is not None
        before = self._db.head.counts
        super()._apply(plan, at)
        right = self._db.head.counts
        self._db.head = replace(self._db.head, counts=before)
        self._db.faults.end_write()
        self._db.faults.begin_write()
        self._db.head = replace(self._db.head, counts=right)


@pytest.mark.parametrize("store", [NoVersionCheck, TwoWrites, DeliveriesOutside, CountsOutside])
def test_a_broken_store_is_caught(store: type[FakeJobStore]) -> None:
    machine = type(f"Machine{store.__name__}", (StatusMachine,), {"store_class": store})
    with pytest.raises(AssertionError):
        run(machine, 300)


def test_a_merge_without_the_terminal_guard_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def reopening(before: Job, observations: Sequence[Observation], **context: Any) -> Observed:
        """A merge that believes every look."""
        outcome = merge_observations(before, observations, **context)
        last = observations[-1].status
        if before.status.is_terminal and last is not None and last is not before.status:
            job = replace(before, status=last)
            return replace(outcome, job=job)
        return outcome

    monkeypatch.setattr(decide, "merge_observations", reopening)
    machine = type("MachineReopening", (StatusMachine,), {})
    with pytest.raises(AssertionError):
        run(machine, 300)


def test_a_merge_that_makes_no_estimate_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """I46"""

    def forgetting(before: Job, observations: Sequence[Observation], **context: Any) -> Observed:
        outcome = merge_observations(before, observations, **context)
        if outcome.job.is_cost_estimated:
            return replace(outcome, job=replace(outcome.job, cost_usd=None, is_cost_estimated=False))
        return outcome

    monkeypatch.setattr(decide, "merge_observations", forgetting)
    machine = type("MachineForgetting", (StatusMachine,), {})
    with pytest.raises(AssertionError, match="a cost vanished"):
        run(machine, 300)
