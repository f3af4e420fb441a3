"""Runs one function for serverless-offline, in place of its own `invoke.py`, and behaves as Lambda does.

The bundled runner leaves a failed or timed-out call unanswered and its function broken, reports six seconds to every
context, and never answers `None`. This one answers an error as Lambda or its gateway would, and keeps running.

Protocol: one JSON line in (`event`, `context`), one out (`__offline_payload__`); everything else on stdout is a log.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

Handler = Callable[[dict[str, Any], "Context"], Any]
DEFAULT_TIMEOUT_SECONDS = 6.0


class FunctionTimedOut(BaseException):
    """The function ran longer than its time-out. No Exception, so that a handler does not catch it."""


@dataclass(frozen=True, slots=True)
class Context:
    """What Lambda hands to a handler beside the event."""

    function_name: str
    aws_request_id: str
    memory_limit_in_mb: str
    deadline: float
    function_version: str = "$LATEST"

    @property
    def invoked_function_arn(self) -> str:
        return f"arn:aws:lambda:us-east-1:000000000000:function:{self.function_name}"

    @property
    def log_group_name(self) -> str:
        return f"/aws/lambda/{self.function_name}"

    @property
    def log_stream_name(self) -> str:
        return "local"

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self.deadline - time.monotonic()) * 1000))


@dataclass(frozen=True, slots=True)
class Call:
    """One call as serverless-offline announces it; `timeout` in seconds."""

    function_name: str
    aws_request_id: str
    memory_limit_in_mb: str
    timeout: float

    def context(self) -> Context:
        """With a deadline that begins now."""
        return Context(
            function_name=self.function_name,
            aws_request_id=self.aws_request_id,
            memory_limit_in_mb=self.memory_limit_in_mb,
            deadline=time.monotonic() + self.timeout,
        )


def timeout_of(handler_name: str) -> float:
    """Seconds; the starter hands over every function's time-out."""
    timeouts: dict[str, float] = json.loads(os.environ.get("LOCAL_TIMEOUTS", "{}"))
    return timeouts.get(handler_name, DEFAULT_TIMEOUT_SECONDS)


def error_answer(event: dict[str, Any], error: BaseException) -> dict[str, Any]:
    """What the caller of a failed function sees: the gateway's 500 for HTTP and sockets, else Lambda's own form."""
    request_context = event.get("requestContext") or {}
    if "http" in request_context:
        headers = {"content-type": "application/json"}
        return {"statusCode": 500, "headers": headers, "body": json.dumps({"message": "Internal Server Error"})}
    if "connectionId" in request_context:
        return {"statusCode": 500}
    return {
        "errorType": type(error).__name__,
        "errorMessage": str(error),
        "stackTrace": traceback.format_exception(error),
    }


def run_once(load: Callable[[], Handler], event: dict[str, Any], call: Call) -> Any:
    """The handler's answer, or the answer that stands for its failure; `None` becomes an empty mapping.

    As on Lambda, the time-out begins when the code is loaded.
    """

    def time_out(signal_number: int, frame: FrameType | None) -> None:
        raise FunctionTimedOut(f"the function ran into its time-out after {call.timeout:g} s")

    try:
        handler = load()
        signal.signal(signal.SIGALRM, time_out)
        signal.setitimer(signal.ITIMER_REAL, call.timeout)
        answer = handler(event, call.context())
    except (Exception, FunctionTimedOut, SystemExit) as error:  # noqa: BLE001 - stands for Lambda's own catch-all
        traceback.print_exception(error)
        return error_answer(event, error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return answer or {}


def main(handler_path: str, handler_name: str) -> None:
    """Answers calls until the parent closes the pipe."""
    module_name = handler_path.replace(os.sep, ".")
    timeout = timeout_of(f"{module_name}.{handler_name}")

    def load() -> Handler:
        handler: Handler = getattr(importlib.import_module(module_name), handler_name)
        return handler

    for line in sys.stdin:
        message = json.loads(line)
        given = message.get("context", {})
        call = Call(
            function_name=given.get("functionName", handler_name),
            aws_request_id=given.get("awsRequestId", "local"),
            memory_limit_in_mb=given.get("memoryLimitInMB", "1024"),
            timeout=timeout,
        )
        answer = run_once(load, message["event"], call)
        sys.stdout.write(json.dumps({"__offline_payload__": answer}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main(*sys.argv[1:3])
