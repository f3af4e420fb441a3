"""Writing in batches behind a reader, so that neither waits for the other; how far behind is bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")


class WriteBehind(Generic[Item]):
    """Hands items on to `write`, `size` at once, in their order, in one thread of its own.

    `add` waits when more than `ahead` batches are unwritten. Everything added is written when the block ends; what
    `write` raises is raised by a later `add`, or there.
    """

    def __init__(self, write: Callable[[Sequence[Item]], None], *, size: int, ahead: int) -> None:
        self._write = write
        self._size = size
        self._ahead = ahead
        self._batch: list[Item] = []
        self._unwritten: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> WriteBehind[Item]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        with self._thread:
            if kind is None:
                self._hand_on()
                self._wait_until_unwritten(0)

    def add(self, item: Item) -> None:
        self._batch.append(item)
        if len(self._batch) == self._size:
            self._hand_on()
            self._wait_until_unwritten(self._ahead)

    def _hand_on(self) -> None:
        if self._batch:
            self._unwritten.append(self._thread.submit(self._write, self._batch))
            self._batch = []

    def _wait_until_unwritten(self, count: int) -> None:
        while len(self._unwritten) > count:
            self._unwritten.popleft().result()
