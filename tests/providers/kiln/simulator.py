"""A Kiln on loopback: runs that a test moves, lists with pages, logs that never end, and faults."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PAGE_SIZE = 40
OVER = ("DONE", "BROKE", "STOPPED")


class KilnFault(Enum):
    """What the next answer is in place of the right one."""

    THROTTLED = auto()
    OUT_OF_ORDER = auto()
    NO_API = auto()
    CUT = auto()
    ENDLESS = auto()


@dataclass(frozen=True)
class Run:
    """Times are seconds since 1970. `output` are the lines of the log so far."""

    run_id: str
    word: str
    made: float
    began: float | None = None
    finished: float | None = None
    machine: str | None = "a100"
    why: str | None = None
    charge_micros: int | None = None
    output: tuple[str, ...] = ()

    def body(self) -> dict[str, object]:
        return {
            "run": self.run_id,
            "state": {"word": self.word, "why": self.why},
            "made": self.made,
            "began": self.began,
            "finished": self.finished,
            "machine": self.machine,
            "charge_micros": self.charge_micros,
        }


@dataclass
class Kiln:
    """`runs` by id; `faults` are used up one a request; `requests` are (method, path with query)."""

    token: str = "kiln-good-token"
    base_url: str = ""
    runs: dict[str, Run] = field(default_factory=dict)
    faults: list[KilnFault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def put(self, run: Run) -> None:
        self.runs[run.run_id] = run

    def change(self, run_id: str, **fields: object) -> None:
        self.put(replace(self.runs[run_id], **fields))  # type: ignore[arg-type]

    def end(self, run_id: str, word: str = "DONE", *, at: float | None = None, why: str | None = None) -> None:
        finished = time.time() if at is None else at
        self.change(run_id, word=word, began=self.runs[run_id].began or finished, finished=finished, why=why)


@contextmanager
def running_kiln() -> Iterator[Kiln]:
    kiln = Kiln()

    class Handler(_Handler):
        world = kiln

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kiln.base_url = f"http://127.0.0.1:{server.server_port}/api"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield kiln
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world: Kiln

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_args: object) -> None:
        """Nothing on the terminal of a test."""

    def _serve(self) -> None:
        kiln, url = self.world, urlsplit(self.path)
        kiln.requests.append((self.command, self.path))
        if kiln.faults:
            self._go_wrong(kiln.faults.pop(0))
            return
        if self.headers.get("Authorization") != f"Bearer {kiln.token}":
            self._answer(401, {"error": "Unknown key."})
            return
        match (self.command, url.path.removeprefix("/api/").split("/")):
            case ("GET", ["me"]):
                self._answer(200, {"login": "potter"})
            case ("GET", ["runs"]):
                self._list(parse_qs(url.query))
            case ("GET", ["runs", run_id]) if run_id in kiln.runs:
                self._answer(200, kiln.runs[run_id].body())
            case ("GET", ["runs", run_id, "output"]) if run_id in kiln.runs:
                self._output(kiln.runs[run_id])
            case ("POST", ["runs", run_id, "stop"]) if run_id in kiln.runs:
                self._stop(kiln.runs[run_id])
            case _:
                self._answer(404, {"error": "There is no such thing."})

    def _list(self, query: dict[str, list[str]]) -> None:
        wanted = query.get("state", [])
        runs = sorted(self.world.runs.values(), key=lambda run: (run.made, run.run_id), reverse=True)
        runs = [run for run in runs if not wanted or run.word in wanted]
        start = int(query.get("from", ["0"])[0])
        end = start + PAGE_SIZE
        following = {"X-Next": str(end)} if end < len(runs) else {}
        self._answer(200, [run.body() for run in runs[start:end]], following)

    def _stop(self, run: Run) -> None:
        if run.word in OVER:
            self._answer(409, {"error": "This run is over."})
            return
        self.world.end(run.run_id, "STOPPED")
        self._answer(202, None)

    def _output(self, run: Run) -> None:
        """Every line so far; then it says nothing more until the reader leaves."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Connection", "close")
        self.end_headers()
        lines = ["~begin", *(f">{line}" for line in run.output), *(["~end"] if run.word in OVER else [])]
        self._write("".join(f"{line}\n" for line in lines).encode())
        if run.word not in OVER:
            self._write_for_ever(b"", 0.05)

    def _go_wrong(self, fault: KilnFault) -> None:
        match fault:
            case KilnFault.THROTTLED:
                self._answer(429, {"error": "Slowly."}, {"Retry-After": "7"})
            case KilnFault.OUT_OF_ORDER:
                self._answer(503, {"error": "Out of order."})
            case KilnFault.NO_API:
                self._send(200, b"<html>Kiln</html>", {})
            case KilnFault.CUT:
                self._send(200, b'{"run": "', {"Content-Length": "4000"})
                self.close_connection = True
            case KilnFault.ENDLESS:
                self.send_response(200)
                self.send_header("Connection", "close")
                self.end_headers()
                self._write_for_ever(b" " * 65_536, 0)

    def _answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        self._send(status, b"" if body is None else json.dumps(body).encode(), headers or {})

    def _send(self, status: int, raw: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(raw))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self._write(raw)

    def _write(self, raw: bytes) -> bool:
        try:
            self.wfile.write(raw)
        except OSError:
            self.close_connection = True
            return False
        return True

    def _write_for_ever(self, raw: bytes, pause: float) -> None:
        """Until the reader is gone; a write of nothing would not notice that, so a socket is looked at."""
        self.close_connection = True
        self.connection.settimeout(pause or None)
        while self._write(raw):
            if pause:
                try:
                    if not self.connection.recv(1):
                        return
                except TimeoutError:
                    continue
                except OSError:
                    return
