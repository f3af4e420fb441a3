"""One at a time: a lease is an item that expires, so that whoever dies with it holds nobody up for longer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.errors import StaleWrite, StoreUnavailableError
from shared.ports import Clock, StateStore, Telemetry

LOOK_EVERY = 0.05
"""Seconds. Seldom looks would lose a busy lease to whoever comes just as it is given back."""


@dataclass(frozen=True)
class Leases:
    """Each is one item of the state store, written only while it is absent or expired (I16)."""

    state: StateStore
    clock: Clock
    telemetry: Telemetry

    @contextmanager
    def hold(self, *keys: str, life: timedelta, wait_seconds: float = 0) -> Iterator[bool]:
        """Hold one of these leases for the time of the block; yields False when others hold them all.

        `life` must be longer than the block may last. Raises StoreUnavailableError.
        """
        deadline = self.clock.monotonic() + wait_seconds
        held = self._take_one(keys, life)
        while held is None and self.clock.monotonic() < deadline:
            self.clock.sleep(LOOK_EVERY)
            held = self._take_one(keys, life)
        try:
            yield held is not None
        finally:
            if held is not None:
                self._give_back(*held)

    def take(self, key: str, *, life: timedelta) -> int | None:
        """The version of a lease that is left to expire; None when another holds it. One write, no read."""
        now = self.clock.now()
        try:
            return self.state.put(key, {}, now=now, expires_at=now + life, if_version=0)
        except StaleWrite:
            return None

    def _take_one(self, keys: tuple[str, ...], life: timedelta) -> tuple[str, int] | None:
        """The first by one write; the others are looked at together, and only the free ones tried."""
        if not keys:
            return None
        first, *others = keys
        version = self.take(first, life=life)
        if version is not None:
            return first, version
        taken = self.state.get_many(others, now=self.clock.now()) if others else {}
        tried = ((key, self.take(key, life=life)) for key in others if key not in taken)
        return next(((key, version) for key, version in tried if version is not None), None)

    def _give_back(self, key: str, version: int) -> None:
        """Best effort: a lease that cannot be given back expires."""
        try:
            self.state.delete(key, now=self.clock.now(), if_version=version)
        except (StaleWrite, StoreUnavailableError) as error:
            self.telemetry.info("lease not given back", reason=error.detail)
