"""The local runner of functions answers failures and time-outs as Lambda and its gateways do, and goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from infra.local.workers.lambda_worker import Handler, run_once
from infra.local.workers.wire import FunctionSpec


def _run(handler: Callable[..., Any], event: dict[str, Any] | None = None, seconds: float = 5) -> dict[str, Any]:
    return run_once(lambda: handler, event or {}, FunctionSpec("fn", "sample.handler", seconds, 512, 1), "request-1")


def _raises(event: Any, context: Any) -> Any:
    raise RuntimeError("boom")


def _sleeps(event: Any, context: Any) -> Any:
    time.sleep(10)


def _swallows_everything(event: Any, context: Any) -> Any:
    try:
        time.sleep(10)
    except Exception:  # noqa: BLE001 - what a careless handler does
        return {"swallowed": True}


def _exits(event: Any, context: Any) -> Any:
    sys.exit(3)


def _answers_with_bytes(event: Any, context: Any) -> Any:
    return {"body": b"bytes"}


def test_answer_is_passed_on() -> None:
    assert _run(lambda event, context: {"seen": event["n"]}, {"n": 1}) == {"answer": {"seen": 1}}


def test_nothing_is_an_answer_too() -> None:
    assert _run(lambda event, context: None) == {"answer": None}


@pytest.mark.parametrize(
    ("handler", "kind"), [(_raises, "RuntimeError"), (_exits, "SystemExit"), (_answers_with_bytes, "TypeError")]
)
def test_failure_is_told_in_lambdas_form(handler: Any, kind: str) -> None:
    answer = _run(handler)
    assert set(answer) == {"errorType", "errorMessage", "stackTrace"}
    assert answer["errorType"] == kind


def test_function_that_can_not_be_imported_is_an_error_each_time() -> None:
    def load() -> Handler:
        raise ImportError("no such module")

    assert run_once(load, {}, FunctionSpec("fn", "sample.handler", 5, 512, 1), "r")["errorType"] == "ImportError"


@pytest.mark.parametrize("handler", [_sleeps, _swallows_everything])
def test_time_out_ends_the_call_even_when_the_handler_swallows_exceptions(handler: Any) -> None:
    assert _run(handler, seconds=0.1)["errorType"] == "FunctionTimedOut"


def test_context_tells_what_lambdas_does() -> None:
    def tell(event: Any, context: Any) -> Any:
        return [context.function_name, context.aws_request_id, context.memory_limit_in_mb]

    assert _run(tell)["answer"] == ["fn", "request-1", "512"]
    left = _run(lambda event, context: context.get_remaining_time_in_millis())["answer"]
    assert 4_000 < left <= 5_000
