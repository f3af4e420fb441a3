"""Runs one function, call after call, as Lambda's runtime does: its context, its time-out, its form of an error.

What the function prints is its log. Protocol: `wire.py`; first the worker's process id, then one answer a call:
`{"answer": …}`, or `{"errorType", "errorMessage", "stackTrace"}`.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from infra.local.workers.wire import LENGTH, FunctionSpec, framed

Handler = Callable[[dict[str, Any], "Context"], Any]


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


def run_once(load: Callable[[], Handler], event: dict[str, Any], spec: FunctionSpec, request_id: str) -> dict[str, Any]:
    """The handler's answer, or its failure in Lambda's form. As on Lambda, the time-out begins when code is loaded."""

    def time_out(signal_number: int, frame: FrameType | None) -> None:
        raise FunctionTimedOut(f"the function ran into its time-out after {spec.timeout:g} s")

    try:
        handler = load()
        signal.signal(signal.SIGALRM, time_out)
        signal.setitimer(signal.ITIMER_REAL, spec.timeout)
        context = Context(spec.name, request_id, str(spec.memory), deadline=time.monotonic() + spec.timeout)
        answer = {"answer": handler(event, context)}
        signal.setitimer(signal.ITIMER_REAL, 0)
        framed(answer)
    except (Exception, FunctionTimedOut, SystemExit) as error:  # noqa: BLE001 - stands for Lambda's own catch-all
        traceback.print_exception(error)
        return {
            "errorType": type(error).__name__,
            "errorMessage": str(error),
            "stackTrace": traceback.format_exception(error),
        }
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return answer


def serve(pool: socket.socket, spec: FunctionSpec) -> None:
    """Answers calls until the pool closes the line."""
    module_name, _, handler_name = spec.handler.replace("/", ".").rpartition(".")

    def load() -> Handler:
        handler: Handler = getattr(importlib.import_module(module_name), handler_name)
        return handler

    with pool.makefile("rb") as calls:
        pool.sendall(framed({"pid": os.getpid()}))
        while head := calls.read(LENGTH.size):
            call = json.loads(calls.read(LENGTH.unpack(head)[0]))
            pool.sendall(framed(run_once(load, call["event"], spec, call["request_id"])))
