"""Do many small sends at once, so that those that hang hold up no others (I21)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

AT_ONCE = 32
MOST_LANES = 128
SLOW_AFTER_SECONDS = 0.15
_LOOK_EVERY_SECONDS = 0.05


class _Lane(threading.Thread):
    """Works tasks off a shared queue, until it is empty or another lane has taken this one's place."""

    def __init__(self, tasks: deque[Callable[[], None]], failed: list[Exception]) -> None:
        super().__init__(daemon=True)
        self._tasks = tasks
        self._failed = failed
        self._began = time.monotonic()
        self.is_replaced = False

    @property
    def is_slow(self) -> bool:
        return self.is_alive() and time.monotonic() - self._began > SLOW_AFTER_SECONDS

    def run(self) -> None:
        while not self.is_replaced:
            try:
                task = self._tasks.popleft()
            except IndexError:
                return
            self._began = time.monotonic()
            try:
                task()
            except Exception as error:  # noqa: BLE001 -- handed to the caller of fan_out
                self._failed.append(error)


def fan_out(tasks: Sequence[Callable[[], None]]) -> None:
    """Run all tasks, `AT_ONCE` at a time in the order given; one that is slow gives its lane to the next.

    Raises the first error of a task after all are done. Real threads, so real time and not a port's.
    """
    waiting = deque(tasks)
    failed: list[Exception] = []
    lanes = [_Lane(waiting, failed) for _ in range(min(AT_ONCE, len(tasks)))]
    for lane in lanes:
        lane.start()
    while waiting:
        time.sleep(_LOOK_EVERY_SECONDS)
        for lane in [lane for lane in lanes if lane.is_slow and not lane.is_replaced]:
            if sum(1 for other in lanes if other.is_alive()) >= MOST_LANES:
                break
            lane.is_replaced = True
            lanes.append(_Lane(waiting, failed))
            lanes[-1].start()
    for lane in lanes:
        lane.join()
    if failed:
        raise failed[0]
