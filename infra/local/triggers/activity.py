"""When it is worth looking for changes: an idle stack asks its database twice in five seconds, a busy one at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

AFTERGLOW_SECONDS = 0.5
BUSY_SECONDS = 0.2
IDLE_SECONDS = 2.5


class Activity:
    """Functions write what streams tell, so their calls say when to read. Safe to share between threads."""

    def __init__(self, is_busy: Callable[[], bool] = lambda: False) -> None:
        self._is_busy = is_busy
        self._changed = threading.Condition()
        self._noted = 0
        self._noted_at = float("-inf")

    def note(self) -> None:
        """A function was called or has answered."""
        with self._changed:
            self._noted += 1
            self._noted_at = time.monotonic()
            self._changed.notify_all()

    def wait(self, seen: int) -> int:
        """Until something was noted beyond `seen`, or it is time to look all the same. Returns what has been noted."""
        with self._changed:
            if self._noted == seen:
                is_warm = self._is_busy() or time.monotonic() - self._noted_at < AFTERGLOW_SECONDS
                self._changed.wait(BUSY_SECONDS if is_warm else IDLE_SECONDS)
            return self._noted
