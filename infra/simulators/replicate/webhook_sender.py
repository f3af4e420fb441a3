"""Sends the webhooks of jobs as the provider's sender does: signed, throttled, terminal ones retried."""

import asyncio
import base64
import hashlib
import hmac
import random
import string
import time
from dataclasses import dataclass

import httpx

from .clock import NANOSECONDS
from .job_log import job_log
from .jobs import JobView, SimulatedJob, Status, view
from .simulator import Simulator
from .state_file import Told
from .webhook_log import WebhookAttempt
from .wire import encode, webhook_body

USER_AGENT = "Webhooks/1.66.0 (sender-9YMgn)"
DEFAULT_EVENTS = ("output", "completed")
_OTHER_SECRET = "whsec_" + base64.b64encode(b"a secret of an earlier time").decode()
_THROTTLE_NS = NANOSECONDS // 2
_ANSWER_SECONDS = 5.0
_LOOK_SECONDS = 0.05
_IDLE_LOOK_SECONDS = 0.3
"""While no job has anything left to tell."""
_REST_FACTOR = 4  # with thousands of jobs a look takes long, and answering requests comes first
_RETRY_PARTS = (1 / 60, 2 / 60, 4 / 60, 8 / 60, 16 / 60, 29 / 60)
"""The pauses before each further attempt, as parts of the retry time: doubling, about a minute in all."""


def sign(secret: str, webhook_id: str, timestamp: int, body: bytes) -> str:
    """`v1,<base64>` as the Standard Webhooks specification defines it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


@dataclass(frozen=True, slots=True)
class Message:
    """One webhook; its id and body stay the same however often it is sent."""

    webhook_id: str
    url: str
    job_id: str
    event: str
    body: bytes


@dataclass(slots=True)
class _LastLook:
    """What was last told of a running job's log."""

    at_ns: int = 0
    log_length: int = 0


class WebhookSender:
    """Watches the jobs that have a webhook and delivers what they have to tell."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._last_looks: dict[str, _LastLook] = {}
        self._held: dict[str, list[Message]] = {}
        self._deliveries: set[asyncio.Task[None]] = set()
        self._rng = random.Random(simulator.new_seed())

    async def run(self) -> None:
        """Look and deliver until cancelled; deliveries under way are cancelled with it."""
        async with httpx.AsyncClient(timeout=_ANSWER_SECONDS, follow_redirects=False, trust_env=False) as client:
            try:
                while True:
                    began = time.monotonic()
                    awaiting = self._simulator.awaiting_webhooks()
                    for job, told in awaiting:
                        for message in self._due(job, told):
                            self._post(client, message)
                    took = time.monotonic() - began
                    least = _LOOK_SECONDS if awaiting else _IDLE_LOOK_SECONDS
                    await asyncio.sleep(max(least, took * _REST_FACTOR))
            finally:
                for delivery in self._deliveries:
                    delivery.cancel()
                await asyncio.gather(*self._deliveries, return_exceptions=True)

    def _due(self, job: SimulatedJob, told: Told) -> list[Message]:
        """What `job` has to tell now, each marked as told."""
        wanted = DEFAULT_EVENTS if job.webhook_events is None else job.webhook_events
        seen = self._simulator.view(job)
        has_run = seen.started_ns is not None and seen.started_ns == job.started_ns
        due: list[Message] = []
        if has_run and not told.start:
            self._simulator.mark_told(job.id, "start")
            if "start" in wanted:
                due.append(self._message(job, view(job, job.started_ns), "start"))
        if "logs" in wanted and not seen.is_terminal and self._log_has_grown(job, seen):
            due.append(self._message(job, seen, "logs"))
        if seen.status is Status.SUCCEEDED and job.output is not None and not told.output:
            self._simulator.mark_told(job.id, "output")
            if "output" in wanted:
                due.append(self._message(job, seen, "output"))
        if seen.is_terminal and not told.completed:
            self._simulator.mark_told(job.id, "completed")
            self._last_looks.pop(job.id, None)
            silent = seen.status is Status.ABORTED and not self._simulator.settings.aborted_sends_webhook
            if "completed" in wanted and not silent:
                due.append(self._message(job, seen, "completed"))
        return due

    def _log_has_grown(self, job: SimulatedJob, seen: JobView) -> bool:
        now = self._simulator.now_ns()
        last = self._last_looks.setdefault(job.id, _LastLook())
        if now - last.at_ns < _THROTTLE_NS:
            return False
        length = len(job_log(job, seen))
        if length == last.log_length:
            return False
        last.at_ns, last.log_length = now, length
        return True

    def _message(self, job: SimulatedJob, seen: JobView, event: str) -> Message:
        body = webhook_body(job, seen, origin=self._simulator.origin)
        if event == "output":
            body["status"] = Status.PROCESSING.value
            body.pop("completed_at", None)
            body.pop("metrics", None)
        suffix = "".join(self._rng.choices(string.ascii_letters + string.digits, k=27))
        return Message("msg_" + suffix, job.webhook or "", job.id, event, encode(body))

    def _post(self, client: httpx.AsyncClient, message: Message) -> None:
        """Deliver in the background, held messages of the job after its last one."""
        faults = self._simulator.webhook_faults
        if faults.reorder and faults.touches(message.event) and message.event != "completed":
            self._held.setdefault(message.job_id, []).append(message)
            return
        messages = [message]
        if message.event == "completed":
            messages += reversed(self._held.pop(message.job_id, []))
        delivery = asyncio.create_task(self._deliver_all(client, messages))
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)

    async def _deliver_all(self, client: httpx.AsyncClient, messages: list[Message]) -> None:
        for message in messages:
            await self._deliver(client, message)

    async def _deliver(self, client: httpx.AsyncClient, message: Message) -> None:
        faults = self._simulator.webhook_faults
        touched = faults.touches(message.event)
        if touched and self._is_dropped():
            self._note(message, attempt=1, status=0, dropped=True)
            return
        if touched and faults.delay_seconds:
            await asyncio.sleep(faults.delay_seconds)
        await self._deliver_with_retries(client, message)
        for _ in range(faults.duplicates if touched else 0):
            self._note(message, attempt=1, status=await self._attempt(client, message))

    async def _deliver_with_retries(self, client: httpx.AsyncClient, message: Message) -> None:
        status = await self._attempt(client, message)
        self._note(message, attempt=1, status=status)
        if message.event != "completed":
            return
        for number, part in enumerate(_RETRY_PARTS, start=2):
            if 200 <= status < 300:
                return
            await asyncio.sleep(part * self._simulator.options.webhook_retry_seconds)
            status = await self._attempt(client, message)
            self._note(message, attempt=number, status=status)

    async def _attempt(self, client: httpx.AsyncClient, message: Message) -> int:
        """The answer's status, 0 if there was none."""
        timestamp = self._simulator.clock.delivery_seconds()
        headers = {
            "content-type": "application/json",
            "user-agent": USER_AGENT,
            "webhook-id": message.webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": self._signatures(message, timestamp),
        }
        try:
            async with client.stream("POST", message.url, content=message.body, headers=headers) as answer:
                return answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL):
            return 0

    def _signatures(self, message: Message, timestamp: int) -> str:
        faults = self._simulator.webhook_faults
        true = sign(self._simulator.webhook_secret, message.webhook_id, timestamp, message.body)
        other_secret = self._simulator.previous_secret or _OTHER_SECRET
        other = sign(other_secret, message.webhook_id, timestamp, message.body)
        if not faults.touches(message.event):
            return true
        if faults.bad_signature:
            return sign(_OTHER_SECRET, message.webhook_id, timestamp, message.body + b" ")
        return f"{other} {true}" if faults.two_signatures else true

    def _is_dropped(self) -> bool:
        faults = self._simulator.webhook_faults
        if faults.drop_next > 0:
            faults.drop_next -= 1
            return True
        return self._rng.random() < faults.drop_probability

    def _note(self, message: Message, *, attempt: int, status: int, dropped: bool = False) -> None:
        at = self._simulator.now_ns() / NANOSECONDS
        self._simulator.deliveries.add(
            WebhookAttempt(at, message.job_id, message.event, message.webhook_id, attempt, status, dropped)
        )
