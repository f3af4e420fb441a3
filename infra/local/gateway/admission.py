"""Who may ask on a local port at all (T28): this machine's own names, pages of ours, programs that hold the key.

A page of elsewhere reaches a port of this machine by 0.0.0.0 or by a name that it lets point here; browsers tell of the
first in `Origin`, of the second in `Host`.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")
_KEY = re.compile(rb"(?:Credential=|Bearer )([A-Za-z0-9]+)")


def own_hosts(port: int) -> frozenset[str]:
    """What a `Host` header may say on this port."""
    return frozenset(f"{name}:{port}" for name in OWN_NAMES)


def values_of(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


@dataclass(frozen=True, slots=True)
class ForThisMachine:
    """Lets a request through whose `Host` is one of `hosts`, and whose `Origin`, if it has one, one of `origins`.

    `page` is what others are told to open.
    """

    app: App
    hosts: frozenset[str]
    origins: frozenset[str]
    page: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = [value.decode("latin-1").lower() for value in values_of(scope, b"host")]
        origins = {value.decode("latin-1").lower() for value in values_of(scope, b"origin")}
        if len(given) != 1 or given[0] not in self.hosts:
            await refuse(scope, send, 403, f"This name is none of this machine's own: open {self.page} instead.")
        elif not origins <= self.origins:
            await refuse(scope, send, 403, f"Only pages of this service may ask it: open {self.page} instead.")
        else:
            await self.app(scope, receive, send)


@dataclass(frozen=True, slots=True)
class ForPrograms:
    """Lets a request through that holds the stack's key, as an AWS access key id or a bearer token, and no Origin."""

    app: App
    hosts: frozenset[str]
    key: str
    key_file: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        authorization = values_of(scope, b"authorization")
        found = _KEY.search(authorization[0]) if len(authorization) == 1 else None
        hosts = [value.decode("latin-1").lower() for value in values_of(scope, b"host")]
        if values_of(scope, b"origin") or len(hosts) != 1 or hosts[0] not in self.hosts:
            await refuse(scope, send, 403, "This port is for programs of this machine, not for web pages.")
        elif found is None or not secrets.compare_digest(found.group(1), self.key.encode()):
            sentence = (
                f"This port wants the stack's key as AWS access key id or bearer token: it stands in {self.key_file}."
            )
            await refuse(scope, send, 403, sentence)
        else:
            await self.app(scope, receive, send)


def origins_of(urls: Iterable[str]) -> frozenset[str]:
    """The `Origin` headers of pages at these addresses."""
    return frozenset("/".join(url.split("/", 3)[:3]).lower() for url in urls if url)


def hosts_of(urls: Iterable[str]) -> frozenset[str]:
    """The `Host` headers that requests to these addresses carry."""
    return frozenset(url.split("://", 1)[-1].split("/", 1)[0].lower() for url in urls if url)


async def refuse(scope: Scope, send: Send, status: int, detail: str, code: str = "forbidden") -> None:
    """An answer of ours to a request or a WebSocket handshake."""
    await answer_json(scope, send, status, {"error": code, "message": detail, "detail": detail})


async def answer_json(
    scope: Scope, send: Send, status: int, body: object, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Also to a WebSocket handshake, which is refused with it."""
    data = json.dumps(body).encode()
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode()), *headers]
    await send({"type": f"{kind}.start", "status": status, "headers": head})
    await send({"type": f"{kind}.body", "body": data if scope.get("method") != "HEAD" else b""})


async def body_of(receive: Receive, most: int) -> bytes | None:
    """The whole body; None when it is longer, or when the client left."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > most:
            return None
        if not message.get("more_body"):
            return bytes(body)
