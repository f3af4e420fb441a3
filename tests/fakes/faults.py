"""What can go wrong with a store, switchable one by one, as AWS does it (DynamoDB Local never does)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta

from shared.domain.errors import StaleWrite, StoreUnavailableError


class Crash(BaseException):
    """The process died here. No `except Exception` catches it, as nothing catches a killed process."""


@dataclass
class Faults:
    """Counts run from the moment they are set: 1 is the very next call (or write).

    `index_lag` is how long a committed change stays invisible in every index. Everything else works as planned
    calls: throttled calls and conflicts write nothing, a crash *after* a write has written and loses the answer.
    """

    index_lag: timedelta = timedelta(0)
    _throttled: set[int] = field(default_factory=set)
    _conflicts: set[int] = field(default_factory=set)
    _turn_conflicts: int = 0
    _crash_before: set[int] = field(default_factory=set)
    _crash_after: set[int] = field(default_factory=set)
    _torn: Counter[int] = field(default_factory=Counter)
    _calls: int = 0
    _commits: int = 0
    _writes: int = 0

    def throttle_call(self, *numbers: int) -> None:
        """StoreUnavailableError on the nth call of any kind."""
        self._throttled |= {self._calls + number for number in numbers}

    def conflict_on_commit(self, *numbers: int) -> None:
        """StaleWrite(head=True) on the nth commit although nothing had moved (TransactionConflict)."""
        self._conflicts |= {self._commits + number for number in numbers}

    def conflict_on_turn(self, times: int) -> None:
        """StaleWrite on the next so many tries to take the committer's turn."""
        self._turn_conflicts = times

    def crash_before_write(self, *numbers: int) -> None:
        self._crash_before |= {self._writes + number for number in numbers}

    def crash_after_write(self, *numbers: int) -> None:
        self._crash_after |= {self._writes + number for number in numbers}

    def tear_reads(self, *numbers: int, times: int = 1) -> None:
        """The commits whose last numbers these are are missing from the next `times` reads that should hold them."""
        for number in numbers:
            self._torn[number] = times

    def clear(self) -> None:
        """No more planned faults, and indexes at once consistent."""
        self.index_lag = timedelta(0)
        self._turn_conflicts = 0
        for planned in (self._throttled, self._conflicts, self._crash_before, self._crash_after, self._torn):
            planned.clear()

    def begin_call(self) -> None:
        self._calls += 1
        if self._calls in self._throttled:
            raise StoreUnavailableError("The store is throttled.")

    def begin_commit(self) -> None:
        self._commits += 1
        if self._commits in self._conflicts:
            raise StaleWrite(head=True)

    def begin_turn(self) -> None:
        if self._turn_conflicts > 0:
            self._turn_conflicts -= 1
            raise StaleWrite(head=True)

    def begin_write(self) -> None:
        self._writes += 1
        if self._writes in self._crash_before:
            raise Crash

    def end_write(self) -> None:
        if self._writes in self._crash_after:
            raise Crash

    def torn_from(self, numbers: Collection[int]) -> frozenset[int]:
        """Which of these numbers this read does not see."""
        missing = frozenset(number for number in numbers if self._torn[number] > 0)
        self._torn.subtract(missing)
        return missing
