"""Child processes, each in a process group of its own, so that ending one ends everything it started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from infra.templates import REPOSITORY

POLL_SECONDS = 0.05
GRACE_SECONDS = 8.0
LARGEST_LOG = 10_000_000


class StackStopped(Exception):
    """Somebody asked the stack to end while it was coming up."""


class StackFailed(Exception):
    """A part did not come up or ended by itself; the message says which and shows its last lines."""


def _c_library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None


_C_LIBRARY = _c_library()
_SET_PARENT_DEATH_SIGNAL = 1


def _end_with_parent(parent: int) -> None:
    """So that not even a killed starter leaves a process, on Linux; a parent that is gone by now is noticed too."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if _C_LIBRARY is not None:
        _C_LIBRARY.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)


class Child:
    """One started program. Its output goes to a file; what was there before is kept beside it."""

    def __init__(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists():
            log.replace(self._previous_log)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=REPOSITORY,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(_end_with_parent, os.getpid()),  # noqa: PLW1509 - two calls, nothing that could lock
            )

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    @property
    def _previous_log(self) -> Path:
        return self.log.with_suffix(".previous.log")

    def rotate_log(self, largest: int = LARGEST_LOG) -> None:
        """Begins the file anew once it is larger; the program goes on writing to it."""
        if self.log.stat().st_size > largest:
            shutil.copyfile(self.log, self._previous_log)
            os.truncate(self.log, 0)

    def last_lines(self, count: int = 15) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])

    def signal_group(self, signal_number: signal.Signals) -> None:
        """Reaches the child's own children too, also when the child itself is already gone."""
        try:
            os.killpg(self._process.pid, signal_number)
        except ProcessLookupError:
            return

    def group_is_alive(self) -> bool:
        self._process.poll()
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True


class Children:
    """All programs of one stack: started in order, watched, ended together."""

    def __init__(self, log_dir: Path, stop: threading.Event) -> None:
        self._log_dir = log_dir
        self._stop = stop
        self._children: list[Child] = []

    def start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str]) -> Child:
        child = Child(name, command, environment, self._log_dir / f"{name}.log")
        self._children.append(child)
        return child

    def run(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str], *, seconds: float) -> None:
        """Runs a program to its end. Raises StackFailed when it fails or takes longer, StackStopped on a stop."""
        child = self.start(name, command, environment)
        deadline = time.monotonic() + seconds
        while (code := child.exit_code) is None:
            if time.monotonic() > deadline:
                raise StackFailed(f"{name} took longer than {seconds:.0f} s.\n{child.last_lines()}")
            self._pause()
        self._children.remove(child)
        if code != 0:
            raise StackFailed(f"{name} failed.\n{child.last_lines()}")

    def wait_until(self, what: str, is_ready: Callable[[], bool], *, seconds: float) -> None:
        """Asks until it is ready. Raises StackFailed when a child ends meanwhile or time is over."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                newest = self._children[-1]
                lines = f"The last lines of {newest.log}:\n{newest.last_lines()}"
                raise StackFailed(f"{what} was not ready after {seconds:.0f} s. {lines}")
            self._pause()

    def check(self) -> None:
        """Raises StackFailed when a child has ended by itself; keeps logs small."""
        for child in self._children:
            with contextlib.suppress(OSError):
                child.rotate_log()
            if child.exit_code is not None:
                raise StackFailed(
                    f"{child.name} ended by itself with code {child.exit_code}. Its last lines:\n{child.last_lines()}"
                )

    def stop_all(self) -> None:
        """Ends one group after the other, the last started first, so that each still finds those it needs.

        What has not ended within its grace is killed.
        """
        for child in reversed(self._children):
            for number in (signal.SIGTERM, signal.SIGKILL):
                child.signal_group(number)
                deadline = time.monotonic() + GRACE_SECONDS
                while child.group_is_alive() and time.monotonic() < deadline:
                    time.sleep(POLL_SECONDS)
        self._children.clear()

    def _pause(self) -> None:
        if self._stop.wait(POLL_SECONDS):
            raise StackStopped
