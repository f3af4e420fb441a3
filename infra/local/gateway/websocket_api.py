"""A WebSocket API as an ASGI app, with the management API through which functions post to its connections.

Connections end as on AWS: after two hours, after ten minutes of silence, with a message over 128 kB (AWS-18).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

from infra.local.gateway.admission import Receive, Scope, Send, answer_json, body_of
from infra.local.gateway.http_api import INTEGRATION_SECONDS, Call
from infra.local.gateway.routes import SocketRoutes
from infra.local.names import ACCOUNT, REGION

LIFE_SECONDS = 7200.0
SILENCE_SECONDS = 600.0
LARGEST_MESSAGE = 131_072
AT_ONCE = 8
"""Messages of one connection that are being worked on; the next one is read when one of them is done (T29)."""

METHOD_ARN = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:local/local/$connect"
log = logging.getLogger("gateway")


@dataclass(eq=False, slots=True)
class _Connection:
    send: Send
    source_ip: str
    connected_at: float
    active_at: float


@dataclass(slots=True)
class WebSocketApi:
    """`connections` are those whose handshake is over, by id."""

    routes: SocketRoutes
    call: Call
    connections: dict[str, _Connection] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        connection_id = f"{uuid4().hex[:14]}="
        event = socket_event(scope, connection_id, "CONNECT")
        status, word = await self._authorize(event)
        if status == 200:
            event["requestContext"]["authorizer"] = word
            status = await self._status(self.routes.connect, event)
        if status != 200:
            await answer_json(scope, send, status, {"message": "Forbidden" if status == 403 else "Refused"})
            return
        await send({"type": "websocket.accept"})
        now = time.monotonic()
        connection = self.connections[connection_id] = _Connection(send, scope["client"][0], now, now)
        try:
            await self._serve(scope, receive, connection_id, connection)
        finally:
            del self.connections[connection_id]
            with contextlib.suppress(Exception):
                await self.call(self.routes.disconnect, socket_event(scope, connection_id, "DISCONNECT"))

    async def _authorize(self, event: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        request = event | {"type": "REQUEST", "methodArn": METHOD_ARN}
        try:
            word = await self.call(self.routes.authorizer, request)
            is_allowed = word["policyDocument"]["Statement"][0]["Effect"] == "Allow"
            return (200 if is_allowed else 403), {"principalId": word["principalId"], **word.get("context", {})}
        except Exception as error:  # noqa: BLE001 - a failed authorizer lets nobody in
            log.warning("authorizer: %s %s", type(error).__name__, error)
            return 500, {}

    async def _status(self, function: str, event: dict[str, Any]) -> int:
        try:
            async with asyncio.timeout(INTEGRATION_SECONDS):
                return int((await self.call(function, event))["statusCode"])
        except Exception as error:  # noqa: BLE001 - whatever failed, the client is told the same
            log.warning("%s: %s %s", function, type(error).__name__, error)
            return 502

    async def _serve(self, scope: Scope, receive: Receive, connection_id: str, connection: _Connection) -> None:
        tasks: set[asyncio.Task[None]] = set()
        while True:
            left = connection.connected_at + LIFE_SECONDS - time.monotonic()
            silent = connection.active_at + SILENCE_SECONDS - time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, min(left, silent))):
                    message = await receive()
            except TimeoutError:
                if time.monotonic() < min(
                    connection.connected_at + LIFE_SECONDS, connection.active_at + SILENCE_SECONDS
                ):
                    continue
                await connection.send({"type": "websocket.close", "code": 1001, "reason": "Going away"})
                break
            if message["type"] != "websocket.receive":
                break
            connection.active_at = time.monotonic()
            event = socket_event(scope, connection_id, "MESSAGE", message.get("text") or "")
            task = asyncio.create_task(self._say(event, connection))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            if len(tasks) >= AT_ONCE:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    async def _say(self, event: dict[str, Any], connection: _Connection) -> None:
        """One message to its function; a failure is told to the client."""
        if await self._status(self.routes.message, event) >= 500:
            request = event["requestContext"]
            text = {
                "message": "Internal server error",
                "connectionId": request["connectionId"],
                "requestId": request["requestId"],
            }
            with contextlib.suppress(Exception):
                await connection.send({"type": "websocket.send", "text": json.dumps(text)})

    async def manage(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`/@connections/{id}`: POST a message, GET what is known, DELETE the connection; 410 when it is gone."""
        connection_id = scope["path"].removeprefix("/@connections/")
        body = await body_of(receive, LARGEST_MESSAGE)
        connection = self.connections.get(connection_id)
        if body is None:
            await answer_json(scope, send, 413, {"message": "Message too long"})
        elif connection is None:
            await self._answer_gone(scope, send)
        elif scope["method"] == "GET":
            known = {"connectedAt": connection.connected_at, "identity": {"sourceIp": connection.source_ip}}
            await answer_json(scope, send, 200, known)
        else:
            said: dict[str, Any] = {"type": "websocket.send", "text": body.decode(errors="replace")}
            if scope["method"] == "DELETE":
                said = {"type": "websocket.close", "code": 1000, "reason": "Connection closed"}
            try:
                await connection.send(said)
            except Exception:  # noqa: BLE001 - whatever the server says, the connection is gone
                await self._answer_gone(scope, send)
                return
            connection.active_at = time.monotonic()
            await answer_json(scope, send, 204 if scope["method"] == "DELETE" else 200, {})

    async def _answer_gone(self, scope: Scope, send: Send) -> None:
        await answer_json(scope, send, 410, {"message": "Gone"}, [(b"x-amzn-errortype", b"GoneException")])


def socket_event(scope: Scope, connection_id: str, kind: str, body: str | None = None) -> dict[str, Any]:
    """An event of a WebSocket API; only a CONNECT has headers and query."""
    now = int(time.time() * 1000)
    route = "$default" if kind == "MESSAGE" else f"${kind.lower()}"
    context: dict[str, Any] = {
        "apiId": "local",
        "connectionId": connection_id,
        "domainName": "local",
        "eventType": kind,
        "extendedRequestId": str(uuid4()),
        "identity": {"sourceIp": scope["client"][0]},
        "requestId": str(uuid4()),
        "requestTimeEpoch": now,
        "routeKey": route,
        "stage": "local",
    }
    event: dict[str, Any] = {"requestContext": context, "isBase64Encoded": False}
    if kind == "MESSAGE":
        context["messageId"] = str(uuid4())
        event["body"] = body
    if kind == "CONNECT":
        several: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            several.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        query: Mapping[str, list[str]] = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        event |= {
            "headers": {name: values[-1] for name, values in several.items()},
            "multiValueHeaders": several,
            "queryStringParameters": {name: values[-1] for name, values in query.items()},
            "multiValueQueryStringParameters": dict(query),
        }
    return event
