"""Writing in batches behind a reader, so that neither waits for the other; how far behind is bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def write_behind(items: Iterable[Item], write: Callable[[Sequence[Item]], None], *, size: int, ahead: int) -> None:
    """Write all items, `size` at once, in their order, in one thread of its own, while the next ones are read here.

    Reading waits while more than `ahead` batches are unwritten. Raises what reading and `write` raise; what was read
    in whole batches until then is written all the same.
    """
    source = iter(items)
    unwritten: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1) as thread:
        while batch := list(islice(source, size)):
            unwritten.append(thread.submit(write, batch))
            while len(unwritten) > ahead:
                unwritten.popleft().result()
        for writing in unwritten:
            writing.result()
