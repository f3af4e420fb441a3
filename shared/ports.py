"""What the services need from the outside, in one page. Adapters implement these; tests use checked fakes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from shared.domain.account import Account
from shared.domain.change import JobChange, RemoteId, Snapshot
from shared.domain.connection import Connection
from shared.domain.event import LoggedEvent, LogHead
from shared.domain.job import IndexPage, Job, JobStatus
from shared.domain.metric import Metric
from shared.domain.observation import LastLook, Look, ObservationPage
from shared.domain.provider_profile import ProviderProfile
from shared.domain.stored import StateItem
from shared.domain.system_status import SystemStatus
from shared.domain.totals import DayTotal


class Clock(Protocol):
    """Time comes in from outside, so that a day passes in a test's second."""

    def now(self) -> datetime:
        """The present moment, UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back, for budgets."""

    def sleep(self, seconds: float) -> None: ...


class JobStore(Protocol):
    """Jobs, their claims, the log's head and the day totals: everything that one change writes together.

    Every method raises StoreUnavailableError when the store is throttled or down.
    """

    def get(self, job_id: str) -> Job | None:
        """One consistent read."""

    def get_many(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """Consistent reads, 100 a request; missing jobs are absent from the answer."""

    def ids_with_prefix(self, prefix: str, limit: int) -> tuple[str, ...]:
        """Ids that begin with a prefix of at least MIN_PREFIX_LENGTH characters."""

    def page(self, *, status: JobStatus | None, after: str | None, limit: int) -> IndexPage:
        """One page of an index, newest first; `after` is the sort key where the page before ended."""

    def active(self, provider: str) -> tuple[Job, ...]:
        """All active jobs of a provider, oldest first, following every page, each as it was at a moment just past.

        They come from an index, which lags behind (AWS-24): one that has ended since may still be there.
        """

    def snapshot(
        self,
        remote_ids: Collection[RemoteId] = (),
        *,
        job_ids: Collection[str] = (),
        delivery_ids: Collection[str] = (),
        state: Collection[str] = (),
    ) -> Snapshot:
        """Head, claims of `remote_ids` with their jobs, the jobs `job_ids`, which of `delivery_ids` exist, and the
        state store's items with the keys `state`.

        Consistent reads. Also the jobs whose id is that of a remote one, claimed or not. Who names the claimed jobs in
        `job_ids` spares a second read.
        """

    def batches(self, changes: Iterable[JobChange]) -> Iterator[Sequence[JobChange]]:
        """The changes in their order, as many together as one `commit` takes.

        Of a change with more delivery ids than that the newest are kept; one that is too large even so stands alone.
        """

    def commit(
        self, changes: Sequence[JobChange], *, head: LogHead, at: datetime, turn_until: datetime | None = None
    ) -> LogHead:
        """Write all changes with their events, counts, day totals, claims and delivery ids in one transaction.

        `head` is the head that was read; the new one is returned. `turn_until` prolongs the committer's turn where the
        head is written. Raises StaleWrite when any guard failed, ChangeTooLargeError for more than `batches` gives out
        at once, and ChangeRefusedError for a value that the store does not take; nothing is written then.
        """

    def take_turn(self, until: datetime) -> None:
        """Say in the head that it is the committer's turn; one small write, whatever number the head stands at.

        Raises StaleWrite while another writer's transaction holds the head.
        """

    def day_totals(self, provider: str, first_day: datetime, last_day: datetime) -> tuple[DayTotal, ...]:
        """The totals of each day from first to last, days without any left out."""


class EventLog(Protocol):
    """The one ordered log, for reading."""

    def head(self) -> LogHead:
        """Consistent read of item 0; the log is begun with a new epoch when there is none."""

    def read(self, after: int, limit: int) -> tuple[LoggedEvent, ...]:
        """The consecutive changes from `after` + 1, at most `limit`: fewer, or none, where a hole was read (I14)."""

    def written_at(self, after: int) -> datetime | None:
        """When the first change after this number was written, to the second; None where it is not there (any more)."""

    def trim(self, *, before: datetime, limit: int) -> int:
        """Move *first kept* past at most `limit` commits older than `before`, then delete them; how many (I15)."""


class JobTexts(Protocol):
    """What is big, or changes without being a change: parts of a job by name (`progress`, `history`, `log_tail`, …)."""

    def get(self, job_id: str, part: str) -> bytes | None: ...

    def get_many(self, job_ids: Sequence[str], part: str) -> dict[str, bytes]: ...

    def parts(self, job_id: str, first: str, last: str) -> dict[str, bytes]:
        """A job's parts whose names lie between these two, both included: one consistent query."""

    def put(self, job_id: str, part: str, content: bytes) -> None:
        """Store a part and end its lease."""

    def acquire(self, job_id: str, part: str, *, now: datetime, until: datetime) -> bool:
        """Take the short lease by which one reader alone refreshes a part; False when another holds it."""

    def delete(self, job_id: str, parts: Sequence[str]) -> None: ...

    def delete_all(self, job_id: str) -> None: ...


class StateStore(Protocol):
    """Leases, places, settings, preferences, tickets, slots, holds: JSON values by key, each with a version."""

    def get(self, key: str, *, now: datetime) -> StateItem | None: ...

    def get_many(self, keys: Sequence[str], *, now: datetime) -> dict[str, StateItem]: ...

    def put(
        self,
        key: str,
        value: Mapping[str, object],
        *,
        now: datetime,
        expires_at: datetime | None = None,
        if_version: int | None = None,
    ) -> int:
        """Write and return the new version. `if_version`: only over that version (0: only if absent or expired).

        Versions only grow, also across a deletion, and mean nothing else. An expiry is rounded up to a whole second.
        Raises StaleWrite when the guard fails.
        """

    def delete(self, key: str, *, now: datetime, if_version: int | None = None) -> StateItem | None:
        """Remove and return what was there, None when absent or expired. Raises StaleWrite when the guard fails."""


class SecretStore(Protocol):
    """Provider tokens and keys. Values never enter logs, errors or answers (I39)."""

    def get(self, name: str, *, fresh: bool = False) -> str | None:
        """`fresh`: as it is stored at this moment, whatever this process remembers."""

    def put(self, name: str, value: str) -> None: ...

    def delete(self, name: str) -> None: ...

    def location(self) -> str:
        """Where secrets are kept, in words for a person."""


class Provider(Protocol):
    """A remote place where jobs run. Every call is bounded in time and size and raises ProviderError's children."""

    @property
    def profile(self) -> ProviderProfile: ...

    def account(self, token: str | None = None) -> Account:
        """Whom the stored token, or this one in its place, belongs to."""

    def list_page(self, kind: str, *, page: str | None = None, active_since: datetime | None = None) -> ObservationPage:
        """One page of a list, newest first.

        `active_since`: only jobs that are active are wanted, and none that was created before; whatever filter the
        provider has for that may be used, and what is not wanted may come all the same.
        """

    def get(self, external_id: str, kind: str, *, with_log: bool = False) -> Look:
        """One job; `with_log`: also the end of a running one's log. Raises ProviderJobNotFoundError on 404."""

    def full_log(self, external_id: str, kind: str) -> str | None:
        """The whole log as far as the provider still has it, at most 4 MB; None when it was removed."""

    def last_look(self, external_id: str, kind: str) -> LastLook:
        """An ended job and its whole log, in one call where the provider has one for both.

        It may well be older than the end. Raises ProviderJobNotFoundError on 404.
        """

    def cancel(self, external_id: str, kind: str) -> None:
        """Ask for the end; its answer is no observation."""

    def webhook_secret(self) -> str:
        """The secret by which webhooks are signed. Raises ProviderError where there are none (`profile.webhooks`)."""

    def read_webhook(self, raw: bytes) -> Look:
        """What a genuine webhook's body tells. Raises ProviderAnswerInvalidError for one that is no job (T5)."""

    def system_status(self) -> SystemStatus | None:
        """What its status page says; None: it has none, or is simulated here."""


class WorkQueue(Protocol):
    """Messages to be worked on later; returning means durably kept."""

    def send(self, messages: Sequence[str], *, delay_seconds: int = 0) -> None: ...

    def postpone(self, receipts: Sequence[str], seconds: float) -> None:
        """Let messages that were received, and are left in the queue, come again after so long, at most 12 hours.

        Raises StoreUnavailableError where that could not be; they come again by the queue's own time then.
        """


class Sender(Protocol):
    """Pushes to WebSocket connections."""

    def send(self, connection_id: str, body: bytes) -> None:
        """One try. Raises ConnectionGone (ended), SendThrottled (refused, not reached) or SendFailed (1 s passed)."""

    def disconnect(self, connection_id: str) -> None:
        """End a connection. Raises as `send` does."""


class WebhookProbe(Protocol):
    """One bounded request to an address of our own, of which nothing but the status is told (T6)."""

    def status_of(self, url: str) -> int:
        """Raises ProbeRefusedError (not an address to contact), ProbeUnansweredError."""


class Connections(Protocol):
    """The registry of WebSocket clients."""

    def add(self, connection: Connection) -> None: ...

    def count_message(self, connection_id: str, *, now: datetime) -> tuple[Connection, int] | None:
        """The sender, and how many messages it has sent within this second; None for one gone or expired."""

    def all(self, *, now: datetime) -> Iterator[Connection]:
        """Every unexpired connection that has said hello, following pages."""

    def count_of_user(self, user_id: str, *, now: datetime) -> int:
        """How many unexpired connections a user has, silent ones too."""

    def advance(self, connection: Connection, *, cursor: int, epoch: str, failures: int = 0) -> bool:
        """Move a cursor if it still stands where `connection` says; False when someone else was first or it is gone."""

    def remove(self, connection_id: str) -> None: ...


class Telemetry(Protocol):
    """Counters and logs, so that services need not know where they go."""

    def count(self, metric: Metric, value: float = 1) -> None: ...

    def info(self, message: str, **fields: object) -> None: ...

    def warning(self, message: str, **fields: object) -> None: ...
