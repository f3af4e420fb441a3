"""Slow down who guesses credentials: each wrong one costs its network a try (T15)."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock

from shared.domain.errors import TooManyWrongKeysError
from shared.domain.network import network_of
from shared.ports import Clock

TRIES_AT_ONCE = 20
TRIES_A_SECOND = 1.0
NETWORKS_KEPT = 1_000
"""Those that failed last: about 200 kB."""


@dataclass(slots=True)
class _Tries:
    """`left` of them at the moment `at` (monotonic seconds)."""

    left: float
    at: float

    def left_at(self, now: float) -> float:
        return min(TRIES_AT_ONCE, self.left + max(0.0, now - self.at) * TRIES_A_SECOND)


@dataclass(frozen=True)
class SlowGuesses:
    """What this process knows of who has failed; nothing of it is stored, so that a guess costs no write.

    `is_open`: AUTH_MODE=none, where there is nothing to guess.
    """

    clock: Clock
    is_open: bool
    _failed: OrderedDict[str, _Tries] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def refuse_guesser(self, source_ip: str) -> None:
        """Raises TooManyWrongKeysError when this address has no try left.

        To be asked before a credential is looked at, so that a right one gets the same answer in the same time.
        """
        seconds = self._seconds_to_wait(source_ip)
        if seconds > 0:
            raise TooManyWrongKeysError(
                "Too many wrong keys came from your address; wait a few seconds, then send the right one.",
                retry_after=math.ceil(seconds),
            )

    def is_guesser(self, source_ip: str) -> bool:
        """Whether `refuse_guesser` would raise."""
        return self._seconds_to_wait(source_ip) > 0

    def count_failure(self, source_ip: str) -> None:
        """A credential of this address was wrong."""
        if self.is_open:
            return
        network, now = network_of(source_ip), self.clock.monotonic()
        with self._lock:
            known = self._failed.pop(network, None)
            left = known.left_at(now) if known else TRIES_AT_ONCE
            self._failed[network] = _Tries(max(0.0, left - 1), now)
            if len(self._failed) > NETWORKS_KEPT:
                self._failed.popitem(last=False)

    def _seconds_to_wait(self, source_ip: str) -> float:
        """Until the next try; 0 when there is one."""
        known = self._failed.get(network_of(source_ip))
        missing = 1 - known.left_at(self.clock.monotonic()) if known else 0
        return max(0.0, missing / TRIES_A_SECOND)
