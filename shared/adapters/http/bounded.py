"""HTTP with every wait and every size bounded: one exchange, its body decoded under a cap, its faults as values.

urllib3 is loaded by botocore in every function anyway, so this costs a cold start nothing.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
import zlib
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.httpsession import get_cert_path
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError
from urllib3.exceptions import TimeoutError as WaitedTooLong
from urllib3.util import parse_url

from shared.ports import Clock

# Only gzip: its output can be capped while it is unpacked.
OUR_HEADERS = {"User-Agent": "simpletuner-cloud-jobs", "Accept": "application/json", "Accept-Encoding": "gzip"}
READ_BYTES = 65_536

_waits: ContextVar[tuple[float, float]] = ContextVar("waits")
"""Of this thread's exchange: when it must be over (time.monotonic), and the seconds that one read may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Seconds and bytes. `call_seconds` covers a call with its repeat, `body_bytes` the body before and after gzip."""

    connect_seconds: float = 3.0
    read_seconds: float = 7.0
    call_seconds: float = 8.0
    body_bytes: int = 10_000_000


class Fault(StrEnum):
    """Why there is no answer to judge."""

    TIMED_OUT = "timed out"
    CONNECTION = "connection failed"
    TRUNCATED = "ended too early"
    TOO_LARGE = "too large"
    UNREADABLE = "unreadable encoding"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose body was read to its end, or as far as was wanted; `headers` by their names in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`address` is the IP address to contact in place of those that the URL's host resolves to (T6)."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Enough:
    """When enough of a body that need not end has been read; what was read until then is the answer.

    After so many bytes, after so many seconds without any, or with the line for which `is_last_line` holds.
    """

    body_bytes: int
    idle_seconds: float | None = None
    is_last_line: Callable[[bytes], bool] | None = None

    def end_in(self, body: bytes | bytearray, begin: int) -> int | None:
        """Where the answer ends in what has been read, of which the lines from `begin` on are new; None: not yet."""
        while self.is_last_line is not None and (newline := body.find(b"\n", begin)) >= 0:
            if self.is_last_line(bytes(body[begin:newline])):
                return min(newline + 1, self.body_bytes)
            begin = newline + 1
        return self.body_bytes if len(body) >= self.body_bytes else None


Transport = Callable[[Request, Timeout], BaseHTTPResponse]
"""Sends a request and hands out the answer with its body unread and undecoded; raises urllib3's HTTPError."""


class BoundedHttp:
    """A client whose connections are made when they are needed and kept warm. Safe to share between threads.

    No redirect is followed, and no proxy or credential taken from the environment: the caller alone decides where a
    token goes. Names are resolved by the operating system, whose own time-out is the one wait that is not bounded here.
    """

    def __init__(self, *, clock: Clock, limits: HttpLimits | None = None, transport: Transport | None = None) -> None:
        self.limits = limits or HttpLimits()
        self._clock = clock
        self._transport = transport or _Connections()

    def exchange(self, request: Request, *, deadline: float, enough: Enough | None = None) -> Answer | Fault:
        """One request; `deadline` by the clock's monotonic time. Raises nothing of urllib3 (I39)."""
        remaining = deadline - self._clock.monotonic()
        if remaining <= 0:
            return Fault.TIMED_OUT
        at = time.monotonic() + remaining
        waits = _waits.set((at, self.limits.read_seconds))
        response: BaseHTTPResponse | None = None
        try:
            connect = min(self.limits.connect_seconds, remaining)
            response = self._transport(request, Timeout(connect=connect, read=self.limits.read_seconds))
            if response.status >= 300:
                return self._read_problem(response, deadline)
            if enough is not None and enough.idle_seconds is not None:
                _waits.set((at, enough.idle_seconds))
            return self._read(response, deadline, enough)
        except NewConnectionError:
            return Fault.CONNECTION
        except WaitedTooLong:
            return Fault.TIMED_OUT
        except ProtocolError:
            return Fault.TRUNCATED if response else Fault.CONNECTION
        except (HTTPError, ValueError):
            return Fault.CONNECTION
        finally:
            _waits.reset(waits)
            if response is not None:
                _let_go(response)

    def _read_problem(self, response: BaseHTTPResponse, deadline: float) -> Answer:
        """What is no success is judged by its status; its body only explains, so it may be missing."""
        try:
            read = self._read(response, deadline, None)
        except HTTPError:
            read = Fault.TRUNCATED
        return read if isinstance(read, Answer) else Answer(response.status, response.headers, b"")

    def _read(self, response: BaseHTTPResponse, deadline: float, enough: Enough | None) -> Answer | Fault:
        unpacker = _unpacker(response.headers.get("content-encoding", ""))
        if unpacker is None:
            return Fault.UNREADABLE
        body = bytearray()
        received = judged = 0
        most = enough.body_bytes if enough else self.limits.body_bytes
        end = enough.end_in(b"", 0) if enough else None
        while end is None and (chunk := _chunk(response, enough)):
            received += len(chunk)
            try:
                body += unpacker.unpack(chunk, most + 1 - len(body))
            except zlib.error:
                return Fault.UNREADABLE
            if enough is not None:
                end = enough.end_in(body, judged)
                judged = body.rfind(b"\n") + 1
            elif len(body) > most or received > most:
                return Fault.TOO_LARGE
            if self._clock.monotonic() >= deadline:
                return Fault.TIMED_OUT
        if enough is None and not unpacker.is_complete:
            return Fault.TRUNCATED
        return Answer(response.status, response.headers, bytes(body[:end]))


def _chunk(response: BaseHTTPResponse, enough: Enough | None) -> bytes:
    """What comes next, empty at the end, or when nothing has come for as long as is waited for."""
    try:
        return response.read1(READ_BYTES, decode_content=False)
    except WaitedTooLong:
        if enough is None or enough.idle_seconds is None or _waits.get()[0] <= time.monotonic():
            raise
        return b""


def _let_go(response: BaseHTTPResponse) -> None:
    """A connection whose answer was not read to its end is closed; the other one is in the pool already."""
    response.close()
    response.release_conn()


class _Plain:
    is_complete = True

    def unpack(self, chunk: bytes, _limit: int) -> bytes:
        return chunk


class _Gzip:
    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(wbits=31)
        self._is_empty = True

    @property
    def is_complete(self) -> bool:
        return self._is_empty or self._inflater.eof

    def unpack(self, chunk: bytes, limit: int) -> bytes:
        """At most `limit` bytes; more than one gzip member is refused (zlib.error)."""
        self._is_empty = False
        part = self._inflater.decompress(chunk, limit)
        if self._inflater.unused_data:
            raise zlib.error("data after the end")
        return part


def _unpacker(encoding: str) -> _Plain | _Gzip | None:
    match encoding.strip().lower():
        case "" | "identity":
            return _Plain()
        case "gzip" | "x-gzip":
            return _Gzip()
        case _:
            return None


class _Connections:
    """`Transport` over kept connections, whose reads obey the exchange's deadline: no dripping header outlasts it."""

    def __init__(self) -> None:
        self._pools = PoolManager(num_pools=4, maxsize=16, ca_certs=get_cert_path(True))
        self._pools.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def __call__(self, request: Request, timeout: Timeout) -> BaseHTTPResponse:
        url = parse_url(request.url)
        host = request.address or url.host
        is_pinned = request.address is not None and url.scheme == "https"
        named = {"server_hostname": url.host, "assert_hostname": url.host} if is_pinned else None
        pool = self._pools.connection_from_host(host, url.port, url.scheme, pool_kwargs=named)
        return pool.urlopen(
            request.method,
            url.request_uri,
            body=request.body,
            headers={**OUR_HEADERS, "Host": str(url.netloc), **request.headers},
            timeout=timeout,
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
        )


class _UntilDeadline(io.RawIOBase):
    """A socket's bytes; each read waits no longer than the exchange lasts. Raises TimeoutError."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        deadline, longest = _waits.get()
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._sock.settimeout(min(remaining, longest))
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_UntilDeadline(sock))


class _HttpConnection(HTTPConnection):
    response_class = _Response


class _HttpsConnection(HTTPSConnection):
    response_class = _Response


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection
