"""One round over the active jobs of a provider, with as few calls as possible: lists first, then single requests."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise

from shared.domain.errors import (
    ProviderError,
    ProviderJobNotFoundError,
    ProviderNotConfiguredError,
    ProviderThrottledError,
    ProviderTokenRejectedError,
    ProviderUnavailableError,
)
from shared.domain.job import Job
from shared.domain.observation import Observation, not_found
from shared.ports import Clock, Provider
from shared.services.polling.resume_point import ListCursor, ResumePoint, SinglesCursor, order_of, rest_of

SINGLES_AT_ONCE = 8
FRUITLESS_PAGES = 3
CLOCK_SKEW = timedelta(seconds=2)
_FATAL = (ProviderThrottledError, ProviderTokenRejectedError, ProviderNotConfiguredError)
"""Errors after which no other call of this round can do better."""


@dataclass(frozen=True, slots=True)
class _SingleLook:
    """How long one request took, and what it came to: one of the two."""

    seconds: float
    seen: Observation | None
    error: ProviderError | None


@dataclass
class Round:
    """`observations` gives what is seen, one job at a time; the rest of it is how far that came.

    `deadline` is the moment (`Clock.monotonic`) after which no call begins. `missing` are the jobs that were not seen
    yet, by external id, `left` those of them for whom single requests are meant; `error` is why some were not seen,
    `failed` the ids whose own request failed, in the parts of the round before this one, too, `resume` where to go on,
    None when the round has ended.
    `answered_seconds` is how long the provider took for what it answered.
    """

    provider: Provider
    clock: Clock
    deadline: float
    missing: dict[str, Job]
    left: Collection[str]
    error: ProviderError | None = None
    failed: list[str] = field(default_factory=list)
    resume: ResumePoint | None = None
    answered_seconds: float = 0
    _has_list_failed: bool = False
    _was_asked: bool = False
    _was_answered: bool = False

    def observations(self, begun: ResumePoint | None) -> Iterator[Observation]:
        """Look at every missing job, from where the round was left (None: at its start), until the time is used up.

        A failing job or list never stops another (I28). A provider that throttles, refuses the token or is not
        configured ends the round.
        """
        try:
            if not isinstance(begun, SinglesCursor):
                yield from self._walk_lists(begun)
            elif begun.have_lists_failed:
                yield from self._try_lists_again()
            if self.resume is None:
                yield from self._ask_singly()
        except ProviderError as error:
            self.error = error

    def _try_lists_again(self) -> Iterator[Observation]:
        """One single request goes first: lists may fail alone, and a provider left alone is tried by one call."""
        self._has_list_failed = True
        with ThreadPoolExecutor(1) as pool:
            yield from self._ask_each(self._left_in_order()[:1], pool)
        self._has_list_failed = False
        yield from self._walk_lists(None, until_one_fails=True)

    def _left_in_order(self) -> list[Job]:
        left = frozenset(self.left).difference(self.failed)
        return sorted((job for key, job in self.missing.items() if key in left), key=order_of)

    def _walk_lists(self, begun: ListCursor | None, *, until_one_fails: bool = False) -> Iterator[Observation]:
        """Page through each kind's list while that finds more than single requests would.

        `until_one_fails`: lists that hang again must leave time for single requests.
        """
        kinds = self.provider.profile.kinds
        passed = frozenset(begun.singles if begun else ())
        for kind in kinds[kinds.index(begun.kind) if begun else 0 :]:
            wanted = {key: job for key, job in self.missing.items() if job.kind == kind and key not in passed}
            if len(wanted) <= 1:
                continue
            try:
                yield from self._walk_list(wanted, begun if begun and begun.kind == kind else ListCursor(kind=kind))
            except _FATAL:
                raise
            except ProviderError as error:
                self.error = error
                self._has_list_failed = True
            if self.resume is not None or (self._has_list_failed and until_one_fails):
                return

    def _walk_list(self, wanted: dict[str, Job], cursor: ListCursor) -> Iterator[Observation]:
        oldest = min(job.created_at for job in wanted.values()) - CLOCK_SKEW
        page, horizon = cursor.page, cursor.horizon
        seen_pages: set[str] = set()
        fruitless = 0
        while wanted:
            if self._is_late():
                self.resume = self._list_cursor(cursor.kind, page, horizon)
                return
            self._was_asked = True
            begun_at = self.clock.monotonic()
            try:
                answer = self.provider.list_page(cursor.kind, page=page, active_since=oldest)
            except ProviderThrottledError:
                self.resume = self._list_cursor(cursor.kind, page, horizon)
                raise
            self._was_answered = True
            self.answered_seconds += self.clock.monotonic() - begun_at
            found = [seen for seen in answer.observations if wanted.pop(seen.external_id, None)]
            for seen in found:
                del self.missing[seen.external_id]
                yield seen
            fruitless = 0 if found else fruitless + 1
            page = answer.next_page
            moments = [seen.created_at for seen in answer.observations if seen.created_at]
            horizon = min(moments, default=horizon)
            if page is None or page in seen_pages or fruitless >= FRUITLESS_PAGES:
                return
            if (moments and min(moments) < oldest) or (len(found) < 2 and len(wanted) <= SINGLES_AT_ONCE):
                return
            seen_pages.add(page)

    def _list_cursor(self, kind: str, page: str | None, horizon: datetime | None) -> ListCursor:
        """What this part of the round has passed without finding is left to the single requests."""
        ahead = ListCursor(kind=kind, page=page, horizon=horizon)
        kinds = self.provider.profile.kinds
        passed = [job for job in sorted(self.missing.values(), key=order_of) if ahead.has_passed(job, kinds)]
        return replace(ahead, singles=rest_of(passed).singles)

    def _ask_singly(self) -> Iterator[Observation]:
        """Ask for each job that is left, the oldest first; those whose request failed at the end once more."""
        error_of_lists = self.error if self._has_list_failed else None
        with ThreadPoolExecutor(SINGLES_AT_ONCE) as pool:
            rest = yield from self._ask_each(self._left_in_order(), pool)
            if rest:
                self.resume = self._rest_of(rest)
            elif self._was_answered:
                again = [self.missing[key] for key in self.failed if key in self.missing]
                self.failed, self.error = [], error_of_lists
                rest = yield from self._ask_each(again, pool)
                self.failed += [str(job.external_id) for job in rest]

    def _ask_each(self, order: Sequence[Job], pool: Executor) -> Generator[Observation, None, Sequence[Job]]:
        """Ask for these jobs, a group at a time; one that fails holds no other up.

        Returns those that were not asked for, because the time is used up or nothing is answered any more.
        """
        # While nothing was asked yet, one goes ahead: a provider that was left alone is tried by one call only.
        bounds = [0, *range(SINGLES_AT_ONCE if self._was_asked else 1, len(order), SINGLES_AT_ONCE), len(order)]
        for start, end in pairwise(bounds):
            if self._is_late():
                return order[start:]
            self._was_asked = True
            group = order[start:end]
            answers = list(zip(group, pool.map(self._look, group), strict=True))
            self.answered_seconds += max((look.seconds for _, look in answers if not look.error), default=0)
            for _, look in answers:
                if look.seen is not None:
                    self._was_answered = True
                    self.missing.pop(look.seen.external_id, None)
                    yield look.seen
            failures = {str(job.external_id): look.error for job, look in answers if look.error}
            if fatal := [error for error in failures.values() if isinstance(error, _FATAL)]:
                if isinstance(fatal[-1], ProviderThrottledError):
                    self.resume = self._rest_of([job for job in order[start:] if job.external_id in self.missing])
                raise fatal[-1]
            self.failed += failures
            self.error = [self.error, *failures.values()][-1]
            if len(failures) == len(group) > 1 and isinstance(self.error, ProviderUnavailableError):
                return order[end:]
        return ()

    def _rest_of(self, jobs: Sequence[Job]) -> SinglesCursor:
        return rest_of(jobs, have_lists_failed=self._has_list_failed)

    def _look(self, job: Job) -> _SingleLook:
        """What one request came to; a 404 is an answer, too."""
        begun_at = self.clock.monotonic()
        seen: Observation | None = None
        failure: ProviderError | None = None
        try:
            seen = self.provider.get(str(job.external_id), job.kind).observation
        except ProviderJobNotFoundError as error:
            if self._has_list_failed:
                # Where not even the lists can be read, this may be the word of a wrong address, not of the provider.
                failure = error
            else:
                seen = not_found(job, self.clock.now())
        except ProviderError as error:
            failure = error
        return _SingleLook(self.clock.monotonic() - begun_at, seen, failure)

    def _is_late(self) -> bool:
        return self.clock.monotonic() >= self.deadline
