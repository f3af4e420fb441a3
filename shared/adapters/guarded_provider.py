"""A provider that is asked no more than it bears: paced, held back after a 429, left alone while it is down (I29)."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from pydantic import AwareDatetime, TypeAdapter

from shared.domain import state_keys
from shared.domain.account import Account
from shared.domain.errors import (
    ProviderError,
    ProviderNotConfiguredError,
    ProviderThrottledError,
    ProviderUnavailableError,
    StaleWrite,
    StoreUnavailableError,
)
from shared.domain.expiry import latest_credible
from shared.domain.observation import LastLook, Look, ObservationPage
from shared.domain.provider_profile import ProviderProfile
from shared.domain.stored import read_value
from shared.domain.system_status import SystemStatus
from shared.ports import Clock, Provider, StateStore

BURST = 8
"""Calls that may begin at once, beside those that the profile's `requests_per_second` allow."""

LONGEST_WAIT_SECONDS = 5.0
CACHE_SECONDS = 2.0
FAILURES_UNTIL_OPEN = 5
FIRST_OPENING_SECONDS = 4.0
LONGEST_OPENING_SECONDS = 15.0
PROBE_SECONDS = 10.0
"""Longer than any call takes; when a probe has not reported by then, another call is let through."""

LONGEST_HOLD = timedelta(minutes=15)
"""Without the tenth by which chance makes it longer."""

Result = TypeVar("Result")
Chance = Callable[[], float]
"""Numbers from 0 to 1 that spread the moments at which functions come back."""


class GuardedProvider:
    """`ports.Provider` around another, safe to share between threads.

    A call waits for its turn (`_Pace`), is refused during a 429's hold (`_Hold`, shared by all functions) and while
    the provider does not answer (`_Breaker`, this process's own).

    `account` and `cancel` pass an open breaker, though never a hold: a person who stores another token must see at
    once whether it is good, and a job that can't be cancelled costs money.

    `longest_opening` is for how many seconds the breaker leaves the provider alone at the most: less than lies between
    two rounds of the poller, so that it keeps the poller away from one of them and no more (I9).
    """

    def __init__(
        self,
        inner: Provider,
        *,
        state: StateStore,
        clock: Clock,
        chance: Chance = random.random,
        longest_opening: float = LONGEST_OPENING_SECONDS,
    ) -> None:
        self._inner = inner
        name, label = inner.profile.name, inner.profile.label
        self._pace = _Pace(inner.profile.requests_per_second, BURST, label, clock)
        self._hold = _Hold(state_keys.provider_hold(name), label, state, clock, chance)
        self._breaker = _Breaker(label, clock, chance, longest_opening)

    @property
    def profile(self) -> ProviderProfile:
        return self._inner.profile

    def account(self, token: str | None = None) -> Account:
        return self._guarded(lambda: self._inner.account(token), passes_breaker=True)

    def list_page(self, kind: str, *, page: str | None = None, active_since: datetime | None = None) -> ObservationPage:
        return self._guarded(lambda: self._inner.list_page(kind, page=page, active_since=active_since))

    def get(self, external_id: str, kind: str, *, with_log: bool = False) -> Look:
        return self._guarded(lambda: self._inner.get(external_id, kind, with_log=with_log))

    def full_log(self, external_id: str, kind: str) -> str | None:
        return self._guarded(lambda: self._inner.full_log(external_id, kind))

    def last_look(self, external_id: str, kind: str) -> LastLook:
        return self._guarded(lambda: self._inner.last_look(external_id, kind))

    def cancel(self, external_id: str, kind: str) -> None:
        self._guarded(lambda: self._inner.cancel(external_id, kind), passes_breaker=True)

    def webhook_secret(self) -> str:
        return self._guarded(self._inner.webhook_secret)

    def read_webhook(self, raw: bytes) -> Look:
        return self._inner.read_webhook(raw)

    def system_status(self) -> SystemStatus | None:
        """Its status page is no part of its API."""
        return self._inner.system_status()

    def _guarded(self, call: Callable[[], Result], *, passes_breaker: bool = False) -> Result:
        self._hold.check()
        if not passes_breaker:
            self._breaker.check()
        self._pace.wait_for_turn()
        self._hold.check()
        is_probe = not passes_breaker and self._breaker.begin()
        try:
            result = call()
        except ProviderUnavailableError:
            self._breaker.failed(is_probe=is_probe)
            raise
        except ProviderNotConfiguredError:
            # It was not even asked.
            raise
        except ProviderError as error:
            # Whatever else it answers, it answers.
            if isinstance(error, ProviderThrottledError):
                self._hold.extend(error.retry_after)
            self._breaker.answered()
            raise
        self._breaker.answered()
        return result


class _Pace:
    """A token bucket by the time of its next free place: `burst` at once, then `rate` a second."""

    def __init__(self, rate: float, burst: int, label: str, clock: Clock) -> None:
        self._interval = 1 / rate
        self._ahead = (burst - 1) * self._interval
        self._label = label
        self._clock = clock
        self._lock = threading.Lock()
        self._next = 0.0

    def wait_for_turn(self) -> None:
        """Raises ProviderThrottledError, and takes no place, where that would last longer than LONGEST_WAIT_SECONDS."""
        with self._lock:
            now = self._clock.monotonic()
            place = max(self._next, now)
            wait = place - self._ahead - now
            if wait > LONGEST_WAIT_SECONDS:
                raise _throttled(self._label, wait)
            self._next = place + self._interval
        if wait > 0:
            self._clock.sleep(wait)


@dataclass(frozen=True, slots=True)
class _StoredHold:
    not_before: AwareDatetime


_STORED_HOLD = TypeAdapter(_StoredHold)
_NONE = datetime.min.replace(tzinfo=UTC)


class _Hold:
    """After a 429 nobody calls before Retry-After has passed: all functions share this moment in the state store.

    It is read at most once in CACHE_SECONDS, and written by a 429 alone. A store that is down leaves what this process
    knows, and stops no call.
    """

    def __init__(self, key: str, label: str, state: StateStore, clock: Clock, chance: Chance) -> None:
        self._key = key
        self._label = label
        self._state = state
        self._clock = clock
        self._chance = chance
        self._lock = threading.Lock()
        self._not_before = _NONE
        self._read_at: float | None = None

    def check(self) -> None:
        """Raises ProviderThrottledError while the provider may not be asked."""
        with self._lock:
            now, seconds = self._clock.now(), self._clock.monotonic()
            self._not_before = _credible(self._not_before, now)
            if self._read_at is None or seconds - self._read_at >= CACHE_SECONDS:
                self._read_at = seconds
                with suppress(StoreUnavailableError):
                    self._not_before = max(self._not_before, self._stored(now)[0])
            if self._not_before > now:
                raise _throttled(self._label, (self._not_before - now).total_seconds())

    def extend(self, retry_after: float) -> None:
        """Hold all functions back for `retry_after` seconds and up to a tenth more, unless they are held for longer."""
        with self._lock:
            now = self._clock.now()
            retry_after = min(retry_after, LONGEST_HOLD.total_seconds())
            earliest = now + timedelta(seconds=retry_after)
            if _credible(self._not_before, now) >= earliest:
                return
            self._not_before = earliest + timedelta(seconds=retry_after * self._chance() / 10)
            with suppress(StoreUnavailableError):
                self._share(earliest, now)

    def _share(self, earliest: datetime, now: datetime) -> None:
        """Store the hold unless one as long is there; once more when another function was first."""
        for _ in range(2):
            stored, version = self._stored(now)
            if stored >= earliest:
                return
            value = _STORED_HOLD.dump_python(_StoredHold(self._not_before), mode="json")
            with suppress(StaleWrite):
                self._state.put(self._key, value, now=now, expires_at=self._not_before, if_version=version)
                return

    def _stored(self, now: datetime) -> tuple[datetime, int]:
        """What is stored and its version; whatever cannot be read holds nobody back."""
        item = self._state.get(self._key, now=now)
        stored = read_value(item, _STORED_HOLD)
        return _credible(stored.not_before, now) if stored else _NONE, item.version if item else 0


class _Breaker:
    """Leaves a provider alone that has not answered FAILURES_UNTIL_OPEN calls in a row, for a growing, jittered time.

    Then one call tries it: an answer, whatever it says, closes the breaker; another failure opens it for longer.
    """

    def __init__(self, label: str, clock: Clock, chance: Chance, longest_opening: float) -> None:
        self._label = label
        self._clock = clock
        self._chance = chance
        self._longest_opening = longest_opening
        self._lock = threading.Lock()
        self._failures = 0
        self._openings = 0
        self._open_until = 0.0

    def check(self) -> None:
        """Raises ProviderUnavailableError while the provider is left alone, or being tried."""
        seconds = self._open_until - self._clock.monotonic()
        if self._openings and seconds > 0:
            raise ProviderUnavailableError(
                f"{self._label} has not been answering; it will be asked again in {seconds:.0f} seconds."
            )

    def begin(self) -> bool:
        """Whether this call is the one that tries the provider; the others are refused meanwhile, as by `check`."""
        with self._lock:
            self.check()
            if self._openings:
                self._open_until = self._clock.monotonic() + PROBE_SECONDS
            return self._openings > 0

    def answered(self) -> None:
        with self._lock:
            self._failures = self._openings = 0

    def failed(self, *, is_probe: bool) -> None:
        """Count a call without an answer; an open breaker opens for longer only by the call that tried."""
        with self._lock:
            self._failures += 1
            if is_probe if self._openings else self._failures >= FAILURES_UNTIL_OPEN:
                longest = min(FIRST_OPENING_SECONDS * 2.0 ** min(self._openings, 16), self._longest_opening)
                self._open_until = self._clock.monotonic() + longest * (1 - self._chance() / 2)
                self._openings += 1


def _credible(moment: datetime, now: datetime) -> datetime:
    """The moment until which to hold back; none for one beyond every hold."""
    return moment if moment <= latest_credible(now, LONGEST_HOLD * 1.1) else _NONE


def _throttled(label: str, seconds: float) -> ProviderThrottledError:
    return ProviderThrottledError(
        f"{label} limits how often it may be asked; it will be asked again in {max(seconds, 1):.0f} seconds.",
        retry_after=seconds,
    )
