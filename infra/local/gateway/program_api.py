"""What only programs ask: Lambda's invoke, SQS, and the management API of the WebSockets, all on one port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.local.gateway.admission import Receive, Scope, Send, answer_json, body_of, values_of
from infra.local.gateway.http_api import LARGEST_ANSWER, Call
from infra.local.gateway.websocket_api import WebSocketApi
from infra.local.queues.sqs_api import SqsApi
from infra.local.workers.function_pool import FunctionFailed

INVOKE = ("/2015-03-31/functions/", "/invocations")
SQS = "AmazonSQS."


@dataclass(frozen=True, slots=True)
class ProgramApi:
    """`names` are the functions' names in the account, to their names in `serverless.yml`; either may be invoked."""

    names: Mapping[str, str]
    call: Call
    sqs: SqsApi
    sockets: WebSocketApi

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        target = b"".join(values_of(scope, b"x-amz-target")).decode("latin-1")
        if path.startswith("/@connections/"):
            await self.sockets.manage(scope, receive, send)
        elif path.startswith(INVOKE[0]) and path.endswith(INVOKE[1]) and scope["method"] == "POST":
            await self._invoke(path.removeprefix(INVOKE[0]).removesuffix(INVOKE[1]), scope, receive, send)
        elif target.startswith(SQS) and scope["method"] == "POST":
            await self._ask_queues(target.removeprefix(SQS), scope, receive, send)
        else:
            await answer_json(scope, send, 404, {"__type": "UnknownOperationException", "message": "Nothing here."})

    async def _invoke(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        function = self.names.get(name, name)
        event = _json(await body_of(receive, LARGEST_ANSWER))
        if function not in self.names.values():
            missing = {"Type": "User", "Message": f"Function not found: {name}"}
            await answer_json(scope, send, 404, missing, [(b"x-amzn-errortype", b"ResourceNotFoundException")])
            return
        if event is None:
            problem = {"Type": "User", "Message": "The event must be a JSON object of 6 MB at most."}
            await answer_json(scope, send, 400, problem, [(b"x-amzn-errortype", b"InvalidRequestContentException")])
            return
        kind = b"".join(values_of(scope, b"x-amz-invocation-type")) or b"RequestResponse"
        if kind == b"Event":
            task = asyncio.ensure_future(self.call(function, event))
            task.add_done_callback(_forget_error)
            await answer_json(scope, send, 202, {})
            return
        try:
            await answer_json(scope, send, 200, await self.call(function, event))
        except FunctionFailed as error:
            await answer_json(scope, send, 200, error.report, [(b"x-amz-function-error", b"Unhandled")])

    async def _ask_queues(self, operation: str, scope: Scope, receive: Receive, send: Send) -> None:
        body = _json(await body_of(receive, 2 * LARGEST_ANSWER))
        if body is None:
            await answer_json(scope, send, 400, {"__type": "SerializationException", "message": "No JSON object."})
            return
        status, answer = await asyncio.to_thread(self.sqs.answer, operation, body)
        await answer_json(scope, send, status, answer)


def _json(body: bytes | None) -> dict[str, Any] | None:
    """An object; an empty body is an empty one."""
    try:
        found = None if body is None else json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _forget_error(task: asyncio.Task[Any]) -> None:
    """Who invokes without waiting hears nothing; the function's log has it."""
    if not task.cancelled():
        task.exception()
