"""What the ticks of one provider leave to each other and to the status page, and how a tick changes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import AwareDatetime, FiniteFloat, TypeAdapter

from shared.domain import state_keys
from shared.domain.errors import ProviderError
from shared.domain.expiry import is_running
from shared.domain.stored import StateItem, read_value
from shared.ports import StateStore
from shared.services.polling.resume_point import KEPT_IDS, ResumePoint, SinglesCursor

if TYPE_CHECKING:
    from shared.services.polling.refresh_active import Refreshed

LEASE = timedelta(seconds=30)
"""Longer than the function may run (28 s), so that only a frozen process can be overtaken."""
ROUND_FACTOR = 3
LONGEST_ROUND = 600.0
"""Seconds that a round may count for: a machine that slept within a call must not stop polling for days."""
RESUMED_WITHIN = timedelta(minutes=3)
"""A round goes on within seconds, or a minute at most; one that was broken off for longer begins anew."""
JITTER = 2.0
"""Seconds that a tick may be early: SQS delays whole seconds, and schedules are not exact."""
MAX_DETAIL = 300


class Step(StrEnum):
    """What a tick does. An unfinished round goes on before a new one begins."""

    BEGIN = "begin a round"
    GO_ON = "go on with a round"
    RETRY = "ask again, between two rounds, for the jobs whose own request failed"


@dataclass(frozen=True, slots=True)
class PollFault:
    """Why the last tick did not look at all that it should."""

    code: str
    detail: str
    at: AwareDatetime

    @classmethod
    def of(cls, error: ProviderError, now: datetime) -> PollFault:
        return cls(error.code, error.detail[:MAX_DETAIL], now)


@dataclass(frozen=True, slots=True, kw_only=True)
class PollState:
    """`round_began_at` is the start of the round that `resume` belongs to, else of the last one.

    None: that came to nothing. `failed` are the external ids whose own request failed in it. `round_seconds` is how
    long the provider took to answer the last whole round, 0 after any error: what it did not answer was no work for it.
    `answered_seconds` and `has_met_error` are of the round so far. Durations are seconds.
    """

    lease_until: AwareDatetime | None = None
    round_began_at: AwareDatetime | None = None
    round_seconds: FiniteFloat = 0
    answered_seconds: FiniteFloat = 0
    has_met_error: bool = False
    last_tick_at: AwareDatetime | None = None
    resume: ResumePoint | None = None
    failed: tuple[str, ...] = ()
    fault: PollFault | None = None

    def is_leased(self, now: datetime) -> bool:
        """Whether a tick is at it."""
        return is_running(self.lease_until, now, life=LEASE)

    def effective_interval(self, configured: float) -> float:
        """A provider that took long to answer a round is left in peace twice as long as it took."""
        return max(configured, float(math.ceil(ROUND_FACTOR * min(self.round_seconds, LONGEST_ROUND))))

    @property
    def has_rest(self) -> bool:
        """Whether the last tick left something to do: a part of its round, failed requests, or all of it.

        One that has died, or is at it still, has not given its lease back.
        """
        came_to_nothing = self.last_tick_at is not None and self.round_began_at is None
        return self.resume is not None or bool(self.failed) or came_to_nothing or self.lease_until is not None

    def next_step(self, now: datetime, interval: float) -> Step | None:
        """What a tick of this interval has to do now that nobody is at it, None: nothing yet.

        A lease that was not given back is a dead tick's, whose round begins anew or goes on. While rounds are short,
        one may begin half an interval before its time.
        """
        if self.resume is not None and not self._is_broken_off(now):
            return Step.GO_ON
        effective = self.effective_interval(interval)
        early = interval / 2 if effective <= interval else JITTER
        is_due = (
            self.resume is not None
            or self.lease_until is not None
            or self.round_began_at is None
            or self.round_began_at > now
            or (now - self.round_began_at).total_seconds() + early >= effective
        )
        if is_due:
            return Step.BEGIN
        return Step.RETRY if self.failed else None

    def begin(self, step: Step, now: datetime) -> PollState:
        """A tick takes the lease."""
        taken = replace(self, lease_until=now + LEASE, last_tick_at=now)
        if step is not Step.BEGIN:
            return taken
        return replace(taken, round_began_at=now, resume=None, failed=(), answered_seconds=0, has_met_error=False)

    def look_from(self, step: Step) -> ResumePoint | None:
        return SinglesCursor(singles=self.failed) if step is Step.RETRY else self.resume

    def failed_before(self, step: Step) -> tuple[str, ...]:
        """Whom this step has to ask for once more."""
        return self.failed if step is Step.GO_ON else ()

    def end(self, step: Step, result: Refreshed, now: datetime) -> PollState:
        """It gives the lease back, with what it came to."""
        after = replace(self, lease_until=None, fault=PollFault.of(result.error, now) if result.error else None)
        if step is Step.RETRY:
            return replace(after, failed=tuple(sorted(result.unseen)))
        answered = self.answered_seconds + result.answered_seconds
        has_met_error = self.has_met_error or result.error is not None
        after = replace(after, answered_seconds=answered, has_met_error=has_met_error)
        if has_met_error:
            after = replace(after, round_seconds=0)
        elif result.resume is None:
            after = replace(after, round_seconds=answered)
        if step is Step.BEGIN and result.error and not result.looked_at and result.resume is None:
            return replace(after, round_began_at=None)
        return replace(after, resume=result.resume, failed=tuple(dict.fromkeys(result.failed))[:KEPT_IDS])

    def give_up(self, now: datetime) -> PollState:
        """The tick that found this could not record what it saw: all it had to do is left to the next one."""
        began_at = self.round_began_at if self.resume is not None else None
        return replace(self, lease_until=None, last_tick_at=now, round_began_at=began_at)

    def _is_broken_off(self, now: datetime) -> bool:
        """Whether a round was left in its midst, because polling was off or nothing was active."""
        return self.last_tick_at is None or abs(now - self.last_tick_at) > RESUMED_WITHIN


_STATE = TypeAdapter(PollState)


def encode_poll_state(state: PollState) -> Mapping[str, object]:
    encoded: Mapping[str, object] = _STATE.dump_python(state, mode="json", exclude_none=True)
    return encoded


def decode_poll_state(item: StateItem | None) -> PollState:
    """What cannot be read is as good as never written: the next round begins at the start."""
    return read_value(item, _STATE) or PollState()


def read_poll_state(state: StateStore, provider: str, *, now: datetime) -> PollState:
    return decode_poll_state(state.get(state_keys.poll(provider), now=now))
