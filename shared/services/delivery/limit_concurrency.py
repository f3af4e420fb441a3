"""Counted places that heal: each is a lease of its own, so a place whose holder died is free again by itself (T17)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.errors import StaleWrite, StoreUnavailableError
from shared.ports import Clock, StateStore, Telemetry

LEASE = timedelta(seconds=30)
"""Longer than any request lives (27 s), so no lease needs renewing."""


@dataclass(frozen=True, slots=True)
class Place:
    key: str
    version: int


@dataclass(frozen=True)
class LimitConcurrency:
    """`count` places under a name. One write takes a free place, one gives it back; nothing is read while some are."""

    state: StateStore
    clock: Clock
    telemetry: Telemetry

    @contextmanager
    def hold(self, name: str, count: int) -> Iterator[bool]:
        """Hold a place for the time of the block; yields False when all are taken."""
        place = self._take(name, count)
        try:
            yield place is not None
        finally:
            if place is not None:
                self._give_back(place)

    def _take(self, name: str, count: int) -> Place | None:
        keys = [f"{name}#{number}" for number in random.sample(range(count), count)]
        place = self._try(keys[0]) if keys else None
        if place is not None or not keys:
            return place
        taken = self.state.get_many(keys, now=self.clock.now())
        free = (key for key in keys if key not in taken)
        return next((place for place in map(self._try, free) if place is not None), None)

    def _try(self, key: str) -> Place | None:
        now = self.clock.now()
        try:
            return Place(key, self.state.put(key, {}, now=now, expires_at=now + LEASE, if_version=0))
        except StaleWrite:
            return None

    def _give_back(self, place: Place) -> None:
        """Best effort: a place that cannot be given back frees itself."""
        try:
            self.state.delete(place.key, now=self.clock.now(), if_version=place.version)
        except (StaleWrite, StoreUnavailableError) as error:
            self.telemetry.info("place not given back", reason=error.detail)
