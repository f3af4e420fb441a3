"""One tick over one provider: under a lease, within its budget, going on where the last tick stopped (I25–I29)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.domain import state_keys
from shared.domain.errors import StaleWrite, StoreUnavailableError
from shared.domain.metric import Metric
from shared.ports import Clock, Provider, StateStore, Telemetry
from shared.services.polling.poll_state import PollState, Step, decode_poll_state, encode_poll_state
from shared.services.polling.refresh_active import RefreshActive

TICK_BUDGET = 16.0
"""Seconds in which calls may begin; the last of them and its recording end within 25 s."""


class TickOutcome(StrEnum):
    """What became of a tick."""

    RAN = "ran"
    NOT_DUE = "not due"
    BUSY = "another tick holds the lease"
    OVERTAKEN = "another tick took the lease over"


@dataclass(frozen=True, kw_only=True)
class PollProvider:
    """Lease and resume point are one item, whose version is the fence: whoever was overtaken can no longer write (I27).

    What an overtaken tick observed is recorded all the same; the jobs' own versions guard that.
    """

    state: StateStore
    refresh_active: RefreshActive
    clock: Clock
    telemetry: Telemetry

    def run(self, provider: Provider, *, interval: float) -> TickOutcome:
        """Run one tick if one is due at this interval (seconds) and nobody else is at it."""
        key = state_keys.poll(provider.profile.name)
        now = self.clock.now()
        item = self.state.get(key, now=now)
        known = decode_poll_state(item)
        if known.is_leased(now):
            return TickOutcome.BUSY
        step = known.next_step(now, interval)
        if step is None:
            return TickOutcome.NOT_DUE
        begun = known.begin(step, now)
        try:
            version = self.state.put(key, encode_poll_state(begun), now=now, if_version=item.version if item else 0)
        except StaleWrite:
            return TickOutcome.BUSY
        self.telemetry.count(Metric.TICK_RAN)
        try:
            after = self._look(provider, begun, step, interval)
        except StoreUnavailableError:
            self._release(key, version, known.give_up(now))
            raise
        return self._release(key, version, after)

    def _look(self, provider: Provider, begun: PollState, step: Step, interval: float) -> PollState:
        """One step; in the time that is left after the end of a round the next round, if that is due."""
        deadline = self.clock.monotonic() + TICK_BUDGET
        result = self.refresh_active.run(
            provider, budget_seconds=TICK_BUDGET, resume=begun.look_from(step), failed=begun.failed_before(step)
        )
        after = begun.end(step, result, self.clock.now())
        left = deadline - self.clock.monotonic()
        if step is not Step.GO_ON or not result.looked_at or left <= 0:
            return after
        if after.next_step(self.clock.now(), interval) is not Step.BEGIN:
            return after
        anew = after.begin(Step.BEGIN, self.clock.now())
        result = self.refresh_active.run(provider, budget_seconds=left)
        return anew.end(Step.BEGIN, result, self.clock.now())

    def _release(self, key: str, version: int, after: PollState) -> TickOutcome:
        try:
            self.state.put(key, encode_poll_state(after), now=self.clock.now(), if_version=version)
        except StaleWrite:
            self.telemetry.warning("tick overtaken", key=key)
            return TickOutcome.OVERTAKEN
        return TickOutcome.RAN
