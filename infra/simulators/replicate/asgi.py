"""The ASGI application around the provider's interface: counting, latency, faults, tokens."""

import asyncio
import contextlib
import ipaddress
import secrets
import socket
import struct
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import Message, Receive, Scope, Send

from . import problems
from .api import ReplicateApi, problem_response
from .clock import NANOSECONDS
from .control_api import control_application
from .faults import FaultKind, SwitchedFault
from .problems import ErrorAnswer
from .request_log import Request, template_of
from .simulator import Simulator

Peer = tuple[str, int]
Transports = dict[Peer, asyncio.Transport]

_ENDLESS_CHUNK = b" " * 65_536
_ENDLESS_PAUSE_SECONDS = 0.005
_HTML = (
    "<!DOCTYPE html><html><head><title>api.replicate.com | 500: Internal server error</title></head>"
    "<body><h1>Internal server error</h1><p>Error code 500</p><p>cloudflare</p></body></html>"
)


def _problem_of(fault: SwitchedFault) -> ErrorAnswer | None:
    """The error answer that a fault stands for."""
    seconds = int(fault.number("seconds", 5))
    makers: dict[FaultKind, Callable[[], ErrorAnswer]] = {
        FaultKind.UNAUTHENTICATED: lambda: problems.unauthenticated(token_was_sent=True),
        FaultKind.NO_CREDIT: problems.insufficient_credit,
        FaultKind.NOT_FOUND: problems.not_found,
        FaultKind.INVALID: problems.invalid_version,
        FaultKind.THROTTLED_HEADER: lambda: problems.throttled_with_header(seconds),
        FaultKind.THROTTLED_BODY: lambda: problems.throttled_in_body(seconds),
        FaultKind.THROTTLED_TEXT: lambda: problems.throttled_in_text(seconds),
        FaultKind.SERVER_ERROR: problems.internal_error,
    }
    maker = makers.get(fault.kind)
    return maker() if maker else None


class HeldAnswer:
    """Takes an answer instead of sending it."""

    def __init__(self) -> None:
        self.start: Message | None = None
        self.body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
        else:
            self.body += message.get("body", b"")


class SimulatorApp:
    """The whole server as an ASGI application. `transports` lets faults break a connection for real."""

    def __init__(self, simulator: Simulator, transports: Transports) -> None:
        self._simulator = simulator
        self._transports = transports
        self._api = ReplicateApi(simulator).application()
        self._control = control_application(simulator)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let go of every request that is kept waiting."""
        self._stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is served, not {scope['type']}")
        if _is_a_web_page(Headers(scope=scope)):
            await Response(b"for programs of this machine only", 403)(scope, receive, send)
            return
        if scope["path"] == "/_control" or scope["path"].startswith("/_control/"):
            await self._serve_control(scope, receive, send)
            return
        request = Request(
            at=self._simulator.now_ns() / NANOSECONDS,
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            template=template_of(scope["path"]),
        )

        async def noting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
            await send(message)

        self._simulator.requests.began(request)
        try:
            await self._serve(scope, receive, noting_send)
        finally:
            self._simulator.requests.ended()

    async def _serve_control(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if client is None or not ipaddress.ip_address(client[0]).is_loopback:
            await Response(b"loopback only", 403)(scope, receive, send)
            return
        key = self._simulator.options.control_key
        given = Headers(scope=scope).get("authorization", "").removeprefix("Bearer ")
        if key is not None and not secrets.compare_digest(given.encode(), key.encode()):
            await Response(b"the control wants its key: Authorization: Bearer <key>", 403)(scope, receive, send)
            return
        await self._control(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        striking = self._simulator.faults.striking(scope["method"], scope["path"])
        delay = self._simulator.settings.latency_seconds
        delay += sum(fault.number("seconds", 5) for fault in striking if fault.kind is FaultKind.SLOW)
        if delay:
            await self._pause(delay)
        scope["state"] = {"faults": striking}
        replacing = next((fault for fault in striking if fault.replaces), None)
        if replacing is None:
            await self._answer(scope, receive, send)
        else:
            await self._go_wrong(replacing, scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The true answer, for a client with a good token."""
        refusal = self._refusal(scope)
        application: Callable[[Scope, Receive, Send], Awaitable[None]] = (
            self._api if refusal is None else problem_response(refusal)
        )
        await application(scope, receive, send)

    def _refusal(self, scope: Scope) -> ErrorAnswer | None:
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() not in ("bearer", "token") or not token:
            return problems.unauthenticated(token_was_sent=False)
        valid = self._simulator.options.valid_tokens
        if valid and token not in valid:
            return problems.unauthenticated(token_was_sent=True)
        return None

    async def _go_wrong(self, fault: SwitchedFault, scope: Scope, receive: Receive, send: Send) -> None:
        problem = _problem_of(fault)
        if problem is not None:
            await problem_response(problem)(scope, receive, send)
            return
        match fault.kind:
            case FaultKind.SERVER_ERROR_HTML:
                await HTMLResponse(_HTML, 500)(scope, receive, send)
            case FaultKind.HTML:
                await HTMLResponse(_HTML.replace("500", "200"), 200)(scope, receive, send)
            case FaultKind.TIMEOUT:
                await self._never_answer(scope, receive)
            case FaultKind.RESET:
                await self._reset(scope, receive)
            case FaultKind.LOST_ANSWER:
                await self._answer(scope, receive, HeldAnswer().send)
                await self._reset(scope, receive)
            case FaultKind.TRUNCATED:
                await self._truncate(scope, receive, send)
            case FaultKind.ENDLESS:
                await self._send_without_end(scope, receive, send)

    async def _never_answer(self, scope: Scope, receive: Receive) -> None:
        gone = asyncio.ensure_future(_until_gone(receive))
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({gone, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (gone, stopping):
            waiting.cancel()
        if not gone.done() or gone.cancelled():
            await self._reset(scope, receive)

    async def _reset(self, scope: Scope, receive: Receive) -> None:
        """End the connection with a TCP reset, without an answer."""
        transport = self._transport(scope)
        if transport is not None:
            tcp = transport.get_extra_info("socket")
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        await _until_gone(receive)

    async def _truncate(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The true headers with the true length, but only half of the body."""
        held = HeldAnswer()
        await self._answer(scope, receive, held.send)
        if held.start is not None:
            await send(held.start)
            half = held.body[: len(held.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
        transport = self._transport(scope)
        if transport is not None:
            transport.close()
        await _until_gone(receive)

    async def _send_without_end(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"next":null,"results":[', "more_body": True})
        transport = self._transport(scope)
        while transport is not None and not transport.is_closing() and not self._stopping.is_set():
            await send({"type": "http.response.body", "body": _ENDLESS_CHUNK, "more_body": True})
            await asyncio.sleep(_ENDLESS_PAUSE_SECONDS)
        await self._reset(scope, receive)

    def _transport(self, scope: Scope) -> asyncio.Transport | None:
        """The client's connection; None once the client has left."""
        return self._transports.get(tuple(scope["client"]))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def _is_a_web_page(headers: Headers) -> bool:
    """Browsers tell where a script comes from in Origin, and which name led it here in Host."""
    name = headers.get("host", "").rsplit(":", 1)[0]
    return "origin" in headers or name not in ("127.0.0.1", "localhost", "[::1]")


async def _until_gone(receive: Receive) -> None:
    """Wait until the client's connection is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass
