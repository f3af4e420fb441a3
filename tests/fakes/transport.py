"""What stands in for the network below an adapter: it answers what a test says, and keeps every request."""

from __future__ import annotations

import http.client
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from urllib3 import BaseHTTPResponse, HTTPResponse, Timeout

from shared.adapters.http.bounded import Request


@dataclass(frozen=True)
class Scripted:
    """An answer; `content` as bytes, or as something that hands out chunk after chunk, and may break off."""

    status: int = 200
    content: bytes | Callable[[], Iterator[bytes]] = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> HTTPResponse:
        """As urllib3 hands it over, with its body unread."""
        body = io.BytesIO(self.content) if isinstance(self.content, bytes) else _Chunks(self.content())
        return HTTPResponse(body, dict(self.headers), self.status, preload_content=False, decode_content=False)


def answer_of(body: object, status: int = 200, **headers: str) -> Scripted:
    """An answer with this as its JSON; `retry_after="5"` is the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Scripted(status, json.dumps(body).encode(), named)


Answering = Callable[[Request], Scripted]


class FakeTransport:
    """`Transport`: gives these one after the other, the last one again and again."""

    def __init__(self, *answers: Scripted | Exception | Answering) -> None:
        self.requests: list[Request] = []
        self._answers = list(answers)

    def __call__(self, request: Request, timeout: Timeout) -> BaseHTTPResponse:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return (answer if isinstance(answer, Scripted) else answer(request)).response()

    @property
    def urls(self) -> list[str]:
        return [request.url for request in self.requests]


def breaking_off() -> http.client.IncompleteRead:
    """What reading a body raises whose sender is gone before its end."""
    return http.client.IncompleteRead(b"")


class _Chunks(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def readable(self) -> bool:
        return True

    def read1(self, _most: int = -1) -> bytes:
        return next(self._chunks, b"")
