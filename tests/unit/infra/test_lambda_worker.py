"""The local runner of functions answers failures and time-outs as Lambda and its gateways do, and goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.local.workers.lambda_worker import Call, Handler, run_once
from infra.templates import REPOSITORY

HTTP_EVENT = {"requestContext": {"http": {"method": "GET"}}}
SOCKET_EVENT = {"requestContext": {"connectionId": "abc"}}
QUEUE_EVENT: dict[str, Any] = {"Records": []}


def _call(seconds: float = 5) -> Call:
    return Call("fn", "request-1", "1024", seconds)


def _loads(handler: Callable[..., Any]) -> Callable[[], Handler]:
    return lambda: handler


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


def test_answer_is_passed_on() -> None:
    assert run_once(_loads(lambda event, context: {"seen": event["n"]}), {"n": 1}, _call()) == {"seen": 1}


def test_nothing_becomes_an_answer_that_the_emulator_understands() -> None:
    assert run_once(_loads(lambda event, context: None), {}, _call()) == {}


@pytest.mark.parametrize("handler", [_raises, _exits])
def test_failed_http_function_is_the_gateways_500(handler: Any) -> None:
    answer = run_once(_loads(handler), HTTP_EVENT, _call())
    assert answer["statusCode"] == 500
    assert json.loads(answer["body"]) == {"message": "Internal Server Error"}


def test_failed_socket_function_is_a_500() -> None:
    assert run_once(_loads(_raises), SOCKET_EVENT, _call()) == {"statusCode": 500}


def test_failed_worker_is_an_error_in_lambdas_form() -> None:
    answer = run_once(_loads(_raises), QUEUE_EVENT, _call())
    assert (answer["errorType"], answer["errorMessage"]) == ("RuntimeError", "boom")


def test_function_that_can_not_be_imported_is_an_error_each_time() -> None:
    def load() -> Handler:
        raise ImportError("no such module")

    assert run_once(load, QUEUE_EVENT, _call())["errorType"] == "ImportError"


@pytest.mark.parametrize("handler", [_sleeps, _swallows_everything])
def test_time_out_ends_the_call_even_when_the_handler_swallows_exceptions(handler: Any) -> None:
    answer = run_once(_loads(handler), QUEUE_EVENT, _call(0.1))
    assert answer["errorType"] == "FunctionTimedOut"


def test_remaining_time_counts_down_from_the_functions_own_time_out() -> None:
    context = _call(5).context()
    assert 4_000 < context.get_remaining_time_in_millis() <= 5_000


def test_worker_survives_a_failure_and_ends_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(
        "def handler(event, context):\n"
        "    print('a line of log')\n"
        "    return {'half': 10 / event['by'], 'request': context.aws_request_id}\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-m", "infra.local.workers.lambda_worker", "sample", "handler"]
    calls = [{"event": {"by": by}, "context": {"awsRequestId": f"r{by}"}} for by in (0, 2)]
    done = subprocess.run(
        command,
        input="".join(json.dumps(call) + "\n" for call in calls),
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert answers[0]["__offline_payload__"]["errorType"] == "ZeroDivisionError"
    assert answers[1]["__offline_payload__"] == {"half": 5.0, "request": "r2"}
