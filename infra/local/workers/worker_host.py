"""Forks the workers of functions from one process that has the libraries loaded already.

A worker that starts on its own spends a second of processor time on importing boto3, FastAPI and pydantic; a page that
wakes ten functions at once would wait for all of that. A fork has them at once and shares their memory. Of the
service's own code only what is pure is loaded here (the import rules see to that); once a file of it has changed, new
workers load all of it anew, so that an edit counts without a restart.

Protocol on a Unix socket: the worker's line as a file descriptor, with four bytes and that many of a `FunctionSpec`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import NoReturn

import boto3

from infra.local.workers.lambda_worker import serve as run_worker
from infra.local.workers.wire import LENGTH, FunctionSpec
from infra.templates import REPOSITORY

PRELOADED = (
    "aws_lambda_powertools",
    "aws_lambda_powertools.metrics",
    "boto3",
    "boto3.dynamodb.types",
    "botocore.session",
    "fastapi",
    "httpx",
    "mangum",
    "pydantic.v1",
    "yaml",
)
CLIENTS = ("dynamodb", "sqs", "apigatewaymanagementapi")
"""Made once, so that the models that boto3 reads for them are in memory; workers make their own from those."""
LARGEST_REQUEST = 1_000_000
PATIENT_NICENESS = 10

PURE_CODE = tuple(REPOSITORY / "shared" / room for room in ("domain", "progress", "services"))


def code_on_disk() -> dict[Path, int]:
    """Every file of the pure code with the time of its last change, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for folder in PURE_CODE for path in sorted(folder.rglob("*.py"))}


def load_code(files: Iterable[Path]) -> None:
    """What can't be loaded is left to the worker that needs it, which answers with the error."""
    for path in files:
        name = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
        with contextlib.suppress(ImportError, SyntaxError, NameError, AttributeError, TypeError):
            importlib.import_module(name)


def forget_code() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "shared"]:
        del sys.modules[name]


def serve(path: str) -> NoReturn:
    """Answers until it is killed; a worker's end is noticed by its caller, whose connection closes."""
    for name in PRELOADED:
        importlib.import_module(name)
    for service in CLIENTS:
        boto3.client(service)  # type: ignore[call-overload]
    loaded = code_on_disk()
    load_code(loaded)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, _reap)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(64)
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError, ValueError, TypeError):
                _fork_worker(listener, connection, loaded)


def _reap(signal_number: int, frame: FrameType | None) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _fork_worker(listener: socket.socket, connection: socket.socket, loaded: dict[Path, int]) -> None:
    head, descriptors, _, _ = socket.recv_fds(connection, LENGTH.size, 1)
    if len(head) < LENGTH.size or len(descriptors) != 1:
        return
    with socket.socket(fileno=descriptors[0]) as line:
        spec = FunctionSpec.from_bytes(_read(connection, LENGTH.unpack(head)[0]))
        if os.fork() == 0:
            listener.close()
            connection.close()
            if code_on_disk() != loaded:
                forget_code()
            _become_worker(line, spec)


def _read(connection: socket.socket, length: int) -> bytes:
    """Raises ValueError for a request that is too long or cut off."""
    if length > LARGEST_REQUEST:
        raise ValueError(f"a request of {length} bytes")
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise ValueError("a request that is cut off")
        data += part
    return data


def _become_worker(line: socket.socket, spec: FunctionSpec) -> NoReturn:
    """Works until the line closes, and ends without unwinding what is the host's."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if spec.patient:
            os.nice(PATIENT_NICENESS)
        os.environ["AWS_LAMBDA_FUNCTION_NAME"] = spec.name
        os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = str(spec.memory)
        sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", closefd=False)
        run_worker(line, spec)
        code = 0
    except OSError:
        code = 0
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
