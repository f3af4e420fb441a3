"""Writing behind a reader: in order, a bounded number of batches behind, and never silent about a failure."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from shared.services.polling.write_behind import WriteBehind


def test_everything_is_written_in_order_and_in_batches_when_the_block_ends() -> None:
    written: list[Sequence[int]] = []
    with WriteBehind(written.append, size=3, ahead=1) as behind:
        for number in range(8):
            behind.add(number)
    assert written == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_nothing_added_writes_nothing() -> None:
    written: list[Sequence[int]] = []
    with WriteBehind(written.append, size=3, ahead=1):
        pass
    assert written == []


def test_the_reader_waits_when_it_is_too_far_ahead() -> None:
    may_write = threading.Event()
    is_ahead = threading.Event()
    written: list[int] = []

    def write(batch: Sequence[int]) -> None:
        may_write.wait(10)
        written.extend(batch)

    def read() -> None:
        with WriteBehind(write, size=1, ahead=2) as behind:
            for number in (0, 1):
                behind.add(number)
            is_ahead.set()
            behind.add(2)
            assert written[:1] == [0]

    reader = threading.Thread(target=read)
    reader.start()
    assert is_ahead.wait(10)
    assert written == []
    may_write.set()
    reader.join()
    assert written == [0, 1, 2]


def add_all(behind: WriteBehind[int], count: int) -> None:
    with behind:
        for number in range(count):
            behind.add(number)


@pytest.mark.parametrize("count", [2, 9])
def test_what_a_write_raises_reaches_the_reader(count: int) -> None:
    def write(batch: Sequence[int]) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        add_all(WriteBehind(write, size=2, ahead=1), count)


def test_what_was_handed_on_is_written_although_the_reader_fails() -> None:
    written: list[Sequence[int]] = []

    def read() -> None:
        with WriteBehind(written.append, size=2, ahead=1) as behind:
            for number in range(3):
                behind.add(number)
            raise KeyError

    with pytest.raises(KeyError):
        read()
    assert written == [[0, 1]]
