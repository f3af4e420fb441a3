"""HTTP with every wait and every size bounded: one exchange, its body decoded under a cap, its faults as values."""

from __future__ import annotations

import ssl
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import httpcore
import httpx

from shared.ports import Clock

USER_AGENT = "simpletuner-cloud-jobs"

_deadline: ContextVar[float | None] = ContextVar("socket_deadline", default=None)
"""The moment (time.monotonic) at which the exchange of this thread must be over, for the sockets below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Seconds and bytes. `call_seconds` covers a call with its repeat, `body_bytes` the body before and after gzip."""

    connect_seconds: float = 3.0
    read_seconds: float = 10.0
    call_seconds: float = 15.0
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
    """A complete answer; `headers` with lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class BoundedHttp:
    """A client that is made at the first call and kept warm. Safe to share between threads.

    Names are resolved by the operating system, whose own time-out is the one wait that is not bounded here.
    """

    def __init__(self, *, clock: Clock, limits: HttpLimits, transport: httpx.BaseTransport | None = None) -> None:
        self._clock = clock
        self._limits = limits
        self._transport = transport
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    def exchange(self, method: str, url: str, headers: Mapping[str, str], *, deadline: float) -> Answer | Fault:
        """One request without redirects; `deadline` by the clock's monotonic time. Raises nothing of httpx (I39)."""
        remaining = deadline - self._clock.monotonic()
        if remaining <= 0:
            return Fault.TIMED_OUT
        client = self._warm_client()
        mark = _deadline.set(time.monotonic() + remaining)
        has_begun = False
        try:
            with client.stream(method, url, headers=headers) as response:
                has_begun = True
                if response.status_code >= 300:
                    return self._read_problem(response, deadline)
                return self._read(response, deadline)
        except httpx.TimeoutException:
            return Fault.TIMED_OUT
        except httpx.RemoteProtocolError:
            return Fault.TRUNCATED if has_begun else Fault.CONNECTION
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError):
            return Fault.CONNECTION
        finally:
            _deadline.reset(mark)

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _warm_client(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                limits = self._limits
                self._client = httpx.Client(
                    transport=self._transport or DeadlineTransport(),
                    timeout=httpx.Timeout(limits.read_seconds, connect=limits.connect_seconds),
                    # Only gzip: its output can be capped while it is unpacked.
                    headers={"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip"},
                    follow_redirects=False,
                    # No proxy and no .netrc: nothing but this client's caller decides where a token goes.
                    trust_env=False,
                )
            return self._client

    def _read_problem(self, response: httpx.Response, deadline: float) -> Answer:
        """What is no success is judged by its status; its body only explains, so it may be missing."""
        try:
            read = self._read(response, deadline)
        except httpx.HTTPError:
            read = Fault.TRUNCATED
        return read if isinstance(read, Answer) else Answer(response.status_code, _lower(response.headers), b"")

    def _read(self, response: httpx.Response, deadline: float) -> Answer | Fault:
        # A transport may hand over a body that httpx has read and unpacked already (httpx.MockTransport).
        is_read = response.is_stream_consumed
        unpacker = _Plain() if is_read else _unpacker(response.headers.get("content-encoding", ""))
        if unpacker is None:
            return Fault.UNREADABLE
        received = 0
        parts: list[bytes] = []
        room = self._limits.body_bytes
        for chunk in [response.content] if is_read else response.iter_raw():
            received += len(chunk)
            try:
                part = unpacker.unpack(chunk, room + 1)
            except zlib.error:
                return Fault.UNREADABLE
            room -= len(part)
            if room < 0 or received > self._limits.body_bytes:
                return Fault.TOO_LARGE
            if self._clock.monotonic() >= deadline:
                return Fault.TIMED_OUT
            parts.append(part)
        if not unpacker.is_complete:
            return Fault.TRUNCATED
        return Answer(response.status_code, _lower(response.headers), b"".join(parts))


def _lower(headers: httpx.Headers) -> Mapping[str, str]:
    return {name.lower(): value for name, value in headers.items()}


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


class DeadlineTransport(httpx.BaseTransport):
    """httpcore's pool whose sockets also obey the exchange's deadline, so that dripping headers cannot outlast it."""

    def __init__(self, max_connections: int = 16, keepalive_seconds: float = 60.0) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=keepalive_seconds,
            network_backend=_DeadlineBackend(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        with _as_httpx_errors():
            response = self._pool.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=cast("httpx.SyncByteStream", request.stream),
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(cast("Iterable[bytes]", response.stream)),
            extensions=response.extensions,
        )

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Iterable[bytes]) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx_errors():
            yield from self._stream

    def close(self) -> None:
        cast("Any", self._stream).close()


@contextmanager
def _as_httpx_errors() -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as error:
        raise httpx.TimeoutException(str(error)) from None
    except (httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
        raise httpx.RemoteProtocolError(str(error)) from None
    except (httpcore.NetworkError, httpcore.ProxyError) as error:
        raise httpx.NetworkError(str(error)) from None


class _DeadlineBackend(httpcore.NetworkBackend):
    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        wait = _within_deadline(timeout, httpcore.ConnectTimeout)
        return _DeadlineStream(self._inner.connect_tcp(host, port, wait, local_address, socket_options))


class _DeadlineStream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _within_deadline(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _within_deadline(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        wait = _within_deadline(timeout, httpcore.ConnectTimeout)
        return _DeadlineStream(self._inner.start_tls(ssl_context, server_hostname, wait))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _within_deadline(timeout: float | None, error: type[Exception]) -> float | None:
    deadline = _deadline.get()
    if deadline is None:
        return timeout
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise error
    return remaining if timeout is None else min(timeout, remaining)
