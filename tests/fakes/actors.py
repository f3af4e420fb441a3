"""Many processes in one, on a clock that moves when all of them wait: no second passes, and each run is the same."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count

from tests.fakes.clock import START


class Actors:
    """A clock for the threads that it starts; one of them runs at a time, the others sleep.

    None may wait for another in any way but by sleeping.
    """

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._seconds = 0.0
        self._waiting: list[tuple[float, int, threading.Event]] = []
        self._numbers = count()
        self._is_over = threading.Event()
        self._errors: list[BaseException] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return self._seconds

    def sleep(self, seconds: float) -> None:
        turn = threading.Event()
        self._enter(seconds, turn)
        self._wake_next()
        turn.wait()

    def start(self, act: Callable[[], object]) -> None:
        """Before `run`, or from one that acts."""
        turn = threading.Event()

        def live() -> None:
            turn.wait()
            try:
                act()
            except BaseException as error:  # noqa: BLE001 - told by `run`, in the thread that waits
                self._errors.append(error)
            finally:
                self._wake_next()

        self._enter(0, turn)
        threading.Thread(target=live, daemon=True).start()

    def run(self) -> None:
        """Until all have ended. Raises what any of them raised."""
        self._wake_next()
        self._is_over.wait()
        for error in self._errors:
            raise error

    def _enter(self, seconds: float, turn: threading.Event) -> None:
        heapq.heappush(self._waiting, (self._seconds + max(0.0, seconds), next(self._numbers), turn))

    def _wake_next(self) -> None:
        if not self._waiting or self._errors:
            self._is_over.set()
            return
        self._seconds, _, turn = heapq.heappop(self._waiting)
        turn.set()
