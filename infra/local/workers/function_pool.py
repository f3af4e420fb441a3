"""Calls functions in a bounded number of worker processes; who comes beyond it waits (T29).

As on Lambda a worker belongs to one function and takes one call at a time; a call that finds none idle gets a new one.
When the pool is full, the worker that was idle longest makes room. Idle workers beyond a few end after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from infra.local.workers.wire import LARGEST_MESSAGE, LENGTH, FunctionSpec, framed

SLACK_SECONDS = 5.0
"""Beyond a function's own time-out its worker is killed: then nothing in it obeys any more."""
IDLE_SECONDS = 30.0
KEPT_IDLE = 8
REAP_SECONDS = 10.0
PATIENCE_SECONDS = 1.0
"""So long a call may be overtaken by later ones that find a worker of their own function."""

log = logging.getLogger("functions")


class FunctionFailed(Exception):
    """The function answered with an error; `report` is Lambda's own form of it."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        super().__init__(f"{report.get('errorType')}: {report.get('errorMessage')}")
        self.report = report


@dataclass(eq=False, slots=True)
class _Worker:
    spec: FunctionSpec
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    pid: int
    idle_since: float = 0.0


@dataclass(eq=False, slots=True)
class _Waiting:
    spec: FunctionSpec
    since: float
    turn: asyncio.Future[_Worker | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """A worker of its own function, or None: there is room for a new one."""


class FunctionPool:
    """Belongs to one event loop. `limit` workers at most, and of each function as many as it says."""

    def __init__(self, host: Path, limit: int, on_call: Callable[[], None] = lambda: None) -> None:
        self._host = host
        self._limit = limit
        self._on_call = on_call
        self._idle: list[_Worker] = []
        self._counts: dict[str, int] = {}
        self._waiting: deque[_Waiting] = deque()
        self._running = 0
        self._reaper: asyncio.TimerHandle | None = None

    @property
    def size(self) -> int:
        """How many workers there are, with those that are being started."""
        return sum(self._counts.values())

    @property
    def running(self) -> int:
        """How many calls a worker has in hand now."""
        return self._running

    async def call(self, spec: FunctionSpec, event: dict[str, Any]) -> Any:
        """The function's answer. Raises FunctionFailed, also when the worker ended or had to be killed."""
        worker = await self._worker_for(spec)
        self._running += 1
        self._on_call()
        is_well = False
        try:
            async with asyncio.timeout(spec.timeout + SLACK_SECONDS):
                worker.writer.write(framed({"event": event, "request_id": str(uuid4())}))
                await worker.writer.drain()
                answer = await _read(worker.reader)
            is_well = True
        except TimeoutError:
            raise FunctionFailed(_report("Sandbox.Timedout", f"{spec.name} did not end in time")) from None
        except (OSError, EOFError):
            raise FunctionFailed(_report("Runtime.ExitError", f"{spec.name}: its process ended in a call")) from None
        finally:
            self._running -= 1
            self._on_call()
            if is_well:
                self._free(worker)
            else:
                self._end(worker, kill=True)
        if "answer" in answer:
            return answer["answer"]
        raise FunctionFailed(answer)

    async def close(self, seconds: float) -> None:
        """Waits so long for the calls in hand, then ends every idle worker."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._running:  # noqa: ASYNC110 - only at the end
                    await asyncio.sleep(0.02)
        if self._reaper is not None:
            self._reaper.cancel()
        for worker in list(self._idle):
            self._idle.remove(worker)
            self._end(worker)

    async def _worker_for(self, spec: FunctionSpec) -> _Worker:
        waiting = _Waiting(spec, asyncio.get_running_loop().time())
        self._waiting.append(waiting)
        self._serve_waiting()
        try:
            worker = await waiting.turn
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            elif waiting.turn.done() and not waiting.turn.cancelled():
                self._give_back(spec, waiting.turn.result())
            raise
        return worker if worker is not None else await self._start(spec)

    def _give_back(self, spec: FunctionSpec, worker: _Worker | None) -> None:
        if worker is None:
            self._counts[spec.name] -= 1
            self._serve_waiting()
        else:
            self._free(worker)

    def _take_idle(self, spec: FunctionSpec) -> _Worker | None:
        """The one used last, so that the others can end."""
        for worker in reversed(self._idle):
            if worker.spec.name == spec.name:
                self._idle.remove(worker)
                if worker.reader.at_eof():
                    self._end(worker)
                    return self._take_idle(spec)
                return worker
        return None

    def _makes_room_for(self, spec: FunctionSpec) -> bool:
        """Counts a new worker in where the limits allow one, in the place of an idle one if need be."""
        if self._counts.get(spec.name, 0) >= spec.most_workers:
            return False
        if self.size >= self._limit:
            if not self._idle:
                return False
            self._end(self._idle.pop(0))
        self._counts[spec.name] = self._counts.get(spec.name, 0) + 1
        return True

    async def _start(self, spec: FunctionSpec) -> _Worker:
        """The place is counted already. Raises FunctionFailed when the host is gone."""
        near, far = socket.socketpair()
        try:
            near.setblocking(False)
            await asyncio.to_thread(self._ask_host, far, spec)
            reader, writer = await asyncio.open_connection(sock=near, limit=LARGEST_MESSAGE)
            pid = int((await _read(reader))["pid"])
        except (OSError, EOFError) as error:
            near.close()
            self._counts[spec.name] -= 1
            self._serve_waiting()
            raise FunctionFailed(_report("Runtime.NoWorker", f"{spec.name}: no process for it: {error}")) from None
        finally:
            far.close()
        return _Worker(spec, reader, writer, pid)

    def _ask_host(self, line: socket.socket, spec: FunctionSpec) -> None:
        data = spec.to_bytes()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as host:
            host.settimeout(SLACK_SECONDS)
            host.connect(str(self._host))
            socket.send_fds(host, [LENGTH.pack(len(data))], [line.fileno()])
            host.sendall(data)

    def _free(self, worker: _Worker) -> None:
        now = asyncio.get_running_loop().time()
        worker.idle_since = now
        own = next((waiting for waiting in self._waiting if waiting.spec.name == worker.spec.name), None)
        if own is not None and (own is self._waiting[0] or now - self._waiting[0].since < PATIENCE_SECONDS):
            self._waiting.remove(own)
            own.turn.set_result(worker)
            return
        self._idle.append(worker)
        self._serve_waiting()
        if self._reaper is None and len(self._idle) > KEPT_IDLE:
            self._reaper = asyncio.get_running_loop().call_later(REAP_SECONDS, self._reap)

    def _serve_waiting(self) -> None:
        """Lets everyone go on, the first to come first, for whom there is an idle worker or room for a new one."""
        for waiting in list(self._waiting):
            worker = self._take_idle(waiting.spec)
            if worker is None and not self._makes_room_for(waiting.spec):
                continue
            self._waiting.remove(waiting)
            waiting.turn.set_result(worker)

    def _reap(self) -> None:
        now = asyncio.get_running_loop().time()
        for worker in self._idle[: max(0, len(self._idle) - KEPT_IDLE)]:
            if now - worker.idle_since >= IDLE_SECONDS:
                self._idle.remove(worker)
                self._end(worker)
        is_needed = len(self._idle) > KEPT_IDLE
        self._reaper = asyncio.get_running_loop().call_later(REAP_SECONDS, self._reap) if is_needed else None

    def _end(self, worker: _Worker, *, kill: bool = False) -> None:
        if kill:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
        worker.writer.close()
        self._counts[worker.spec.name] -= 1
        if kill:
            self._serve_waiting()


async def _read(reader: asyncio.StreamReader) -> dict[str, Any]:
    """Raises EOFError when the other side is gone."""
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    message: dict[str, Any] = json.loads(await reader.readexactly(length))
    return message


def _report(kind: str, message: str) -> dict[str, Any]:
    log.warning("%s: %s", kind, message)
    return {"errorType": kind, "errorMessage": message, "stackTrace": []}
