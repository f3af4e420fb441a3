"""A receiver that notes what a webhook sender sends it."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """One request as it came, headers in lower case."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


@dataclass
class Receiver:
    """`answers` are the statuses of the first requests; after them `then`."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    then: int = 200
    received: list[Received] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, received: Received) -> int:
        with self.changed:
            self.received.append(received)
            self.changed.notify_all()
            return self.answers.pop(0) if self.answers else self.then

    def wait_for(self, number: int, seconds: float = 10.0) -> list[Received]:
        """The first `number` requests; raises AssertionError if they don't come in time."""
        with self.changed:
            came = self.changed.wait_for(lambda: len(self.received) >= number, seconds)
        assert came, f"{len(self.received)} of {number} webhooks came"
        return self.received[:number]

    def stays_at(self, number: int, seconds: float = 0.6) -> bool:
        """Whether no more than `number` come within `seconds`."""
        time.sleep(seconds)
        return len(self.received) == number


@contextlib.contextmanager
def webhook_receiver() -> Iterator[Receiver]:
    """A receiver on a free port of loopback while the context is open."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = receiver.take(Received({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
