"""A provider that is asked no more than it bears: paced, held back after a 429, left alone while it is down (I29)."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from shared.domain import state_keys
from shared.domain.account import Account
from shared.domain.errors import (
    ProviderAnswerInvalidError,
    ProviderJobNotFoundError,
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderTokenRejectedError,
    ProviderUnavailableError,
    StaleWrite,
    StoreUnavailableError,
)
from shared.domain.job import from_iso, to_iso
from shared.domain.observation import Look, ObservationPage
from shared.domain.provider_profile import ProviderProfile
from shared.ports import Clock, Provider, StateStore

REQUESTS_PER_SECOND = 40.0
BURST = 8
"""With REQUESTS_PER_SECOND at most 48 calls begin in any second, within the provider's 50."""

LONGEST_WAIT_SECONDS = 5.0
CACHE_SECONDS = 2.0
FAILURES_UNTIL_OPEN = 5
FIRST_OPENING_SECONDS = 10.0
LONGEST_OPENING_SECONDS = 300.0
PROBE_SECONDS = 20.0
"""Longer than any call takes; a probe that has not reported by then is given to another."""

FORGET_AFTER = timedelta(hours=1)
"""No hold is longer, so that one that seems to be is forgotten."""

_ANSWERS = (
    ProviderAnswerInvalidError,
    ProviderJobNotFoundError,
    ProviderRefusedError,
    ProviderTokenRejectedError,
)
"""Errors that prove that the provider answers: none of them opens the breaker, each of them closes it."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Hold:
    """What all functions share about a provider; everything None: all is well.

    `not_before` follows a 429, `open_until` the `openings`-th failure in a row, `probe_until` is the time that one
    caller has to find out whether the provider is back.
    """

    not_before: datetime | None = None
    open_until: datetime | None = None
    openings: int = 0
    probe_until: datetime | None = None

    def to_value(self) -> dict[str, object]:
        moments = {"not_before": self.not_before, "open_until": self.open_until, "probe_until": self.probe_until}
        return {"openings": self.openings} | {name: to_iso(at) for name, at in moments.items() if at is not None}

    @staticmethod
    def of(value: Mapping[str, object]) -> _Hold:
        """Whatever cannot be read holds nobody back."""
        openings = value.get("openings")
        return _Hold(
            not_before=_moment(value.get("not_before")),
            open_until=_moment(value.get("open_until")),
            openings=int(openings) if isinstance(openings, int | float) else 0,
            probe_until=_moment(value.get("probe_until")),
        )

    @property
    def expires_at(self) -> datetime | None:
        """When this may be forgotten; well after its last moment, since stores round expiry to seconds."""
        moments = [at for at in (self.not_before, self.open_until, self.probe_until) if at is not None]
        return max(moments) + FORGET_AFTER if moments else None


class GuardedProvider:
    """`ports.Provider` around another, safe to share between threads.

    Shared by all functions through the state store (one read per CACHE_SECONDS and process, no write while all is
    well): after a 429 nobody calls before Retry-After has passed; after FAILURES_UNTIL_OPEN calls in a row without
    an answer the provider is left alone for a growing, jittered time, then one caller alone tries it. A rejected
    token, a 404 or a refusal is an answer and never opens the breaker.

    `account` and `cancel` pass an open breaker, though never a 429: a person who stores another token must see at
    once whether it is good, and a job that can't be cancelled costs money. Their success closes the breaker.

    Pacing is of this process: `requests_per_second` is its share of the provider's 50. Calls wait for their turn up
    to LONGEST_WAIT_SECONDS, then ProviderThrottledError. A state store that is down guards nothing beyond this
    process, but stops no call.
    """

    def __init__(
        self,
        inner: Provider,
        *,
        state: StateStore,
        clock: Clock,
        requests_per_second: float = REQUESTS_PER_SECOND,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`chance` gives numbers from 0 to 1 and spreads the moments at which functions come back."""
        self._inner = inner
        self._state = state
        self._clock = clock
        self._chance = chance
        self._key = state_keys.provider_hold(inner.name)
        self._pace = _Pace(requests_per_second, BURST)
        self._lock = threading.Lock()
        self._hold = _Hold()
        self._version = 0
        self._is_shared = True
        self._read_at: float | None = None
        self._failures = 0

    @property
    def profile(self) -> ProviderProfile:
        return self._inner.profile

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def label(self) -> str:
        return self._inner.label

    def account(self) -> Account:
        return self._guarded(self._inner.account, passes_breaker=True)

    def list_page(
        self, kind: str, *, page: str | None = None, created_after: datetime | None = None
    ) -> ObservationPage:
        return self._guarded(lambda: self._inner.list_page(kind, page=page, created_after=created_after))

    def get(self, external_id: str, kind: str) -> Look:
        return self._guarded(lambda: self._inner.get(external_id, kind))

    def full_log(self, external_id: str, kind: str) -> str | None:
        return self._guarded(lambda: self._inner.full_log(external_id, kind))

    def cancel(self, external_id: str, kind: str) -> None:
        self._guarded(lambda: self._inner.cancel(external_id, kind), passes_breaker=True)

    def webhook_secret(self) -> str:
        return self._guarded(self._inner.webhook_secret)

    def _guarded(self, call: Callable[[], Result], *, passes_breaker: bool = False) -> Result:
        with self._lock:
            self._refuse_if_held(passes_breaker=passes_breaker)
        self._wait_for_turn()
        with self._lock:
            self._refuse_if_held(passes_breaker=passes_breaker)
            may_close = passes_breaker or self._begin_probe()
        try:
            result = call()
        except ProviderThrottledError as error:
            self._throttled(error.retry_after, may_close=may_close)
            raise
        except ProviderUnavailableError:
            self._failed(is_probe=may_close and not passes_breaker)
            raise
        except _ANSWERS:
            self._answered(may_close=may_close)
            raise
        self._answered(may_close=may_close)
        return result

    def _wait_for_turn(self) -> None:
        with self._lock:
            wait = self._pace.reserve(self._clock.monotonic())
        if wait > LONGEST_WAIT_SECONDS:
            raise self._throttling_error(wait)
        if wait > 0:
            self._clock.sleep(wait)

    def _refuse_if_held(self, *, passes_breaker: bool) -> None:
        hold, now = self._known_hold(), self._clock.now()
        if hold.not_before is not None and _is_ahead(hold.not_before, now):
            raise self._throttling_error((hold.not_before - now).total_seconds())
        if passes_breaker or hold.open_until is None:
            return
        until = max(hold.open_until, hold.probe_until or hold.open_until)
        if _is_ahead(until, now):
            seconds = (until - now).total_seconds()
            raise ProviderUnavailableError(
                f"{self.label} has not been answering; it will be asked again in {seconds:.0f} seconds."
            )

    def _begin_probe(self) -> bool:
        """Whether this call is the one that finds out; with several at once the store decides who it is."""
        hold, now = self._hold, self._clock.now()
        if hold.open_until is None:
            return False
        claimed = replace(hold, probe_until=now + timedelta(seconds=PROBE_SECONDS))
        try:
            self._put(claimed)
        except StaleWrite:
            self._read_at = None
            raise ProviderUnavailableError(f"{self.label} is being tried again just now; please wait.") from None
        return True

    def _answered(self, *, may_close: bool) -> None:
        with self._lock:
            self._failures = 0
            if not may_close or self._hold.open_until is None:
                return
            try:
                self._state.delete(self._key, now=self._clock.now(), if_version=self._version)
            except (StaleWrite, StoreUnavailableError):
                # Another function knows better, or the item lapses by itself.
                self._read_at = None
            self._hold, self._version = _Hold(), 0

    def _failed(self, *, is_probe: bool) -> None:
        with self._lock:
            self._failures += 1
            if not is_probe and (self._failures < FAILURES_UNTIL_OPEN or self._known_hold().open_until is not None):
                return
            self._change(lambda hold: self._opened(hold, is_probe=is_probe))

    def _opened(self, hold: _Hold, *, is_probe: bool) -> _Hold:
        """Leave the provider alone twice as long as the last time, less up to a half by chance."""
        if hold.open_until is not None and not is_probe:
            return hold
        longest = min(FIRST_OPENING_SECONDS * 2.0 ** min(hold.openings, 16), LONGEST_OPENING_SECONDS)
        until = self._clock.now() + timedelta(seconds=longest * (1 - self._chance() / 2))
        return replace(hold, open_until=until, openings=hold.openings + 1, probe_until=None)

    def _throttled(self, retry_after: float, *, may_close: bool) -> None:
        """Hold all functions back for `retry_after` seconds and up to a tenth more."""
        with self._lock:
            self._failures = 0
            now = self._clock.now()
            earliest = now + timedelta(seconds=retry_after)
            held_until = earliest + timedelta(seconds=retry_after * self._chance() / 10)

            def held(hold: _Hold) -> _Hold:
                kept = _Hold() if may_close else hold
                known = hold.not_before
                is_long_enough = known is not None and known >= earliest and _is_ahead(known, now)
                return replace(kept, not_before=hold.not_before if is_long_enough else held_until)

            self._change(held)

    def _known_hold(self) -> _Hold:
        """The shared state, at most CACHE_SECONDS old; what is known already where the store does not answer."""
        now = self._clock.monotonic()
        if self._read_at is None or now - self._read_at >= CACHE_SECONDS:
            self._read()
        return self._hold

    def _read(self) -> None:
        self._read_at = self._clock.monotonic()
        try:
            item = self._state.get(self._key, now=self._clock.now())
        except StoreUnavailableError:
            return
        if item is not None:
            self._hold, self._version, self._is_shared = _Hold.of(item.value), item.version, True
        elif self._is_shared:
            self._hold, self._version = _Hold(), 0

    def _change(self, change: Callable[[_Hold], _Hold]) -> None:
        """Change the shared state; once more over the newer one when another function was first."""
        for _ in range(2):
            changed = change(self._hold)
            if changed == self._hold:
                return
            try:
                self._put(changed)
                return
            except StaleWrite:
                self._read()

    def _put(self, hold: _Hold) -> None:
        """Write over the version that is known. Raises StaleWrite; with the store down it counts in this process."""
        now = self._clock.now()
        try:
            self._version = self._state.put(
                self._key, hold.to_value(), now=now, expires_at=hold.expires_at, if_version=self._version
            )
            self._is_shared = True
        except StoreUnavailableError:
            self._is_shared = False
        self._hold = hold
        self._read_at = self._clock.monotonic()

    def _throttling_error(self, seconds: float) -> ProviderThrottledError:
        return ProviderThrottledError(
            f"{self.label} limits how often it may be asked; it will be asked again in {max(seconds, 1):.0f} seconds.",
            retry_after=seconds,
        )


def _is_ahead(moment: datetime, now: datetime) -> bool:
    """Whether a moment is still to come; one beyond every hold is the mistake of a clock that was ahead."""
    return now < moment <= now + FORGET_AFTER


class _Pace:
    """A token bucket by the time of its next free place: `burst` at once, then `rate` a second."""

    def __init__(self, rate: float, burst: int) -> None:
        self._interval = 1 / rate
        self._ahead = (burst - 1) * self._interval
        self._next = 0.0

    def reserve(self, now: float) -> float:
        """Seconds to wait for one's place; beyond LONGEST_WAIT_SECONDS no place was taken."""
        place = max(self._next, now)
        wait = max(0.0, place - self._ahead - now)
        if wait <= LONGEST_WAIT_SECONDS:
            self._next = place + self._interval
        return wait


def _moment(value: object) -> datetime | None:
    try:
        return from_iso(value) if isinstance(value, str) else None
    except ValueError:
        return None
