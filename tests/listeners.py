"""Clients that resume: after each lost connection they go on with the id of the last frame they handed to the page."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
from httpx_sse import EventSource
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect


class Page:
    """What a page was handed: every frame once, by its number. `last` is the position of the client."""

    def __init__(self, last: str) -> None:
        self.last = last
        self.handed: list[str] = []
        self.frames: list[dict[str, Any]] = []
        self.resets = 0
        self.holes = 0

    @property
    def number(self) -> int:
        return int(self.last.rsplit("-", 1)[1])

    def offer(self, frame: dict[str, Any]) -> bool:
        """Take a frame if it is the next one, pass over known ones; False when one is missing before it."""
        number = int(frame["id"].rsplit("-", 1)[1])
        if number <= self.number:
            return True
        if number > self.number + 1:
            self.holes += 1
            return False
        self.last = frame["id"]
        self.handed.append(frame["id"])
        self.frames.append(frame)
        return True


_CLIENT = httpx.Client(trust_env=False, timeout=10, verify=False, limits=httpx.Limits(max_keepalive_connections=0))


def listen_sse(page: Page, url: str) -> None:
    """One connection of an EventSource: returns when it ends or breaks."""
    with (
        contextlib.suppress(httpx.TransportError),
        _CLIENT.stream("GET", f"{url}/api/events", headers={"Last-Event-ID": page.last}) as response,
    ):
        for event in EventSource(response).iter_sse():
            if event.event == "reset":
                page.resets += 1
            if event.event != "message":
                continue
            page.offer({"id": event.id, **json.loads(event.data)})


def listen_ws(
    page: Page, url: str, *, enough: Callable[[], bool], seconds: float = 10, ping_every: float | None = None
) -> None:
    """One WebSocket: hello, then what comes, until it breaks, `enough` says so, or the time is over.

    A hole, a heartbeat whose head is ahead, and the gateway's word of a failed function are answered by another hello.
    """
    deadline = time.monotonic() + seconds
    address = url.replace("http://", "ws://", 1)
    with (
        contextlib.suppress(OSError, EOFError, TimeoutError, WebSocketException),
        connect(address, compression=None, open_timeout=5, close_timeout=0.1, proxy=None) as socket,
    ):
        socket.send(json.dumps({"action": "hello", "after": page.last}))
        pinged = time.monotonic()
        while not enough() and time.monotonic() < deadline:
            if ping_every is not None and time.monotonic() - pinged >= ping_every:
                socket.send(json.dumps({"action": "ping"}))
                pinged = time.monotonic()
            try:
                message = json.loads(socket.recv(timeout=0.05))
            except TimeoutError:
                continue
            _take(page, message, lambda: socket.send(json.dumps({"action": "hello", "after": page.last})))


def _take(page: Page, message: dict[str, Any], say_hello: Callable[[], None]) -> None:
    if "type" not in message:
        say_hello()
    elif message["type"] == "reset":
        page.resets += 1
    elif message["type"] == "heartbeat" and message["head"] != page.last:
        say_hello()
    for frame in message.get("events", []):
        if not page.offer(frame):
            say_hello()
            return
