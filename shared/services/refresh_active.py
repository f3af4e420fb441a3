"""Look at every active job of a provider with as few calls as possible: lists first, then single requests."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.domain.errors import (
    ProviderError,
    ProviderJobNotFoundError,
    ProviderNotConfiguredError,
    ProviderThrottledError,
    ProviderTokenRejectedError,
)
from shared.domain.job import Job, JobKind
from shared.domain.observation import Observation
from shared.ports import ActiveJob, Clock, JobStore, Provider, Telemetry
from shared.services.record_observations import RecordObservations

SINGLES_AT_ONCE = 8
FRUITLESS_PAGES = 3
RECORD_EVERY = 1000
LOST_LOOK_EVERY = timedelta(hours=1)
MISS_LOOK_EVERY = timedelta(seconds=60)
CLOCK_SKEW = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a round that ran out of time goes on: a list's page, or the single request after this external id."""

    kind: JobKind | None = None
    page: str | None = None
    single_after: str | None = None


START = Place()


@dataclass(slots=True)
class Refreshed:
    """`observed` are the jobs as they are now, by job id; `unseen` the external ids that were not looked at.

    `error` is what stopped the round early, `place` where to go on, None when the round is complete.
    """

    active: int = 0
    observed: dict[str, Job] = field(default_factory=dict)
    unseen: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    place: Place | None = None
    error: ProviderError | None = None

    @property
    def is_complete(self) -> bool:
        return not self.unseen and self.error is None


@dataclass(frozen=True, kw_only=True)
class RefreshActive:
    """One round over the active jobs. A job that is queued here and not yet known to the provider is not asked for."""

    jobs: JobStore
    recorder: RecordObservations
    clock: Clock
    telemetry: Telemetry

    def refresh(self, provider: Provider, *, budget_seconds: float, place: Place = START) -> Refreshed:
        """Look at every active job until all are seen or the time is used up.

        A failing job never stops another; a provider that throttles, refuses the token or is down ends the round
        with what was read recorded (I28, I29).
        """
        deadline = self.clock.monotonic() + budget_seconds
        now = self.clock.now()
        active = [job for job in self.jobs.active(provider.name) if job.external_id and _is_due(job, now)]
        round_ = _Round(provider, self.recorder, self.clock, deadline, {str(job.external_id): job for job in active})
        round_.result.active = len(active)
        if active:
            try:
                round_.read_lists(place)
                round_.read_singly(place)
            except ProviderError as error:
                round_.result.error = error
                self.telemetry.count("ProviderError")
                self.telemetry.warning("refresh ended early", provider=provider.name, reason=error.detail)
            round_.record()
        round_.result.unseen = set(round_.missing)
        self.telemetry.count("JobsPolled", len(active) - len(round_.missing))
        return round_.result


def _is_due(job: ActiveJob, now: datetime) -> bool:
    """A lost job is asked for once an hour, one that was just missed not before the spacing of 404s."""
    if job.last_miss_at is None:
        return True
    return now - job.last_miss_at >= (LOST_LOOK_EVERY if job.is_lost else MISS_LOOK_EVERY)


@dataclass
class _Round:
    provider: Provider
    recorder: RecordObservations
    clock: Clock
    deadline: float
    missing: dict[str, ActiveJob]
    result: Refreshed = field(default_factory=Refreshed)
    _unrecorded: list[Observation] = field(default_factory=list)

    def read_lists(self, place: Place) -> None:
        """Page through each kind's list while that finds more than single requests would."""
        kinds = list(JobKind)
        first = kinds.index(place.kind) if place.kind else 0
        for kind in kinds[first:] if place.single_after is None else ():
            wanted = {key: job for key, job in self.missing.items() if job.kind is kind}
            if len(wanted) > 1:
                self._read_list(kind, wanted, place.page if kind is place.kind else None)

    def _read_list(self, kind: JobKind, wanted: dict[str, ActiveJob], page: str | None) -> None:
        oldest = min(job.created_at for job in wanted.values()) - CLOCK_SKEW
        seen_pages: set[str] = set()
        fruitless = 0
        while wanted:
            if self._is_late():
                self.result.place = Place(kind, page)
                return
            answer = self.provider.list_page(kind, page=page, created_after=oldest)
            found = 0
            for seen in answer.observations:
                job = wanted.pop(seen.external_id, None)
                if job is not None:
                    found += 1
                    self._take(seen, job)
            fruitless = 0 if found else fruitless + 1
            page = answer.next_page
            beyond = any(seen.created_at and seen.created_at < oldest for seen in answer.observations)
            if page is None or page in seen_pages or beyond or fruitless >= FRUITLESS_PAGES:
                return
            if found < 2 and len(wanted) <= SINGLES_AT_ONCE:
                return
            seen_pages.add(page)

    def read_singly(self, place: Place) -> None:
        """Ask for each missing job, beginning after the one where the last round ended."""
        if self.result.place is not None:
            return
        order = sorted(self.missing, key=lambda key: (self.missing[key].created_at, key))
        if place.single_after in order:
            turn = order.index(place.single_after) + 1
            order = order[turn:] + order[:turn]
        with ThreadPoolExecutor(SINGLES_AT_ONCE) as pool:
            for start in range(0, len(order), SINGLES_AT_ONCE):
                if self._is_late():
                    self.result.place = Place(single_after=order[start - 1] if start else None)
                    return
                group = [self.missing[key] for key in order[start : start + SINGLES_AT_ONCE]]
                self._take_all(group, list(pool.map(self._look, group)))

    def _take_all(self, group: Sequence[ActiveJob], answers: Sequence[Observation | ProviderError]) -> None:
        fatal: ProviderError | None = None
        for job, answer in zip(group, answers, strict=True):
            if isinstance(answer, Observation):
                self._take(answer, job)
            elif isinstance(answer, ProviderThrottledError | ProviderTokenRejectedError | ProviderNotConfiguredError):
                fatal = answer
            else:
                self.result.error = answer
        if fatal is not None:
            raise fatal

    def _look(self, job: ActiveJob) -> Observation | ProviderError:
        external_id = str(job.external_id)
        try:
            return self.provider.get(external_id, job.kind)
        except ProviderJobNotFoundError:
            now = self.clock.now()
            return Observation(provider=job.provider, external_id=external_id, observed_at=now, found=False)
        except ProviderError as error:
            return error

    def _take(self, seen: Observation, job: ActiveJob) -> None:
        self.missing.pop(seen.external_id, None)
        self._unrecorded.append(replace(seen, job_id=job.job_id))
        if len(self._unrecorded) >= RECORD_EVERY:
            self.record()

    def record(self) -> None:
        recorded = self.recorder.record(self._unrecorded)
        self._unrecorded = []
        self.result.changed |= recorded.changed
        self.result.observed |= {job.job_id: job for job in recorded.jobs.values()}

    def _is_late(self) -> bool:
        return self.clock.monotonic() >= self.deadline
