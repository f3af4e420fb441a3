"""A burst of webhooks in virtual time: the real services over modelled stores, SQS and its mapping (AWS-23, AWS-26).

What Python itself takes costs nothing here: the figures are those of the rules and of AWS's latencies, on any machine.
"""

from __future__ import annotations

import heapq
import json
import random
import statistics
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from standardwebhooks.webhooks import Webhook

from shared.adapters.providers.replicate.profile import PROFILE
from shared.config import AuthMode, Settings
from shared.domain.errors import StoreUnavailableError
from shared.domain.job import Job
from shared.enterprise_config import EnterpriseConfig
from shared.services.recording.commit_queued import CommitQueued, Delivered
from shared.services.webhooks.receive_webhook import Delivery, ReceiveWebhook
from shared.services.webhooks.webhook_keys import webhook_secret_name
from shared.wiring import Wiring
from tests.bench.modelled import modelled_stores
from tests.fakes.actors import Actors
from tests.fakes.doubles import FakeProvider, FakeSecrets, FakeTelemetry

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SEND_SECONDS = 0.012
INVOKE_SECONDS = 0.03
LOOK_SECONDS = 0.1
WINDOW_SECONDS = 1.0
BATCH_SIZE = 500
CONCURRENCY = 2
VISIBILITY_SECONDS = 181
FUNCTIONS = 64


@dataclass(slots=True)
class _Queued:
    number: int
    body: str
    times: int = 0


@dataclass
class ModelledQueue:
    """SQS: a message that was handed out is hidden until it is deleted, shown again, or its time is over."""

    clock: Actors
    sent: int = 0
    _ready: deque[_Queued] = field(default_factory=deque)
    _hidden: list[tuple[float, int, _Queued]] = field(default_factory=list)
    _visible_at: dict[int, float] = field(default_factory=dict)

    def send(self, messages: Sequence[str], *, delay_seconds: int = 0) -> None:
        assert not delay_seconds
        self.clock.sleep(SEND_SECONDS)
        self._ready.extend(_Queued(self.sent + number, body) for number, body in enumerate(messages))
        self.sent += len(messages)

    def postpone(self, receipts: Sequence[str], seconds: float) -> None:
        for receipt in receipts:
            number = int(receipt)
            taken = next(message for _, hidden, message in self._hidden if hidden == number)
            self._hide(taken, seconds)

    def receive(self, most: int) -> list[_Queued]:
        now = self.clock.monotonic()
        while self._hidden and self._hidden[0][0] <= now:
            until, number, message = heapq.heappop(self._hidden)
            if self._visible_at.get(number) == until:
                del self._visible_at[number]
                self._ready.append(message)
        taken = [self._ready.popleft() for _ in range(min(most, len(self._ready)))]
        for message in taken:
            message.times += 1
            self._hide(message, VISIBILITY_SECONDS)
        return taken

    def delete(self, number: int) -> None:
        self._visible_at.pop(number, None)

    @property
    def is_empty(self) -> bool:
        return not self._ready and not self._visible_at

    def _hide(self, message: _Queued, seconds: float) -> None:
        until = self.clock.monotonic() + seconds
        self._visible_at[message.number] = until
        heapq.heappush(self._hidden, (until, message.number, message))


@dataclass
class Burst:
    """What became of `webhooks` that came at random moments of `seconds`, each the end of a job that nobody knew.

    `answered` is when each of the jobs' webhooks had its 2xx, `told` when its change was in the log: seconds of the
    burst's own time.
    """

    webhooks: int
    seconds: float
    answered: dict[str, float] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)
    waited: list[float] = field(default_factory=list)
    refused: int = 0
    queued: int = 0

    @property
    def drained_after(self) -> float:
        """Seconds from the last webhook until the last change was told."""
        return max(self.told.values()) - self.seconds

    @property
    def longest_untold(self) -> float:
        """Seconds for which something that was answered with a 2xx was in no log."""
        return max(self.told[name] - at for name, at in self.answered.items())

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.waited, n=100)[98]


def run_burst(webhooks: int, seconds: float, *, slowness: float = 1) -> Burst:
    """With a store that is `slowness` times slower than AWS's, as a loaded machine's is."""
    random.seed(webhooks)
    clock, burst = Actors(), Burst(webhooks, seconds)
    stores, queue = modelled_stores(clock, slowness=slowness), ModelledQueue(clock)
    another = partial(
        Wiring,
        Settings(auth_mode=AuthMode.NONE),
        clock=clock,
        telemetry=FakeTelemetry(),
        jobs=stores.jobs,
        events=stores.events,
        texts=stores.texts,
        state=stores.state,
        secrets=FakeSecrets(**{webhook_secret_name(PROFILE.name): SECRET}),
        observations_queue=queue,
        providers={PROFILE.name: FakeProvider(clock)},
        enterprise=EnterpriseConfig(),
    )
    put_job = stores.put_job

    def put_and_tell(job_id: str, job: Job | None) -> None:
        put_job(job_id, job)
        burst.told.setdefault(job_id, clock.monotonic())

    stores.put_job = put_and_tell  # type: ignore[method-assign]
    arrivals = enumerate(sorted(random.uniform(0, seconds) for _ in range(webhooks)))
    for _ in range(min(FUNCTIONS, webhooks)):
        clock.start(partial(_answer_webhooks, another, clock, burst, arrivals))
    for _ in range(CONCURRENCY):
        clock.start(partial(_feed_committer, another, clock, burst, queue))
    clock.run()
    burst.queued = queue.sent
    return burst


def _answer_webhooks(
    another: Callable[[], Wiring], clock: Actors, burst: Burst, arrivals: Iterator[tuple[int, float]]
) -> None:
    receive = another().use(ReceiveWebhook)
    for number, due in arrivals:
        clock.sleep(due - clock.monotonic())
        name = f"burst{number:08d}"
        try:
            receive.run(_webhook(name, clock))
        except StoreUnavailableError:
            burst.refused += 1
        else:
            burst.answered[name] = clock.monotonic()
        burst.waited.append(clock.monotonic() - due)


def _webhook(name: str, clock: Actors) -> Delivery:
    now = clock.now()
    moment = now.isoformat()
    body = {"id": name, "status": "succeeded", "created_at": moment, "completed_at": moment, "model": "owner/name"}
    raw = json.dumps(body)
    headers = {
        "webhook-id": f"msg_{name}",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(f"msg_{name}", now, raw),
    }
    return Delivery(provider=PROFILE.name, body=raw.encode(), headers=headers)


def _feed_committer(another: Callable[[], Wiring], clock: Actors, burst: Burst, queue: ModelledQueue) -> None:
    commit_queued = another().use(CommitQueued)
    while not (len(burst.waited) == burst.webhooks and queue.is_empty):
        batch = _batch(clock, queue)
        if not batch:
            clock.sleep(LOOK_SECONDS)
            continue
        clock.sleep(INVOKE_SECONDS)
        kept = commit_queued.run([Delivered(each.body, str(each.number), each.times) for each in batch])
        for place in set(range(len(batch))) - set(kept):
            queue.delete(batch[place].number)


def _batch(clock: Actors, queue: ModelledQueue) -> list[_Queued]:
    """As many as a batch holds, or what came within the window after the first."""
    batch = queue.receive(BATCH_SIZE)
    until = clock.monotonic() + WINDOW_SECONDS
    while batch and len(batch) < BATCH_SIZE and clock.monotonic() < until:
        clock.sleep(LOOK_SECONDS)
        batch += queue.receive(BATCH_SIZE - len(batch))
    return batch
