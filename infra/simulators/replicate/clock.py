"""Where the simulator's time comes from; every job is a pure function of it."""

import time
from typing import Protocol

NANOSECONDS = 1_000_000_000


class SimulatorClock(Protocol):
    """Time as nanoseconds since 1970 (UTC)."""

    def now_ns(self) -> int:
        """The time by which the provider's jobs move."""
        ...

    def delivery_seconds(self) -> int:
        """The time that a webhook is signed with: what its receiver calls now."""
        ...

    def jump(self, seconds: float) -> None:
        """Move forward by `seconds`; raises ValueError when negative, because logs must only grow."""
        ...

    @property
    def offset_ns(self) -> int:
        """How far this clock was moved ahead of the machine's."""
        ...


class MachineClock:
    """The machine's clock, which can be moved ahead; signatures keep the machine's own time."""

    def __init__(self, offset_ns: int = 0) -> None:
        self._offset_ns = offset_ns

    def now_ns(self) -> int:
        return time.time_ns() + self._offset_ns

    def delivery_seconds(self) -> int:
        return int(time.time())

    def jump(self, seconds: float) -> None:
        self._offset_ns += _forward(seconds)

    @property
    def offset_ns(self) -> int:
        return self._offset_ns


class StandingClock:
    """A clock that stands still until it is told to jump."""

    def __init__(self, start_seconds: float = 1_767_225_600.0) -> None:
        self._now_ns = int(start_seconds * NANOSECONDS)

    def now_ns(self) -> int:
        return self._now_ns

    def delivery_seconds(self) -> int:
        return self._now_ns // NANOSECONDS

    def jump(self, seconds: float) -> None:
        self._now_ns += _forward(seconds)

    @property
    def offset_ns(self) -> int:
        return 0


def _forward(seconds: float) -> int:
    if seconds < 0:
        raise ValueError("the clock only moves forward")
    return int(seconds * NANOSECONDS)
