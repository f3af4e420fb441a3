"""An HTTP API (payload 2.0) as an ASGI app: a request becomes an event, a function's answer a response.

Limits and the gateway's own answers are AWS's (AWS-16, AWS-34).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

from infra.local.gateway.admission import Receive, Scope, Send, answer_json, body_of
from infra.local.gateway.routes import HttpRoute, HttpRoutes
from infra.local.names import ACCOUNT

INTEGRATION_SECONDS = 30.0
LARGEST_BODY = 10_485_760
LARGEST_HEADERS = 10_240
LARGEST_ANSWER = 6_291_556
_TEXTUAL = {"json", "xml", "javascript"}

Call = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""Calls a function by its name in `serverless.yml`. Any exception is a failed call."""

log = logging.getLogger("gateway")


@dataclass(frozen=True, slots=True)
class HttpApi:
    routes: HttpRoutes
    call: Call
    seconds: float = INTEGRATION_SECONDS
    _late: set[asyncio.Task[Any]] = field(default_factory=set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > LARGEST_HEADERS:
            await answer_json(scope, send, 431, {"message": "Request Header Fields Too Large"})
            return
        body = await body_of(receive, LARGEST_BODY)
        if body is None:
            close = [(b"connection", b"close")]
            await answer_json(scope, send, 413, {"message": "Request Entity Too Large"}, close)
            return
        path = scope["raw_path"].decode("latin-1")
        found = self.routes.find(scope["method"], path)
        if found is None:
            await answer_json(scope, send, 404, {"message": "Not Found"})
            return
        route, values = found
        await self._answer(scope, send, route, http_event(scope, route.key, values, body))

    async def _answer(self, scope: Scope, send: Send, route: HttpRoute, event: dict[str, Any]) -> None:
        """A function that is late goes on, as on Lambda; only its caller no longer waits."""
        task = asyncio.ensure_future(self.call(route.function, event))
        done, _ = await asyncio.wait({task}, timeout=self.seconds)
        if not done:
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            await answer_json(scope, send, 503, {"message": "Service Unavailable"})
            return
        try:
            status, headers, data = _response_of(task.result())
        except Exception as error:  # noqa: BLE001 - whatever failed, the client is told the same
            log.warning("%s: %s %s", route.key, type(error).__name__, error)
            await answer_json(scope, send, 500, {"message": "Internal Server Error"})
            return
        headers.append((b"content-length", str(len(data)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": data if scope["method"] != "HEAD" else b""})


def _response_of(answer: Any) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Raises ValueError, TypeError or KeyError for an answer that API Gateway would not understand."""
    if not isinstance(answer, Mapping) or "statusCode" not in answer:
        answer = {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(answer)}
    given: Mapping[str, object] = answer.get("headers") or {}
    headers = [
        (name.lower().encode("latin-1"), str(value).encode("latin-1"))
        for name, value in given.items()
        if name.lower() not in {"content-length", "transfer-encoding", "connection"}
    ]
    headers += [(b"set-cookie", cookie.encode("latin-1")) for cookie in answer.get("cookies") or ()]
    body = answer.get("body") or ""
    data = base64.b64decode(body) if answer.get("isBase64Encoded") else str(body).encode()
    if len(body) > LARGEST_ANSWER:
        raise ValueError(f"an answer of {len(body)} bytes")
    return int(answer["statusCode"]), headers, data


def http_event(scope: Scope, route_key: str, path_values: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """An event of an HTTP API, payload 2.0."""
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name == "cookie":
            cookies += [part.strip() for part in value.split(";") if part.strip()]
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    if headers.get("host", "").startswith("["):
        # Mangum takes the name before the first colon; on AWS no host is an IPv6 address.
        headers["host"] = "localhost" + headers["host"].rsplit("]", 1)[-1]
    query = scope["query_string"].decode("latin-1")
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    raw_path = scope["raw_path"].decode("latin-1")
    now = time.time()
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": raw_path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": headers.get("host", ""),
            "domainPrefix": "local",
            "http": {
                "method": scope["method"],
                "path": raw_path,
                "protocol": f"HTTP/{scope['http_version']}",
                "sourceIp": scope["client"][0],
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": str(uuid4()),
            "routeKey": route_key,
            "stage": "$default",
            "time": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if parameters:
        event["queryStringParameters"] = parameters
    if path_values:
        event["pathParameters"] = dict(path_values)
    if body:
        event |= _body(body, headers.get("content-type", ""))
    return event


def _body(body: bytes, content_type: str) -> dict[str, Any]:
    """Text where the type says so and the bytes are, else base64."""
    kind = content_type.split(";", 1)[0].strip().lower()
    if not kind or kind.startswith("text/") or kind.replace("+", "/").rsplit("/", 1)[-1] in _TEXTUAL:
        try:
            return {"body": body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            pass
    return {"body": binascii.b2a_base64(body, newline=False).decode(), "isBase64Encoded": True}
