"""The rest of the outside: a provider that does what a test says, and places where messages end up."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.adapters.providers.json_body import read_object
from shared.adapters.providers.replicate.answers import look_from_body
from shared.adapters.providers.replicate.profile import PROFILE as REPLICATE
from shared.domain.account import Account
from shared.domain.errors import (
    ConnectionGone,
    ProviderAnswerInvalidError,
    ProviderJobNotFoundError,
    SendFailed,
    SendThrottled,
    StoreUnavailableError,
)
from shared.domain.metric import Metric
from shared.domain.observation import LastLook, Look, Observation, ObservationPage
from shared.domain.provider_profile import ProviderProfile
from shared.domain.system_status import SystemStatus
from shared.ports import Clock


class FakeProvider:
    """A provider whose jobs are observations by external id; every call is counted in `calls` by its name.

    `without_data` are jobs whose log it has removed.
    `fail` plans errors, first in first out, for one kind of call or (`external_id`) for one job.
    """

    def __init__(self, clock: Clock, profile: ProviderProfile = REPLICATE, *, page_size: int = 100) -> None:
        self._clock = clock
        self.profile = profile
        self.page_size = page_size
        self.calls: Counter[str] = Counter()
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.jobs: dict[str, Observation] = {}
        self.logs: dict[str, str | None] = {}
        self.without_data: set[str] = set()
        self.after_cancel: dict[str, Observation] = {}
        self.user = Account("tester", "A Tester")
        self.tried: list[str] = []
        self.status: SystemStatus | None = None
        self.secret = "whsec_" + "dGVzdC1zZWNyZXQtb2YtYS1mYWtlLXByb3ZpZGVy"
        self._failures: dict[str, deque[Exception]] = defaultdict(deque)

    def put(self, observation: Observation) -> None:
        """Let the provider know this job in this state from now on."""
        self.jobs[observation.external_id] = observation

    def forget(self, external_id: str) -> None:
        """From now on a look at this job is a 404, and no list holds it."""
        self.jobs.pop(external_id, None)

    def fail(self, call: str, *errors: Exception, external_id: str | None = None) -> None:
        """Raise these, one a call, from `account`, `list_page`, `get`, `full_log`, `last_look`, `cancel`, …."""
        self._failures[f"{call}:{external_id}" if external_id else call].extend(errors)

    def account(self, token: str | None = None) -> Account:
        if token is not None:
            self.tried.append(token)
        self._begin("account")
        return self.user

    def list_page(self, kind: str, *, page: str | None = None, active_since: datetime | None = None) -> ObservationPage:
        self._begin("list_page")
        newest_first = sorted(
            (job for job in self.jobs.values() if job.kind == kind and _is_since(job, active_since)),
            key=lambda job: (job.created_at or job.observed_at, job.external_id),
            reverse=True,
        )
        if page is not None and not page.isdecimal():
            raise ProviderAnswerInvalidError("This is no page of the list.")
        start = int(page) if page else 0
        end = start + self.page_size
        return ObservationPage(
            tuple(replace(job, observed_at=self._clock.now()) for job in newest_first[start:end]),
            str(end) if end < len(newest_first) else None,
        )

    def get(self, external_id: str, kind: str, *, with_log: bool = False) -> Look:
        self._begin("get", external_id)
        self.asked.append(external_id)
        job = self._known(external_id)
        seen = replace(job, observed_at=self._clock.now())
        return Look(seen, self.logs.get(external_id) if with_log else None)

    def full_log(self, external_id: str, kind: str) -> str | None:
        self._begin("full_log", external_id)
        self._known(external_id)
        return self.logs.get(external_id)

    def last_look(self, external_id: str, kind: str) -> LastLook:
        self._begin("last_look", external_id)
        seen = replace(self._known(external_id), observed_at=self._clock.now())
        is_removed = external_id in self.without_data
        return LastLook(seen, None if is_removed else self.logs.get(external_id), is_removed)

    def cancel(self, external_id: str, kind: str) -> None:
        self._begin("cancel", external_id)
        self._known(external_id)
        self.cancelled.append(external_id)
        if external_id in self.after_cancel:
            self.put(self.after_cancel[external_id])

    def webhook_secret(self) -> str:
        self._begin("webhook_secret")
        return self.secret

    def read_webhook(self, raw: bytes) -> Look:
        """In Replicate's words."""
        look = look_from_body(read_object(raw, self.profile, is_pushed=True), observed_at=self._clock.now())
        return replace(look, observation=replace(look.observation, provider=self.profile.name))

    def system_status(self) -> SystemStatus | None:
        self._begin("system_status")
        return self.status

    def _begin(self, call: str, external_id: str | None = None) -> None:
        self.calls[call] += 1
        for planned in (f"{call}:{external_id}", call):
            if self._failures[planned]:
                raise self._failures[planned].popleft()

    def _known(self, external_id: str) -> Observation:
        try:
            return self.jobs[external_id]
        except KeyError:
            raise ProviderJobNotFoundError(f"{self.profile.label} does not know {external_id}.") from None


def _is_since(job: Observation, moment: datetime | None) -> bool:
    return moment is None or job.created_at is None or job.created_at >= moment


class FakeSender:
    """Keeps what was sent to each connection. `gone` ones have ended, `failing` ones time out so many times.

    To `throttled` ones the gateway lets nothing through.
    """

    def __init__(self) -> None:
        self.sent: dict[str, list[bytes]] = defaultdict(list)
        self.gone: set[str] = set()
        self.failing: Counter[str] = Counter()
        self.throttled: set[str] = set()
        self.disconnected: list[str] = []

    def send(self, connection_id: str, body: bytes) -> None:
        self._begin(connection_id)
        if self.failing[connection_id] > 0:
            self.failing[connection_id] -= 1
            raise SendFailed("The connection did not take the message in time.")
        self.sent[connection_id].append(body)

    def disconnect(self, connection_id: str) -> None:
        self._begin(connection_id)
        self.disconnected.append(connection_id)
        self.gone.add(connection_id)

    def _begin(self, connection_id: str) -> None:
        if connection_id in self.throttled:
            raise SendThrottled("The gateway refused the request with 429.")
        if connection_id in self.gone:
            raise ConnectionGone("The connection is gone.")


@dataclass
class FakeQueue:
    """A queue as a list of (message, delay in seconds). `postponed` is by receipt, in seconds.

    `is_down` refuses everything.
    """

    messages: list[tuple[str, int]] = field(default_factory=list)
    postponed: dict[str, float] = field(default_factory=dict)
    is_down: bool = False

    def send(self, messages: Sequence[str], *, delay_seconds: int = 0) -> None:
        if self.is_down:
            raise StoreUnavailableError("The queue is down.")
        self.messages.extend((message, delay_seconds) for message in messages)

    def postpone(self, receipts: Sequence[str], seconds: float) -> None:
        if self.is_down:
            raise StoreUnavailableError("The queue is down.")
        self.postponed.update(dict.fromkeys(receipts, seconds))

    def drain(self) -> list[str]:
        """Take all messages out, as a worker would."""
        taken = [message for message, _ in self.messages]
        self.messages.clear()
        return taken


class FakeTelemetry:
    """Counts by metric; `records` are (level, message, fields)."""

    def __init__(self) -> None:
        self.counts: dict[Metric | str, float] = defaultdict(float)
        self.records: list[tuple[str, str, dict[str, object]]] = []

    def count(self, metric: Metric, value: float = 1) -> None:
        self.counts[metric] += value

    def info(self, message: str, **fields: object) -> None:
        self.records.append(("info", message, fields))

    def warning(self, message: str, **fields: object) -> None:
        self.records.append(("warning", message, fields))


class FakeSecrets:
    """Secrets in a dictionary; a value that was read is remembered as on AWS. `is_down` refuses every look."""

    def __init__(self, **values: str) -> None:
        self.values: dict[str, str] = dict(values)
        self.remembered: dict[str, str] = {}
        self.is_down = False

    def get(self, name: str, *, fresh: bool = False) -> str | None:
        if name in self.remembered and not fresh:
            return self.remembered[name]
        if self.is_down:
            raise StoreUnavailableError("The parameter store did not answer.")
        if name in self.values:
            self.remembered[name] = self.values[name]
        return self.values.get(name)

    def put(self, name: str, value: str) -> None:
        self.values[name] = self.remembered[name] = value

    def delete(self, name: str) -> None:
        self.values.pop(name, None)
        self.remembered.pop(name, None)

    def location(self) -> str:
        return "the memory of this test"
