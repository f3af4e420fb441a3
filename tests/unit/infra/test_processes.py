"""Children end together with everything they started, and one that dies is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local.stack import processes
from infra.local.stack.processes import Children, StackFailed, StackStopped

PYTHON = sys.executable
SLEEPER = [PYTHON, "-c", "import time; time.sleep(60)"]
SPAWN = """
import subprocess, sys
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
print(child.pid, flush=True)
child.wait()
"""
PARENT = [PYTHON, "-c", SPAWN]
STARTER = """
import os, signal, sys, threading
from pathlib import Path
from infra.local.stack.processes import Children
signal.signal(signal.SIGTERM, lambda number, frame: None)
children = Children(Path(sys.argv[1]), threading.Event())
while True:
    children.start("part", ["sleep", "60"], os.environ)
"""


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def children(tmp_path: Path, stop: threading.Event) -> Iterator[Children]:
    children = Children(tmp_path, stop)
    yield children
    children.stop_all()


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def _processes_with(mark: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in variables and _is_alive(int(folder.name)):
            found.append(int(folder.name))
    return found


def _wait_until(is_so: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_grandchildren_end_too(children: Children, tmp_path: Path) -> None:
    children.start("parent", PARENT, os.environ)
    log = tmp_path / "parent.log"
    children.wait_until("the grandchild", lambda: log.read_text().strip().isdigit(), seconds=10)
    grandchild = int(log.read_text())
    assert _is_alive(grandchild)
    children.stop_all()
    assert not _is_alive(grandchild)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent was killed")
def test_a_starter_killed_at_any_moment_leaves_no_child(tmp_path: Path) -> None:
    mark = f"KILLED_STARTER={tmp_path}"
    for milliseconds in range(0, 40, 8):
        log = tmp_path / str(milliseconds) / "part.log"
        environment = {**os.environ, "KILLED_STARTER": str(tmp_path)}
        starter = subprocess.Popen([PYTHON, "-c", STARTER, log.parent], env=environment)
        _wait_until(log.exists)
        time.sleep(milliseconds / 1000)
        starter.kill()
        starter.wait()
    _wait_until(lambda: not _processes_with(mark))


def test_a_stop_that_comes_while_somebody_looks_for_it_is_heard() -> None:
    interrupted = """
import os, signal, threading, time
from infra.local.stack.start import stop_on_signals
stop = threading.Event()
stop_on_signals(stop)
with stop._cond:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.2)
raise SystemExit(0 if stop.wait(10) else 1)
"""
    assert subprocess.run([PYTHON, "-c", interrupted], timeout=60, check=False).returncode == 0


def test_a_child_that_ignores_the_request_is_killed(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.5)
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
    )
    child = children.start("stubborn", [PYTHON, "-c", stubborn], os.environ)
    children.wait_until("it", lambda: "on" in (tmp_path / "stubborn.log").read_text(), seconds=10)
    children.stop_all()
    assert not child.group_is_alive()


def test_a_child_that_dies_is_named_with_its_last_lines(children: Children) -> None:
    children.start("database", [PYTHON, "-c", "print('no space left'); raise SystemExit(3)"], os.environ)
    with pytest.raises(StackFailed, match=r"(?s)database ended by itself with code 3.*no space left"):
        children.wait_until("never", lambda: False, seconds=10)


def test_waiting_has_an_end(children: Children) -> None:
    children.start("slow", SLEEPER, os.environ)
    with pytest.raises(StackFailed, match="the API was not ready"):
        children.wait_until("the API", lambda: False, seconds=0.2)


def test_stop_ends_the_waiting(children: Children, stop: threading.Event) -> None:
    children.start("slow", SLEEPER, os.environ)
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(StackStopped):
        children.wait_until("the API", lambda: False, seconds=3600)


def test_failed_installation_shows_why(children: Children) -> None:
    with pytest.raises(StackFailed, match=r"(?s)install failed.*no network"):
        children.run("install", [PYTHON, "-c", "raise SystemExit('no network')"], os.environ, seconds=10)


def test_previous_output_is_kept_beside_the_new(children: Children, tmp_path: Path) -> None:
    for text in ("first", "second"):
        children.run("tool", [PYTHON, "-c", f"print('{text}')"], os.environ, seconds=10)
    assert (tmp_path / "tool.log").read_text().strip() == "second"
    assert (tmp_path / "tool.previous.log").read_text().strip() == "first"


def test_a_log_that_grew_large_begins_anew_while_its_program_goes_on(children: Children, tmp_path: Path) -> None:
    writer = "import sys\nfor number in range(10**9): print(number, flush=True); sys.stdin.read(0) or time.sleep(0.002)"
    child = children.start("writer", [PYTHON, "-c", f"import time\n{writer}"], os.environ)
    log, previous = tmp_path / "writer.log", tmp_path / "writer.previous.log"
    _wait_until(lambda: log.stat().st_size > 500)
    child.rotate_log(largest=500)
    assert previous.stat().st_size > 500
    assert log.stat().st_size < 500
    last = int(previous.read_text().split()[-1])
    _wait_until(lambda: len(log.read_text().split()) > 2)
    assert int(log.read_text().split()[0]) > last
    assert b"\0" not in log.read_bytes()
