"""Delivery: from webhook to frame on the local stack, a change to 1,000 sockets (stub and emulator), an idle client.

python -m tests.bench.bench_delivery
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_async
from websockets.sync.client import connect

from infra.local.names import REGION
from shared.adapters.aws.gateway_sender import GatewaySender
from shared.adapters.clock import SystemClock
from shared.domain.access import LOCAL_ADMIN
from shared.domain.event import EventId
from shared.services.delivery.greet_connection import GreetConnection
from shared.services.delivery.push_events import PushEvents
from shared.services.delivery.stream_events import Listener, StreamEvents
from tests.delivery import Delivery
from tests.fakes.clock import FakeClock
from tests.local.replicate_webhooks import WebhookSource, new_job_id
from tests.local.stack import RunningStack

ROUNDS = 100
SOCKETS = 1000
CHANGES = 10
EMULATED_CHANGES = 5
OPENED_AT_ONCE = 4
PATIENCE_SECONDS = 60
MONTH_MINUTES = 30 * 24 * 60


@dataclass(frozen=True)
class Prices:
    """List prices in us-east-1, US dollars; Lambda on arm64, DynamoDB on demand."""

    http_request: float = 1.0e-6
    socket_message: float = 1.0e-6
    socket_minute: float = 0.25e-6
    lambda_request: float = 0.2e-6
    lambda_gb_second: float = 0.0000133334
    read_unit: float = 0.125e-6
    write_unit: float = 0.625e-6


PRICES = Prices()


@dataclass(frozen=True)
class IdleMinute:
    """What one waiting client causes in a minute. Reads are consistent, of items up to 4 kB; writes up to 1 kB."""

    http_requests: float = 0
    socket_messages: float = 0
    socket_minutes: float = 0
    calls: float = 0
    gb_seconds: float = 0
    reads: float = 0
    writes: float = 0

    @property
    def dollars_a_month(self) -> float:
        minute = (
            self.http_requests * PRICES.http_request
            + self.socket_messages * PRICES.socket_message
            + self.socket_minutes * PRICES.socket_minute
            + self.calls * PRICES.lambda_request
            + self.gb_seconds * PRICES.lambda_gb_second
            + self.reads * PRICES.read_unit
            + self.writes * PRICES.write_unit
        )
        return minute * MONTH_MINUTES


def percentiles(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=20)
    p50, p95, most = (1000 * value for value in (statistics.median(seconds), cuts[18], max(seconds)))
    return f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, max {most:.0f} ms"


@contextlib.contextmanager
def local_stack() -> Iterator[tuple[RunningStack, WebhookSource]]:
    with tempfile.TemporaryDirectory() as folder, RunningStack(Path(folder) / "data") as stack:
        stack.start()
        with contextlib.closing(WebhookSource(stack)) as webhooks:
            yield stack, webhooks


def webhook_to_frame(stack: RunningStack, webhooks: WebhookSource) -> None:
    """Signed webhooks of unknown jobs, one after another, to one listening WebSocket; the clock starts at the send."""
    with connect(stack.ws_url, proxy=None) as socket:
        socket.send(json.dumps({"action": "hello", "after": None}))
        seconds = []
        for number in range(ROUNDS + 5):
            job_id = new_job_id()
            sent = time.perf_counter()
            webhooks.send(job_id)
            while job_id not in str(socket.recv(timeout=30)):
                continue
            if number >= 5:
                seconds.append(time.perf_counter() - sent)
            time.sleep(0.2)
    print(f"webhook sent -> frame at a WebSocket, local stack, {ROUNDS} webhooks: {percentiles(seconds)}")


@contextlib.contextmanager
def stub_gateway() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.bench.stub_gateway"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as stub:
        assert stub.stdout is not None
        yield f"http://127.0.0.1:{int(stub.stdout.readline())}"
        assert stub.stdin is not None
        stub.stdin.close()


class LastServed:
    """A sender that knows when the last message was taken; between `pause` and `begin` it sends nothing."""

    def __init__(self, url: str) -> None:
        self._sender = GatewaySender(url)
        self._began: float | None = None
        self._taken = 0.0

    def pause(self) -> None:
        self._began = None

    def begin(self) -> None:
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self._taken - (self._began or 0.0)

    def send(self, connection_id: str, body: bytes) -> None:
        if self._began is not None:
            self._sender.send(connection_id, body)
            self._taken = time.perf_counter()

    def disconnect(self, connection_id: str) -> None:
        self._sender.disconnect(connection_id)


def change_to_many_sockets(hanging: int = 0) -> None:
    """Fresh sockets for each change, as one that hung is served last the next time; the first change warms up."""
    seconds, served, cpu = [], [], []
    with stub_gateway() as url:
        sender = LastServed(url)
        for _ in range(CHANGES + 1):
            sender.pause()
            world = Delivery(clock=SystemClock(), sender=sender)
            names = [f"hangs{number}" for number in range(hanging)] + [f"c{number}" for number in range(SOCKETS)]
            for name in random.sample(names[:SOCKETS], SOCKETS):
                world.connect(name)
                world.parts.use(GreetConnection).hello(name, None)
            world.publish()
            sender.begin()
            began, began_cpu = time.perf_counter(), time.process_time()
            world.parts.use(PushEvents).run()
            seconds.append(time.perf_counter() - began)
            served.append(sender.seconds)
            cpu.append(time.process_time() - began_cpu)
    print(
        f"a change to {SOCKETS} sockets, {hanging} of which hang, stub of the management API on loopback, {CHANGES} "
        f"changes: last served median {statistics.median(served[1:]):.2f} s, worst {max(served[1:]):.2f} s, all over "
        f"median {statistics.median(seconds[1:]):.2f} s, CPU {statistics.median(cpu[1:]):.2f} s"
    )


async def change_to_many_emulated_sockets(stack: RunningStack, webhooks: WebhookSource) -> None:
    """From a webhook's sending until the last of all sockets has its frame; emulator and clients share the machine."""
    hello = json.dumps({"action": "hello", "after": None})
    gate = asyncio.Semaphore(OPENED_AT_ONCE)
    async with contextlib.AsyncExitStack() as open_sockets:

        async def greeted() -> ClientConnection:
            async with gate:
                socket = await open_sockets.enter_async_context(
                    connect_async(
                        stack.ws_url,
                        proxy=None,
                        compression=None,
                        open_timeout=PATIENCE_SECONDS,
                        ping_interval=None,
                        close_timeout=0.1,
                    )
                )
                await socket.send(hello)
                await socket.recv()
                return socket

        began = time.perf_counter()
        sockets = await asyncio.gather(*(greeted() for _ in range(SOCKETS)))
        opened = time.perf_counter() - began
        seconds, late = [], 0
        for _ in range(EMULATED_CHANGES):
            job_id = new_job_id()
            began = time.perf_counter()
            hearing = [asyncio.create_task(_hear(socket, job_id)) for socket in sockets]
            await asyncio.to_thread(webhooks.send, job_id)
            heard, silent = await asyncio.wait(hearing, timeout=PATIENCE_SECONDS)
            late += len(silent)
            for task in silent:
                task.cancel()
            seconds.append(max(task.result() for task in heard) - began)
    print(
        f"webhook sent -> frame at the last of {SOCKETS} sockets, emulator, {EMULATED_CHANGES} changes: "
        f"median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s, {late} frames not within "
        f"{PATIENCE_SECONDS} s; opening them took {opened:.0f} s"
    )


async def _hear(socket: ClientConnection, job_id: str) -> float:
    """When the socket was told of that job."""
    while job_id not in str(await socket.recv()):
        continue
    return time.perf_counter()


def counted(world: Delivery, act: Callable[[], object]) -> tuple[int, int, int]:
    """DynamoDB requests, items read and items written."""
    world.stores.reset_usage()
    act()
    usage = world.stores.total_usage
    return usage.requests, usage.items_read, usage.items_written


def idle_client() -> None:
    """Requests are counted, over simulated time; a call takes 20 ms, or as long as it is held, at its memory."""
    rows: list[tuple[str, float, IdleMinute]] = []
    for label, every in (("WebSocket, a ping a minute", 1.0), ("WebSocket, a ping every 5 minutes", 5.0)):
        world = Delivery()
        world.greet("a")
        requests, reads, writes = counted(world, lambda world=world: world.parts.use(GreetConnection).ping("a"))  # type: ignore[misc]
        pings = 1 / every
        rows.append(
            (
                label,
                requests * pings,
                IdleMinute(
                    socket_messages=2 * pings,
                    socket_minutes=1,
                    calls=pings,
                    gb_seconds=pings * 0.5 * 0.02,
                    reads=reads * pings,
                    writes=writes * pings,
                ),
            )
        )
    rows.append(idle_stream("event stream, a job active, held 20 s", is_active=True, memory_gb=0.25))
    rows.append(idle_stream("event stream, no job active, asked every 15 s", is_active=False, memory_gb=0.25))
    for label, requests_a_minute, minute in rows:
        print(f"{label}: {requests_a_minute:.1f} DynamoDB requests a minute, ${minute.dollars_a_month:.2f} a month")


def idle_stream(label: str, *, is_active: bool, memory_gb: float) -> tuple[str, float, IdleMinute]:
    clock = FakeClock()
    world = Delivery(clock=clock)
    if is_active:
        world.publish()
    cursor = str(EventId.of_head(world.stores.events.head()))
    calls = 0
    held = 0.0

    def ten_minutes() -> None:
        nonlocal calls, held
        end = clock.monotonic() + 600
        while clock.monotonic() < end:
            began = clock.monotonic()
            text = world.parts.use(StreamEvents).run(cursor, Listener(LOCAL_ADMIN, "192.0.2.1", 27.0))
            held += clock.monotonic() - began + 0.02
            calls += 1
            clock.advance(int(text.split("\n", 1)[0].removeprefix("retry: ")) / 1000)

    requests, reads, writes = counted(world, ten_minutes)
    # A Query that finds nothing is billed as one read unit all the same; the fake counts its items only.
    reads += world.stores.usage["events.read"].requests if "events.read" in world.stores.usage else 0
    minute = IdleMinute(
        http_requests=calls / 10,
        calls=calls / 10,
        gb_seconds=held * memory_gb / 10,
        reads=reads / 10,
        writes=writes / 10,
    )
    return label, requests / 10, minute


def main() -> None:
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "local")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "local")
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
    change_to_many_sockets()
    change_to_many_sockets(hanging=SOCKETS // 10)
    idle_client()
    with local_stack() as (stack, webhooks):
        webhook_to_frame(stack, webhooks)
        asyncio.run(change_to_many_emulated_sockets(stack, webhooks))


if __name__ == "__main__":
    main()
