"""Writing behind a reader: in order, a bounded number of batches behind, and never silent about a failure."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from shared.services.polling.write_behind import write_behind


def test_everything_is_written_in_order_and_in_batches() -> None:
    written: list[Sequence[int]] = []
    write_behind(range(8), written.append, size=3, ahead=1)
    assert written == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_nothing_read_writes_nothing() -> None:
    written: list[Sequence[int]] = []
    write_behind((), written.append, size=3, ahead=1)
    assert written == []


def test_the_reader_waits_when_it_is_too_far_ahead() -> None:
    may_write = threading.Event()
    is_ahead = threading.Event()
    written: list[int] = []
    written_before_the_fourth: list[int] = []

    def write(batch: Sequence[int]) -> None:
        may_write.wait(10)
        written.extend(batch)

    def numbers() -> Iterator[int]:
        yield from (0, 1)
        is_ahead.set()
        yield 2
        written_before_the_fourth.extend(written)
        yield 3

    reader = threading.Thread(target=write_behind, args=(numbers(), write), kwargs={"size": 1, "ahead": 2})
    reader.start()
    assert is_ahead.wait(10)
    assert written == []
    may_write.set()
    reader.join()
    assert written_before_the_fourth[:1] == [0]
    assert written == [0, 1, 2, 3]


@pytest.mark.parametrize("count", [2, 9])
def test_what_a_write_raises_reaches_the_reader(count: int) -> None:
    def write(batch: Sequence[int]) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        write_behind(range(count), write, size=2, ahead=1)


def test_what_was_handed_on_is_written_although_the_reader_fails() -> None:
    written: list[Sequence[int]] = []

    def numbers() -> Iterator[int]:
        yield from range(3)
        raise KeyError

    with pytest.raises(KeyError):
        write_behind(numbers(), written.append, size=2, ahead=1)
    assert written == [[0, 1]]
