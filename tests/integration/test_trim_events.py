"""The hourly trim: seven days stay, what is older goes, and a long backlog goes over several runs (I15, I16)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from functions.work import trim_events
from shared.domain.job import JobStatus
from shared.services.delivery.trim_events import BATCH, BUDGET
from shared.services.recording.record_observations import RecordObservations
from tests.builders import an_observation
from tests.engine import Engine, an_engine

DAY = 86_400


@pytest.fixture
def engine() -> Iterator[Engine]:
    with an_engine() as engine:
        yield engine


def change(engine: Engine, count: int) -> None:
    """So many commits of an event: each job's discovery."""
    first = len(engine.system.stores.job_rows)
    for number in range(first, first + count):
        seen = an_observation(f"jobjob{number:06d}", JobStatus.RUNNING)
        engine.system.wiring.use(RecordObservations).run([seen])


def test_what_is_younger_than_seven_days_stays(engine: Engine) -> None:
    change(engine, 3)
    engine.system.clock.advance(6.9 * DAY)
    change(engine, 2)
    assert trim_events.handler({}, None) == {"trimmed": 0}
    engine.system.clock.advance(0.2 * DAY)
    assert trim_events.handler({}, None) == {"trimmed": 3}
    head = engine.system.stores.events.head()
    assert (head.first_kept, head.seq) == (4, 5)
    assert [one.seq for one in engine.system.stores.events.read(3, 10)] == [4, 5]


def test_the_trim_run_again_does_nothing(engine: Engine) -> None:
    change(engine, 3)
    engine.system.clock.advance(8 * DAY)
    assert trim_events.handler({}, None) == {"trimmed": 3}
    assert trim_events.handler({}, None) == {"trimmed": 0}


def test_an_empty_log_is_no_error(engine: Engine) -> None:
    assert trim_events.handler({}, None) == {"trimmed": 0}


def test_a_long_backlog_is_left_to_the_next_run_when_time_is_up(engine: Engine) -> None:
    change(engine, 2 * BATCH + 1)
    engine.system.clock.advance(8 * DAY)
    real = engine.system.stores.events.trim

    def slow(**how: object) -> int:
        engine.system.clock.advance(BUDGET)
        return real(**how)  # type: ignore[arg-type]

    engine.system.stores.events.trim = slow  # type: ignore[method-assign]
    assert [trim_events.handler({}, None)["trimmed"] for _ in range(3)] == [BATCH, BATCH, 1]
