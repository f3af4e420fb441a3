"""Reading news: as far as the head says, a hole read again three times, what was trimmed told apart from it (I14)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.services.delivery.read_events import ReadEvents, Run
from tests.delivery import Delivery
from tests.fakes import FakeClock


class Log(Delivery):
    """A log of six changes, read on a clock that only sleeps move."""

    def __init__(self) -> None:
        super().__init__(clock=FakeClock())
        self.publish(6)

    @property
    def slept(self) -> list[float]:
        assert isinstance(self.clock, FakeClock)
        return self.clock.slept

    def read(self, after: int = 0, limit: int = 100) -> Run:
        return self.parts.use(ReadEvents).run(after, self.stores.events.head(), limit=limit)


def numbers(run: Run) -> list[int]:
    return [change.seq for change in run.changes]


@pytest.mark.parametrize(("after", "limit", "read"), [(0, 100, [1, 2, 3, 4, 5, 6]), (2, 3, [3, 4, 5]), (6, 100, [])])
def test_what_is_there_is_read_at_once(after: int, limit: int, read: list[int]) -> None:
    log = Log()

    run = log.read(after, limit)

    assert numbers(run) == read
    assert not run.is_torn
    assert log.slept == []


@pytest.mark.parametrize(("times", "slept"), [(1, [0.05]), (2, [0.05, 0.1]), (3, [0.05, 0.1, 0.2])])
def test_a_hole_that_closes_meanwhile_is_not_seen(times: int, slept: list[float]) -> None:
    log = Log()
    log.stores.faults.tear_reads(4, times=times)

    run = log.read()

    assert numbers(run) == [1, 2, 3, 4, 5, 6]
    assert not run.is_torn
    assert log.slept == slept


@pytest.mark.parametrize("hole", [1, 4, 6])
def test_a_hole_that_stays_is_left_after_350_ms(hole: int) -> None:
    """At the end too: the head promises an event that the reader does not see yet (AWS-22)."""
    log = Log()
    log.stores.faults.tear_reads(hole, times=100)

    run = log.read()

    assert numbers(run) == list(range(1, hole))
    assert (run.is_torn, run.is_trimmed) == (True, False)
    assert log.slept == [0.05, 0.1, 0.2]


def test_what_was_trimmed_behind_the_head_is_no_hole() -> None:
    log = Log()
    head = log.stores.events.head()
    log.trim_all()

    run = log.parts.use(ReadEvents).run(2, head, limit=100)

    assert (numbers(run), run.is_torn, run.is_trimmed) == ([], True, True)


def test_a_log_that_began_anew_is_no_hole_either() -> None:
    log = Log()
    head = log.stores.events.head()
    log.stores.commit_rows.clear()
    log.stores.head = replace(head, epoch="another", seq=0)

    run = log.parts.use(ReadEvents).run(2, head, limit=100)

    assert (run.is_torn, run.is_trimmed) == (True, True)
