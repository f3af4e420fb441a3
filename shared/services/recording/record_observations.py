"""The one way in for truth (docs/design.md, idea 1): merge what was seen, write a change whole or not at all."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from shared.domain.change import Claim, JobChange, RemoteId, Snapshot
from shared.domain.errors import StaleWrite, StoreUnavailableError
from shared.domain.event import LogHead
from shared.domain.job import Job, JobStatus
from shared.domain.metric import Metric
from shared.domain.observation import Observation, first_observed, merge_observations
from shared.ports import Clock, JobStore, Telemetry, WorkQueue
from shared.services.providers.provider_settings import ProviderSettings
from shared.services.recording.messages import encode_observation

OWN_TRIES = 2
COMMITTER_TRIES = 8
CONTENTION_SECONDS = 1.0
CONTENTION_FROM = 8
"""After so many changes within so long that could not get through, single ones go straight to the committer: failed
tries cost as much as good ones, and the committer writes fifty changes at the price of two."""


@dataclass(slots=True)
class Recorded:
    """What became of the observations, by remote job. `jobs` holds each job as it is now, changed or not.

    `queued` were handed to the committer: durable, and as good as recorded, so what was decided about them counts.
    `ignored` were passed over (tombstones, nothing known, past the retention).
    """

    jobs: dict[RemoteId, Job] = field(default_factory=dict)
    created: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    queued: set[RemoteId] = field(default_factory=set)
    ignored: set[RemoteId] = field(default_factory=set)
    is_duplicate: bool = False
    terminal_conflicts: int = 0
    head: LogHead | None = None
    """The log's head after the last transaction of these, None when nothing was written."""

    def note(self, decided: Job) -> None:
        """Count a change; `decided` still has the version that it was decided on, 0 for a new job."""
        self.changed.add(decided.job_id)
        if decided.version == 0:
            self.created.add(decided.job_id)


@dataclass(slots=True)
class Contention:
    """How often other writers were in the way lately, as far as this process saw."""

    _met: deque[float] = field(default_factory=lambda: deque(maxlen=CONTENTION_FROM))

    def met(self, now: float) -> None:
        self._met.append(now)

    def is_likely(self, now: float) -> bool:
        return len(self._met) == CONTENTION_FROM and now - self._met[0] < CONTENTION_SECONDS


@dataclass(frozen=True, slots=True)
class _Group:
    """All observations of one remote job, in the order given, each with the webhook id that brought it."""

    remote_id: RemoteId
    job_id: str | None
    delivered: tuple[tuple[Observation, str | None], ...] = ()

    @property
    def observations(self) -> tuple[Observation, ...]:
        return tuple(seen for seen, _ in self.delivered)

    @property
    def delivery_ids(self) -> tuple[str, ...]:
        return tuple(delivery_id for _, delivery_id in self.delivered if delivery_id is not None)


@dataclass(frozen=True, kw_only=True)
class RecordObservations:
    """Folds observations per job and commits by budget.

    A writer tries its own transaction twice; what still collides goes to `observations_queue`, and for a moment so do
    the single changes that come after it. The committer itself has no such queue: it tries longer and then raises
    StoreUnavailableError, so that its queue keeps the message.
    """

    jobs: JobStore
    clock: Clock
    telemetry: Telemetry
    provider_settings: ProviderSettings
    observations_queue: WorkQueue | None
    retention: timedelta | None
    contention: Contention = field(default_factory=Contention, compare=False)

    def look(self, observations: Sequence[Observation], *, of: Mapping[RemoteId, str] = {}) -> Snapshot:
        """What `run` will decide on, read ahead. Raises StoreUnavailableError."""
        remote_ids = {seen.remote_id: None for seen in observations}
        return self.jobs.snapshot(remote_ids, job_ids=[of[key] for key in remote_ids if key in of])

    def run(
        self,
        observations: Sequence[Observation],
        *,
        of: Mapping[RemoteId, str] = {},
        delivery_ids: Sequence[str | None] = (),
        snapshot: Snapshot | None = None,
        expects_change: bool = True,
    ) -> Recorded:
        """Record observations; `delivery_ids[i]` is the delivery that brought observation i.

        `of` names the job that a remote one was asked for, or is said to be. A delivery id is written exactly when its
        effect is (I33). `snapshot` is an earlier `look` at them: what has moved since is decided anew.
        Without `expects_change` one small read answers for a job that still runs. Raises StoreUnavailableError when
        neither the store nor the queue took them: nothing is lost then, because the caller says so.
        """
        recorded = Recorded()
        pending = _group(observations, of, delivery_ids)
        if not expects_change and len(pending) == 1 and self._is_nothing_new(pending[0], recorded):
            return recorded
        exhausted: list[_Group] = []
        for attempt in range(self._tries):
            if attempt:
                self._pause()
            try:
                pending = self._try_once(pending, recorded, exhausted, snapshot if attempt == 0 else None)
            except StoreUnavailableError:
                if self.observations_queue is None:
                    raise
            if not pending:
                break
        if left := [*pending, *exhausted]:
            self._hand_over(left, recorded)
        return recorded

    def _is_in_the_way(self, changes: int) -> bool:
        return (
            self.observations_queue is not None and changes == 1 and self.contention.is_likely(self.clock.monotonic())
        )

    @property
    def _tries(self) -> int:
        return OWN_TRIES if self.observations_queue is not None else COMMITTER_TRIES

    def _pause(self) -> None:
        self.telemetry.count(Metric.TRANSACTION_RETRY)
        self.clock.sleep(random.uniform(0.02, 0.1))

    def _is_nothing_new(self, group: _Group, recorded: Recorded) -> bool:
        """What changes nothing needs no delivery id."""
        if any(seen.status is not JobStatus.RUNNING for seen in group.observations):
            return False
        try:
            job = self.jobs.get(group.job_id or group.remote_id.external_id)
        except StoreUnavailableError:
            return False
        if job is None or (job.provider, job.external_id) != (group.remote_id.provider, group.remote_id.external_id):
            return False
        outcome = merge_observations(job, group.observations, our_webhook_url=self._our_webhook_url(group))
        if outcome.job != job or outcome.terminal_conflicts or outcome.unknown_statuses:
            return False
        recorded.jobs[group.remote_id] = job
        return True

    def _try_once(
        self, groups: Sequence[_Group], recorded: Recorded, exhausted: list[_Group], snapshot: Snapshot | None
    ) -> list[_Group]:
        """Decide on `snapshot`, else on a fresh one, and commit; returns the groups whose job had moved meanwhile.

        `exhausted` takes those whose transaction met another one at every try.
        """
        if snapshot is None:
            delivery_ids = [delivery_id for group in groups for delivery_id in group.delivery_ids]
            job_ids = [group.job_id for group in groups if group.job_id]
            remote_ids = [group.remote_id for group in groups]
            snapshot = self.jobs.snapshot(remote_ids, job_ids=job_ids, delivery_ids=delivery_ids)
        decided: dict[str, tuple[_Group, JobChange]] = {}
        again: list[_Group] = []
        for given in groups:
            group = _without_known_marks(given, snapshot, recorded)
            if not group.delivered:
                self._tell_known(group, snapshot, recorded)
                continue
            change = self._decide(group, snapshot, recorded)
            if change is None:
                continue
            if change.job_id in decided:
                again.append(group)
            else:
                decided[change.job_id] = (group, change)
        if self._is_in_the_way(len(decided)):
            exhausted.extend(group for group, _ in decided.values())
            return again
        head = snapshot.head
        for batch in self.jobs.batches([change for _, change in decided.values()]):
            head, overtaken, colliding = self._commit(batch, head, recorded)
            again.extend(decided[change.job_id][0] for change in overtaken)
            exhausted.extend(decided[change.job_id][0] for change in colliding)
        return again

    def _commit(
        self, batch: Sequence[JobChange], head: LogHead, recorded: Recorded
    ) -> tuple[LogHead, Sequence[JobChange], Sequence[JobChange]]:
        """Commit a batch; what a stale job or delivery id spoils is taken out and the rest sent again.

        Returns the head, the changes that were taken out, and those that met another writer at every try.
        """
        overtaken: list[JobChange] = []
        for attempt in range(self._tries):
            if attempt:
                self._pause()
                head = self.jobs.snapshot().head
            try:
                head = self.jobs.commit(batch, head=head, at=self.clock.now())
            except StaleWrite as stale:
                spoiled = [
                    c for c in batch if c.job_id in stale.jobs or stale.delivery_ids.intersection(c.delivery_ids)
                ]
                overtaken.extend(spoiled)
                batch = [change for change in batch if change not in spoiled]
                if not batch:
                    break
                continue
            except StoreUnavailableError:
                if self.observations_queue is None:
                    raise
                break
            recorded.head = head
            self._count(batch, recorded)
            return head, overtaken, ()
        self.contention.met(self.clock.monotonic())
        return head, overtaken, batch

    def _count(self, batch: Iterable[JobChange], recorded: Recorded) -> None:
        events = 0
        for change in batch:
            events += len(change.events)
            recorded.changed.add(change.job_id)
            if change.before is None:
                recorded.created.add(change.job_id)
            if change.after is not None and change.after.external_id is not None:
                key = RemoteId(change.after.provider, change.after.external_id)
                recorded.jobs[key] = replace(change.after, version=change.after.version + 1)
        if events:
            self.telemetry.count(Metric.STATUS_CHANGED, events)

    def _decide(self, group: _Group, snapshot: Snapshot, recorded: Recorded) -> JobChange | None:
        claim = snapshot.claims.get(group.remote_id)
        if claim is not None and claim.is_tombstone:
            recorded.ignored.add(group.remote_id)
            return None
        before = self._job_of(group, claim, snapshot)
        if before is None:
            return self._discover(group, claim, snapshot, recorded)
        bound = None
        known = before
        if before.external_id is None:
            known = replace(before, external_id=group.remote_id.external_id, kind=group.observations[0].kind)
            bound = Claim(group.remote_id, before.job_id)
        outcome = merge_observations(known, group.observations, our_webhook_url=self._our_webhook_url(group))
        self._report(outcome.terminal_conflicts, outcome.unknown_statuses, recorded)
        recorded.jobs[group.remote_id] = outcome.job
        if outcome.job == before:
            return None
        return JobChange(
            before=before, after=outcome.job, events=outcome.events, claim=bound, delivery_ids=group.delivery_ids
        )

    def _job_of(self, group: _Group, claim: Claim | None, snapshot: Snapshot) -> Job | None:
        """The job that a remote job is: by its claim, by its own id, or the waiting one that a webhook's URL names."""
        if claim is not None:
            return snapshot.jobs.get(claim.job_id)
        remote_id = group.remote_id
        for job_id in (group.job_id, remote_id.external_id):
            job = snapshot.jobs.get(job_id) if job_id else None
            if job is None or job.provider != remote_id.provider:
                continue
            if job.external_id == remote_id.external_id or (job.external_id is None and job.status.is_active):
                return job
        return None

    def _tell_known(self, group: _Group, snapshot: Snapshot, recorded: Recorded) -> None:
        """A duplicate changes nothing, but its sender learns which job it was about."""
        job = self._job_of(group, snapshot.claims.get(group.remote_id), snapshot)
        if job is not None:
            recorded.jobs[group.remote_id] = job

    def _discover(self, group: _Group, claim: Claim | None, snapshot: Snapshot, recorded: Recorded) -> JobChange | None:
        if claim is not None:
            # A claim without its job is a deletion read halfway; the next look sees the tombstone.
            recorded.ignored.add(group.remote_id)
            return None
        first = group.observations[0]
        outcome = first_observed(
            group.observations,
            self.provider_settings.hardware(first.provider, first.hardware),
            is_id_taken=first.external_id in snapshot.jobs,
            our_webhook_url=self._our_webhook_url(group),
        )
        if outcome is None or self._is_past_retention(outcome.job):
            recorded.ignored.add(group.remote_id)
            return None
        self._report(outcome.terminal_conflicts, outcome.unknown_statuses, recorded)
        recorded.jobs[group.remote_id] = outcome.job
        return JobChange(
            before=None,
            after=outcome.job,
            events=outcome.events,
            claim=Claim(group.remote_id, outcome.job.job_id),
            delivery_ids=group.delivery_ids,
        )

    def _our_webhook_url(self, group: _Group) -> str | None:
        """Asked for only where an observation tells where the provider reports to."""
        is_told = any(seen.webhook_url for seen in group.observations)
        return self.provider_settings.webhook_url(group.remote_id.provider) if is_told else None

    def _is_past_retention(self, job: Job) -> bool:
        if self.retention is None or not job.status.is_terminal:
            return False
        return (job.completed_at or job.created_at) < self.clock.now() - self.retention

    def _report(self, conflicts: int, unknown: int, recorded: Recorded) -> None:
        if conflicts:
            recorded.terminal_conflicts += conflicts
            self.telemetry.count(Metric.TERMINAL_CONFLICT, conflicts)
        if unknown:
            self.telemetry.count(Metric.UNKNOWN_STATUS, unknown)

    def _hand_over(self, groups: Sequence[_Group], recorded: Recorded) -> None:
        if self.observations_queue is None:
            raise StoreUnavailableError("The job store is busy; try again in a moment.")
        self.observations_queue.send(
            [encode_observation(*each, group.job_id) for group in groups for each in group.delivered]
        )
        for key in (group.remote_id for group in groups):
            recorded.queued.add(key)
            if key in recorded.jobs:
                recorded.note(recorded.jobs[key])
        self.telemetry.count(Metric.OBSERVATIONS_QUEUED, sum(len(group.observations) for group in groups))


def _group(
    observations: Sequence[Observation], of: Mapping[RemoteId, str], delivery_ids: Sequence[str | None]
) -> list[_Group]:
    """One group a remote job; observations with the same delivery id twice are one."""
    groups: dict[RemoteId, _Group] = {}
    padded = [*delivery_ids, *([None] * (len(observations) - len(delivery_ids)))]
    for seen, delivery_id in zip(observations, padded, strict=True):
        remote_id = seen.remote_id
        group = groups.get(remote_id) or _Group(remote_id, of.get(remote_id))
        if delivery_id is None or delivery_id not in group.delivery_ids:
            groups[remote_id] = replace(group, delivered=(*group.delivered, (seen, delivery_id)))
    return list(groups.values())


def _without_known_marks(group: _Group, snapshot: Snapshot, recorded: Recorded) -> _Group:
    """A webhook id that has had its effect has none again (I33)."""
    fresh = tuple(each for each in group.delivered if each[1] not in snapshot.delivery_ids)
    if len(fresh) < len(group.delivered):
        recorded.is_duplicate = True
    return replace(group, delivered=fresh)
