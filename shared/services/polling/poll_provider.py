"""One tick over one provider: under a lease, within its budget, going on where the last tick stopped (I25–I29)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain import state_keys
from shared.domain.errors import ProviderThrottledError, StaleWrite, StoreUnavailableError
from shared.domain.job import from_iso, to_iso
from shared.domain.metric import Metric
from shared.ports import Clock, Provider, StateStore, Telemetry
from shared.services.polling.refresh_active import KEPT_IDS, START, Place, RefreshActive, Refreshed

TICK_BUDGET = 16.0
"""Seconds in which calls may begin; the last of them and its recording end within 25 s."""
LEASE = timedelta(seconds=30)
"""Longer than the function may run (28 s), so that only a frozen process can be overtaken."""
ROUND_FACTOR = 3
LONGEST_ROUND = 600.0
"""Seconds that a round may count for: a machine that slept within one must not stop polling for days."""
PLACE_KEPT_FOR = timedelta(minutes=3)
"""A round goes on within seconds, or a minute at most; one that was broken off for longer begins anew."""
JITTER = 2.0
"""Seconds that a tick may be early: SQS delays whole seconds, and schedules are not exact."""


class TickOutcome(StrEnum):
    """What became of a tick."""

    RAN = "ran"
    NOT_DUE = "not due"
    BUSY = "another tick holds the lease"
    OVERTAKEN = "another tick took the lease over"


@dataclass(frozen=True, slots=True)
class PollFault:
    """Why the last round was not complete."""

    code: str
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PollState:
    """What ticks of one provider leave to each other and to the status page; durations are seconds.

    `round_began_at` is the start of the round that `place` belongs to, or of the last one; `failed` are ids whose
    own request failed in it.
    """

    lease_until: datetime | None = None
    round_began_at: datetime | None = None
    round_seconds: float = 0
    last_tick_at: datetime | None = None
    place: Place | None = None
    failed: tuple[str, ...] = ()
    fault: PollFault | None = None

    def is_leased(self, now: datetime) -> bool:
        """Whether a tick is at it; a lease far longer than any is the mistake of a clock that was ahead."""
        return self.lease_until is not None and now < self.lease_until <= now + 2 * LEASE

    def effective_interval(self, configured: float) -> float:
        """A round that takes long leaves the provider in peace twice as long as it took."""
        return max(configured, float(math.ceil(ROUND_FACTOR * min(self.round_seconds, LONGEST_ROUND))))

    def is_round_due(self, now: datetime, interval: float, *, early: float = 0) -> bool:
        """Whether a new round may begin, `early` seconds before its time."""
        if self.round_began_at is None or self.round_began_at > now:
            return True
        return (now - self.round_began_at).total_seconds() + early >= interval

    def is_broken_off(self, now: datetime) -> bool:
        """Whether a round was left in its midst, because polling was off or nothing was active."""
        if self.place is None:
            return False
        return self.last_tick_at is None or abs(now - self.last_tick_at) > PLACE_KEPT_FOR

    @property
    def has_rest(self) -> bool:
        """Whether the last tick left something to do: a part of its round, failed requests, or all of it."""
        came_to_nothing = self.last_tick_at is not None and self.round_began_at is None
        return self.place is not None or bool(self.failed) or came_to_nothing


def read_poll_state(state: StateStore, provider: str, *, now: datetime) -> PollState:
    item = state.get(state_keys.poll(provider), now=now)
    return decode_poll_state(item.value) if item else PollState()


@dataclass(frozen=True, kw_only=True)
class PollProvider:
    """The lease item's version is the fence: whoever was overtaken can no longer write his place (I27).

    What an overtaken tick observed is recorded all the same; the jobs' own versions guard that.
    """

    state: StateStore
    refresh_active: RefreshActive
    clock: Clock
    telemetry: Telemetry

    def run(self, provider: Provider, *, interval: float) -> TickOutcome:
        """Run one tick if one is due at this interval (seconds) and nobody else is at it.

        While rounds are short, one may begin half an interval before its time.
        """
        key = state_keys.poll(provider.name)
        now = self.clock.now()
        item = self.state.get(key, now=now)
        known = decode_poll_state(item.value) if item else PollState()
        if known.is_leased(now):
            return TickOutcome.BUSY
        if known.is_broken_off(now):
            known = replace(known, round_began_at=None, place=None, failed=())
        effective = known.effective_interval(interval)
        is_round_due = known.is_round_due(now, effective, early=_early(interval, effective))
        place = _next_place(known, is_round_due=is_round_due)
        if place is None:
            return TickOutcome.NOT_DUE
        begun = replace(known, lease_until=now + LEASE, last_tick_at=now, round_began_at=_began_at(known, place, now))
        if place == START:
            begun = replace(begun, place=None, failed=())
        try:
            version = self.state.put(key, encode_poll_state(begun), now=now, if_version=item.version if item else 0)
        except StaleWrite:
            return TickOutcome.BUSY
        self.telemetry.count(Metric.TICK_RAN)
        try:
            result = self.refresh_active.run(provider, budget_seconds=TICK_BUDGET, place=place)
        except StoreUnavailableError:
            round_began_at = known.round_began_at if known.place is not None else None
            after = replace(known, lease_until=None, last_tick_at=now, round_began_at=round_began_at)
            self._release(key, version, after)
            raise
        return self._release(key, version, self._outcome(begun, known, place, result))

    def _outcome(self, begun: PollState, known: PollState, place: Place, result: Refreshed) -> PollState:
        """The state after a tick. A round in which nothing was seen does not count: the next tick begins it again."""
        now = self.clock.now()
        failed = dict.fromkeys((*(begun.failed if known.place is not None else ()), *result.failed))
        after = replace(begun, lease_until=None, place=result.place, fault=None, failed=tuple(failed)[:KEPT_IDS])
        if result.error is not None:
            after = replace(after, fault=PollFault(result.error.code, result.error.detail, now))
            if not result.observed and result.place is None and place == START:
                return replace(after, round_began_at=None)
        is_retry = known.place is None and place != START
        if result.place is None and not is_retry and after.round_began_at is not None:
            after = replace(after, round_seconds=(now - after.round_began_at).total_seconds())
        return after

    def _release(self, key: str, version: int, after: PollState) -> TickOutcome:
        try:
            self.state.put(key, encode_poll_state(after), now=self.clock.now(), if_version=version)
        except StaleWrite:
            self.telemetry.warning("tick overtaken", key=key)
            return TickOutcome.OVERTAKEN
        return TickOutcome.RAN


def _began_at(known: PollState, place: Place, now: datetime) -> datetime | None:
    """When the round began; the time for which the provider held its last tick back is no part of it."""
    if place == START:
        return now
    was_held = known.fault is not None and known.fault.code == ProviderThrottledError.code
    if known.place is None or not was_held or known.round_began_at is None or known.last_tick_at is None:
        return known.round_began_at
    return known.round_began_at + (now - known.last_tick_at)


def _early(interval: float, effective: float) -> float:
    return interval / 2 if effective <= interval else JITTER


def _next_place(known: PollState, *, is_round_due: bool) -> Place | None:
    """An unfinished round goes on before a new one begins; between rounds only failed requests are tried again."""
    if known.place is not None:
        return known.place
    if is_round_due:
        return START
    return Place(singles=known.failed) if known.failed else None


def encode_poll_state(state: PollState) -> dict[str, object]:
    moments = {
        "lease_until": state.lease_until,
        "round_began_at": state.round_began_at,
        "last_tick_at": state.last_tick_at,
    }
    value: dict[str, object] = {name: to_iso(moment) for name, moment in moments.items() if moment is not None}
    value["round_seconds"] = round(state.round_seconds, 3)
    if state.place is not None:
        place = state.place
        value["place"] = {
            "kind": place.kind,
            "page": place.page,
            "horizon": to_iso(place.horizon) if place.horizon else None,
            "singles": list(place.singles),
            "rest_after": place.rest_after,
        }
    if state.failed:
        value["failed"] = list(state.failed)
    if state.fault is not None:
        fault = state.fault
        value["fault"] = {"code": fault.code, "detail": fault.detail[:300], "at": to_iso(fault.at)}
    return value


def decode_poll_state(value: Mapping[str, object]) -> PollState:
    """What cannot be read is as good as never written: the next round begins at the start."""
    fault = value.get("fault")
    place = value.get("place")
    return PollState(
        lease_until=_moment(value.get("lease_until")),
        round_began_at=_moment(value.get("round_began_at")),
        last_tick_at=_moment(value.get("last_tick_at")),
        round_seconds=_number(value.get("round_seconds")),
        place=_place(place) if isinstance(place, Mapping) else None,
        failed=_texts(value.get("failed")),
        fault=_fault(fault) if isinstance(fault, Mapping) else None,
    )


def _place(value: Mapping[str, object]) -> Place:
    kind, page, rest_after = value.get("kind"), value.get("page"), value.get("rest_after")
    return Place(
        kind=kind if isinstance(kind, str) else None,
        page=page if isinstance(page, str) else None,
        horizon=_moment(value.get("horizon")),
        singles=_texts(value.get("singles")),
        rest_after=rest_after if isinstance(rest_after, str) else None,
    )


def _fault(value: Mapping[str, object]) -> PollFault | None:
    at = _moment(value.get("at"))
    return PollFault(str(value.get("code")), str(value.get("detail")), at) if at else None


def _moment(value: object) -> datetime | None:
    try:
        return from_iso(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(part) for part in value) if isinstance(value, list) else ()
