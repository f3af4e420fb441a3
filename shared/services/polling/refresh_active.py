"""Look at every active job of a provider with as few calls as possible: lists first, then single requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.domain.change import RemoteId, Snapshot
from shared.domain.errors import (
    ProviderError,
    ProviderJobNotFoundError,
    ProviderNotConfiguredError,
    ProviderThrottledError,
    ProviderTokenRejectedError,
    ProviderUnavailableError,
    StoreUnavailableError,
)
from shared.domain.event import LogHead
from shared.domain.job import ActiveJob, Job, to_iso
from shared.domain.metric import Metric
from shared.domain.observation import Observation, is_too_soon
from shared.ports import Clock, JobStore, Provider, Telemetry
from shared.services.recording.record_observations import Recorded, RecordObservations

SINGLES_AT_ONCE = 8
FRUITLESS_PAGES = 3
RECORD_EVERY = 240
"""Observations recorded together: five full transactions, written while the next pages are read."""
BATCHES_AHEAD = 2
"""How far reading may run ahead of writing, so that a round's time stays bounded by what is written."""
KEPT_IDS = 1500
"""How many ids a place holds; with the rest of it some 50 kB."""
CLOCK_SKEW = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a round that ran out of time goes on.

    In the lists: at `page` of `kind`'s list, where the jobs created after `horizon` have been dealt with. In the
    single requests: with the external ids `singles`, then with every job whose order comes after `rest_after`.
    """

    kind: str | None = None
    page: str | None = None
    horizon: datetime | None = None
    singles: tuple[str, ...] = ()
    rest_after: str | None = None


START = Place()


@dataclass(slots=True)
class Refreshed:
    """`observed` are the jobs as they are now, by job id; `unseen` the external ids that were not looked at.

    `error` is why some were not, `failed` the ids whose own request failed, `place` where to go on, None when the
    round has ended.
    """

    active: int = 0
    observed: dict[str, Job] = field(default_factory=dict)
    unseen: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    failed: tuple[str, ...] = ()
    place: Place | None = None
    error: ProviderError | None = None

    @property
    def is_complete(self) -> bool:
        return not self.unseen and self.error is None


@dataclass(frozen=True, kw_only=True)
class RefreshActive:
    """One round over the active jobs. A job that is queued here and not yet known to the provider is not asked for."""

    jobs: JobStore
    record_observations: RecordObservations
    clock: Clock
    telemetry: Telemetry

    def run(self, provider: Provider, *, budget_seconds: float, place: Place = START) -> Refreshed:
        """Look at every active job that `place` leaves to do, until the time is used up.

        No call begins after `budget_seconds`. A failing job or list never stops another; a provider that throttles,
        refuses the token or is down ends the round with what was read recorded (I28, I29).
        """
        deadline = self.clock.monotonic() + budget_seconds
        now = self.clock.now()
        kinds = provider.profile.kinds
        if place.kind is not None and place.kind not in kinds:
            place = START
        active = [job for job in self.jobs.active(provider.name) if job.external_id and _is_due(job, now)]
        pending = {str(job.external_id): job for job in active if _is_left(job, place, kinds)}
        wanted = len(pending)
        of = {RemoteId(job.provider, external_id): job.job_id for external_id, job in pending.items()}
        with ThreadPoolExecutor(1) as writer:
            round_ = _Round(provider, self.record_observations, writer, self.clock, deadline, pending, of)
            round_.result.active = len(active)
            if wanted:
                try:
                    round_.read_lists(place)
                    round_.read_singly()
                except ProviderError as error:
                    round_.result.error = error
                round_.finish()
        round_.result.unseen = set(round_.missing)
        if round_.result.error is not None:
            self.telemetry.count(Metric.PROVIDER_ERROR)
            reason = round_.result.error.detail
            self.telemetry.warning("refresh incomplete", provider=provider.name, reason=reason)
        self.telemetry.count(Metric.JOBS_POLLED, wanted - len(round_.missing))
        return round_.result


def _is_due(job: ActiveJob, now: datetime) -> bool:
    """A lost job is asked for once an hour, one that was just missed not before the spacing of 404s."""
    return not is_too_soon(job.last_miss_at, now, is_lost=job.is_lost)


def _is_left(job: ActiveJob, place: Place, kinds: Sequence[str]) -> bool:
    """Whether an earlier part of the round has left this job to do; one of no list is asked for singly at the end."""
    if place == START or job.external_id in place.singles:
        return True
    if place.kind is not None:
        if job.kind == place.kind:
            return place.horizon is None or job.created_at <= place.horizon
        return job.kind not in kinds[: kinds.index(place.kind)]
    return place.rest_after is not None and _order(job) > place.rest_after


def _order(job: ActiveJob) -> str:
    return f"{to_iso(job.created_at)}#{job.external_id}"


_FATAL = (ProviderThrottledError, ProviderTokenRejectedError, ProviderNotConfiguredError)
"""Errors after which no other call of this round can do better."""


@dataclass
class _Round:
    provider: Provider
    record_observations: RecordObservations
    writer: ThreadPoolExecutor
    clock: Clock
    deadline: float
    missing: dict[str, ActiveJob]
    of: Mapping[RemoteId, str]
    result: Refreshed = field(default_factory=Refreshed)
    _unrecorded: list[Observation] = field(default_factory=list)
    _being_written: deque[Future[Recorded]] = field(default_factory=deque)
    _head: LogHead | None = None
    _list_failed: bool = False

    def read_lists(self, place: Place) -> None:
        """Page through each kind's list while that finds more than single requests would."""
        if place != START and place.kind is None:
            return
        kinds = self.provider.profile.kinds
        for kind in kinds[kinds.index(place.kind) if place.kind else 0 :]:
            is_begun = kind == place.kind
            wanted = {key: job for key, job in self.missing.items() if job.kind == kind and key not in place.singles}
            if len(wanted) <= 1:
                continue
            try:
                self._read_list(kind, wanted, place if is_begun else START)
            except _FATAL:
                raise
            except ProviderError as error:
                self.result.error = error
                self._list_failed = True
            if self.result.place is not None:
                return

    def _read_list(self, kind: str, wanted: dict[str, ActiveJob], begun: Place) -> None:
        oldest = min(job.created_at for job in wanted.values()) - CLOCK_SKEW
        page, horizon = begun.page, begun.horizon
        seen_pages: set[str] = set()
        fruitless = 0
        while wanted:
            if self._is_late():
                self.result.place = self._place_in_list(kind, page, horizon)
                return
            try:
                answer = self.provider.list_page(kind, page=page, created_after=oldest)
            except ProviderThrottledError:
                self.result.place = self._place_in_list(kind, page, horizon)
                raise
            found = 0
            for seen in answer.observations:
                job = wanted.pop(seen.external_id, None)
                if job is not None:
                    found += 1
                    self._take(seen)
            fruitless = 0 if found else fruitless + 1
            page = answer.next_page
            moments = [seen.created_at for seen in answer.observations if seen.created_at]
            horizon = min(moments, default=horizon)
            if page is None or page in seen_pages or fruitless >= FRUITLESS_PAGES:
                return
            if (moments and min(moments) < oldest) or (found < 2 and len(wanted) <= SINGLES_AT_ONCE):
                return
            seen_pages.add(page)

    def _place_in_list(self, kind: str, page: str | None, horizon: datetime | None) -> Place:
        """What this part of the round has passed without finding is left to the single requests."""
        ahead = Place(kind=kind, page=page, horizon=horizon)
        kinds = self.provider.profile.kinds
        passed = [job for job in self.missing.values() if not _is_left(job, ahead, kinds)]
        return replace(ahead, singles=tuple(str(job.external_id) for job in sorted(passed, key=_order)[:KEPT_IDS]))

    def read_singly(self) -> None:
        """Ask for each missing job, the oldest first; one that fails holds no other up."""
        if self.result.place is not None:
            return
        order = sorted(self.missing, key=lambda key: _order(self.missing[key]))
        failed: list[str] = []
        with ThreadPoolExecutor(SINGLES_AT_ONCE) as pool:
            for start in range(0, len(order), SINGLES_AT_ONCE):
                if self._is_late():
                    self.result.place = self._place_in_singles(order[start:])
                    break
                keys = order[start : start + SINGLES_AT_ONCE]
                group = [self.missing[key] for key in keys]
                try:
                    failed += self._take_all(group, list(pool.map(self._look, group)))
                except ProviderThrottledError:
                    self.result.place = self._place_in_singles([key for key in order[start:] if key in self.missing])
                    raise
                if failed[-len(keys) :] == keys and isinstance(self.result.error, ProviderUnavailableError):
                    rest = order[start + SINGLES_AT_ONCE :]
                    self.result.place = None if self._list_failed or not rest else self._place_in_singles(rest)
                    break
        self.result.failed = tuple(failed[:KEPT_IDS])

    def _place_in_singles(self, rest: Sequence[str]) -> Place:
        kept = tuple(rest[:KEPT_IDS])
        rest_after = _order(self.missing[kept[-1]]) if len(rest) > KEPT_IDS else None
        return Place(singles=kept, rest_after=rest_after)

    def _take_all(self, group: Sequence[ActiveJob], answers: Sequence[Observation | ProviderError]) -> list[str]:
        """Keep what was seen; returns the ids of the others. Raises what no further call could better."""
        failed: list[str] = []
        fatal: ProviderError | None = None
        for job, answer in zip(group, answers, strict=True):
            if isinstance(answer, Observation):
                self._take(answer)
                continue
            failed.append(str(job.external_id))
            if isinstance(answer, _FATAL):
                fatal = answer
            else:
                self.result.error = answer
        if fatal is not None:
            raise fatal
        return failed

    def _look(self, job: ActiveJob) -> Observation | ProviderError:
        external_id = str(job.external_id)
        try:
            return self.provider.get(external_id, job.kind).observation
        except ProviderJobNotFoundError as error:
            if self._list_failed:
                # Where not even the lists can be read, this may be the word of a wrong address, not of the provider.
                return error
            now = self.clock.now()
            return Observation(
                provider=job.provider, external_id=external_id, observed_at=now, kind=job.kind, found=False
            )
        except ProviderError as error:
            return error

    def _take(self, seen: Observation) -> None:
        self.missing.pop(seen.external_id, None)
        self._unrecorded.append(seen)
        if len(self._unrecorded) >= RECORD_EVERY:
            self._write_behind(self._unrecorded)
            self._unrecorded = []

    def _write_behind(self, batch: Sequence[Observation]) -> None:
        """What is known of these jobs is read now, while those before them are written."""
        try:
            snapshot = self.record_observations.look(batch, of=self.of)
        except StoreUnavailableError:
            snapshot = None
        self._being_written.append(self.writer.submit(self._write, batch, snapshot))
        while len(self._being_written) > BATCHES_AHEAD:
            self._keep(self._being_written.popleft().result())

    def _write(self, batch: Sequence[Observation], snapshot: Snapshot | None) -> Recorded:
        if snapshot is not None and self._head is not None and self._head.epoch == snapshot.head.epoch:
            snapshot = replace(snapshot, head=max(self._head, snapshot.head, key=lambda head: head.seq))
        recorded = self.record_observations.run(batch, of=self.of, snapshot=snapshot)
        self._head = recorded.head or self._head
        return recorded

    def finish(self) -> None:
        """Everything seen is recorded when this returns. Raises StoreUnavailableError when some could not be."""
        while self._being_written:
            self._keep(self._being_written.popleft().result())
        self._keep(self.record_observations.run(self._unrecorded, of=self.of))
        self._unrecorded = []

    def _keep(self, recorded: Recorded) -> None:
        self.result.changed |= recorded.changed
        self.result.observed |= {job.job_id: job for job in recorded.jobs.values()}

    def _is_late(self) -> bool:
        return self.clock.monotonic() >= self.deadline
