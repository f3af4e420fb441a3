"""One round over the active jobs of a provider, with as few calls as possible: lists first, then single requests."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

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


@dataclass
class Round:
    """`observations` gives what is seen, one job at a time; the rest of it is how far that came.

    `deadline` is the moment (`Clock.monotonic`) after which no call begins. `missing` are the jobs that were not seen
    yet, by external id; `error` is why some were not, `failed` the ids whose own request failed, `resume` where to go
    on, None when the round has ended.
    """

    provider: Provider
    clock: Clock
    deadline: float
    missing: dict[str, Job]
    error: ProviderError | None = None
    failed: list[str] = field(default_factory=list)
    resume: ResumePoint | None = None
    _has_list_failed: bool = False

    def observations(self, begun: ResumePoint | None) -> Iterator[Observation]:
        """Look at every missing job, from where the round was left (None: at its start), until the time is used up.

        A failing job or list never stops another (I28). A provider that throttles, refuses the token or is not
        configured ends the round.
        """
        try:
            if not isinstance(begun, SinglesCursor):
                yield from self._walk_lists(begun)
            if self.resume is None:
                yield from self._ask_singly()
        except ProviderError as error:
            self.error = error

    def _walk_lists(self, begun: ListCursor | None) -> Iterator[Observation]:
        """Page through each kind's list while that finds more than single requests would."""
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
            if self.resume is not None:
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
            try:
                answer = self.provider.list_page(cursor.kind, page=page, active_since=oldest)
            except ProviderThrottledError:
                self.resume = self._list_cursor(cursor.kind, page, horizon)
                raise
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
        """Ask for each missing job, the oldest first; one that fails holds no other up."""
        order = sorted(self.missing.values(), key=order_of)
        with ThreadPoolExecutor(SINGLES_AT_ONCE) as pool:
            for start in range(0, len(order), SINGLES_AT_ONCE):
                if self._is_late():
                    self.resume = rest_of(order[start:])
                    return
                group = order[start : start + SINGLES_AT_ONCE]
                answers = list(zip(group, pool.map(self._look, group), strict=True))
                for _, answer in answers:
                    if isinstance(answer, Observation):
                        self.missing.pop(answer.external_id, None)
                        yield answer
                failures = {
                    str(job.external_id): answer for job, answer in answers if isinstance(answer, ProviderError)
                }
                if fatal := [error for error in failures.values() if isinstance(error, _FATAL)]:
                    if isinstance(fatal[-1], ProviderThrottledError):
                        self.resume = rest_of([job for job in order[start:] if job.external_id in self.missing])
                    raise fatal[-1]
                self.failed += failures
                self.error = [self.error, *failures.values()][-1]
                if len(failures) == len(group) and isinstance(self.error, ProviderUnavailableError):
                    rest = order[start + SINGLES_AT_ONCE :]
                    self.resume = rest_of(rest) if rest and not self._has_list_failed else None
                    return

    def _look(self, job: Job) -> Observation | ProviderError:
        try:
            return self.provider.get(str(job.external_id), job.kind).observation
        except ProviderJobNotFoundError as error:
            if self._has_list_failed:
                # Where not even the lists can be read, this may be the word of a wrong address, not of the provider.
                return error
            return not_found(job, self.clock.now())
        except ProviderError as error:
            return error

    def _is_late(self) -> bool:
        return self.clock.monotonic() >= self.deadline
