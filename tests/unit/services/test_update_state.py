"""Read, change, write: decided anew whenever another was first, so that no change is lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.domain.errors import StoreUnavailableError
from shared.domain.stored import StateItem
from shared.services.update_state import TRIES, update_state
from tests.fakes.clock import FakeClock
from tests.fakes.stores import FakeStores


class Counter:
    """Counts one up; `rivals` others do so between each of its reads and writes."""

    def __init__(self, rivals: int = 0) -> None:
        self.clock = FakeClock()
        self.state = FakeStores(self.clock).state
        self.rivals = rivals

    def one_more(self, item: StateItem | None) -> dict[str, object]:
        if self.rivals:
            self.rivals -= 1
            self.state.put("n", self._next(item), now=self.clock.now())
        return self._next(item)

    def add(self) -> int:
        kept = update_state(self.state, self.clock, "n", self.one_more)
        assert kept is not None
        return int(str(kept.value["n"]))

    def _next(self, item: StateItem | None) -> dict[str, object]:
        return {"n": int(str(item.value["n"])) + 1 if item else 1}


def test_a_change_begins_with_nothing_and_goes_on_from_what_is_stored() -> None:
    counter = Counter()
    assert [counter.add() for _ in range(3)] == [1, 2, 3]


def test_a_rivals_change_is_kept_and_ours_comes_on_top() -> None:
    assert Counter(rivals=2).add() == 3


def test_one_who_is_never_first_is_told_to_come_again() -> None:
    with pytest.raises(StoreUnavailableError, match="try again"):
        Counter(rivals=TRIES).add()


def test_nothing_to_change_writes_nothing() -> None:
    counter = Counter()
    counter.add()
    version = update_state(counter.state, counter.clock, "n", lambda _: None)
    assert version == counter.state.get("n", now=counter.clock.now())


def test_a_value_with_a_life_is_gone_after_it() -> None:
    counter = Counter()
    update_state(counter.state, counter.clock, "n", counter.one_more, life=timedelta(seconds=60))
    counter.clock.advance(61)
    assert counter.add() == 1
