"""The running stack under webhooks: every process of `make run`, its gateway in front, signed requests on loopback.

python -m tests.bench.bench_running_stack
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx
from websockets.asyncio.client import connect

from tests.local.replicate_webhooks import WebhookSource, new_job_id
from tests.local.stack import RunningStack

RATE = 40
SECONDS = 60
IDLE_AFTER_SECONDS = 70
IDLE_SECONDS = 30
PATIENCE_SECONDS = 60


async def webhooks_a_second(
    stack: RunningStack, source: WebhookSource, rate: int = RATE, seconds: int = SECONDS
) -> None:
    """Each webhook ends a job of its own that nobody knew; told means: the frame is at a WebSocket."""
    count = rate * seconds
    sent: dict[str, float] = {}
    told: dict[str, float] = {}
    answered: list[float] = []
    statuses: Counter[int] = Counter()
    async with connect(stack.ws_url, proxy=None, max_size=None) as socket:
        await socket.send(json.dumps({"action": "hello", "after": None}))
        await socket.recv()

        async def listen() -> None:
            while len(told) < count:
                for event in json.loads(await socket.recv()).get("events", []):
                    if event["job_id"] in sent:
                        told.setdefault(event["job_id"], time.perf_counter())

        listening = asyncio.create_task(listen())
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
        async with httpx.AsyncClient(base_url=stack.http_url, timeout=60, limits=limits, trust_env=False) as client:

            async def one() -> None:
                job_id = new_job_id()
                body, headers = source.signed(job_id, "succeeded")
                began = sent[job_id] = time.perf_counter()
                answer = await client.post("/api/webhooks/replicate", content=body, headers=headers)
                answered.append(time.perf_counter() - began)
                statuses[answer.status_code] += 1

            started = time.perf_counter()
            tasks = []
            for number in range(count):
                await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
                tasks.append(asyncio.create_task(one()))
            await asyncio.gather(*tasks)
        _, late = await asyncio.wait({listening}, timeout=PATIENCE_SECONDS)
        listening.cancel()
    delays = sorted(told[job_id] - sent[job_id] for job_id in told)
    print(
        f"{rate} webhooks/s for {seconds} s through gateway, workers, DynamoDB Local, relays and a WebSocket: answered "
        f"p50 {_quantile(answered, 0.5)} p99 {_quantile(answered, 0.99)} worst {_quantile(answered, 1)}, "
        f"statuses {dict(statuses)}; told p50 {_quantile(delays, 0.5)} p99 {_quantile(delays, 0.99)} "
        f"worst {_quantile(delays, 1)}, {count - len(told)} untold{' (stopped waiting)' if late else ''}"
    )


def _quantile(values: list[float], share: float) -> str:
    ordered = sorted(values) or [float("nan")]
    return f"{ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000:.0f} ms"


def idle(stack: RunningStack) -> None:
    """Share of one core, of all processes together, while nobody asks anything."""
    time.sleep(IDLE_AFTER_SECONDS)
    before = _processor_seconds(stack)
    time.sleep(IDLE_SECONDS)
    share = (_processor_seconds(stack) - before) / IDLE_SECONDS
    print(f"idle: {share:.1%} of a core, {len(stack.process_ids())} processes")


def _processor_seconds(stack: RunningStack) -> float:
    """Of processes that ended meanwhile nothing is known."""
    total = 0
    for pid in stack.process_ids():
        try:
            fields = (Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / 100


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, RunningStack(Path(folder) / "data") as stack:
        print(f"start, with everything installed: {stack.start():.1f} s")
        idle(stack)
        source = WebhookSource(stack)
        asyncio.run(webhooks_a_second(stack, source, RATE, SECONDS))
        source.close()


if __name__ == "__main__":
    main()
