"""The simulated provider itself: its jobs and settings, without HTTP."""

import base64
import random
import secrets
import threading
from bisect import bisect_left, insort
from dataclasses import dataclass, replace

from .clock import NANOSECONDS, MachineClock, SimulatorClock
from .faults import FaultSwitches
from .history import boot_time, history, newcomer, run_time
from .jobs import Ending, JobView, Shape, SimulatedJob, SimulatedKind, Status, view
from .options import SimulatorOptions
from .problems import not_found
from .request_log import RequestLog
from .state_file import State, Told, load_state, save_state
from .webhook_log import WebhookAttempts, WebhookFaults
from .wire import cold_created_ns

_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_LENGTH = 26
_HOT_AFTER_END_NS = 60 * NANOSECONDS

ListPosition = tuple[int, str]


@dataclass(slots=True)
class LiveSettings:
    """What can be changed while it runs. Durations are in seconds."""

    speed: float
    new_job_every_seconds: float
    retention_seconds: float
    latency_seconds: float = 0.0
    cancel_lag_seconds: float = 0.0
    """How long after an accepted cancel the job really ends."""
    shape: Shape = Shape.AUTO
    aborted_sends_webhook: bool = False
    """The provider does not say whether an aborted job sends `completed`."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list, newest first; there is nowhere to go on from on the last one."""

    jobs: list[SimulatedJob]
    next_position: ListPosition | None


class Simulator:
    """All state of one simulated account. Every method may be called from any thread."""

    def __init__(self, options: SimulatorOptions | None = None, clock: SimulatorClock | None = None) -> None:
        self.options = options or SimulatorOptions()
        path = self.options.state_file
        stored = load_state(path) if path else None
        self.clock: SimulatorClock = clock or MachineClock(stored.clock_offset_ns if stored else 0)
        self.settings = LiveSettings(
            speed=self.options.speed,
            new_job_every_seconds=self.options.new_job_every_seconds,
            retention_seconds=self.options.retention_seconds,
        )
        seed = secrets.randbits(64) if self.options.seed is None else self.options.seed
        self.faults = FaultSwitches(seed)
        self.requests = RequestLog()
        self.deliveries = WebhookAttempts()
        self.webhook_faults = WebhookFaults()
        self.previous_secret: str | None = None
        self.origin = "https://api.replicate.com"
        self._rng = random.Random(seed)
        self._lock = threading.RLock()
        self._jobs: dict[str, SimulatedJob] = {}
        self._order: dict[SimulatedKind, list[ListPosition]] = {kind: [] for kind in SimulatedKind}
        self._told: dict[str, Told] = {}
        self._awaiting: set[str] = set()
        self._next_newcomer_ns: int | None = None
        self._changed = False
        self.webhook_secret = self.options.webhook_secret or (stored.webhook_secret if stored else self._new_secret())
        if stored:
            self._restore(stored)
        else:
            for job in history(self._rng, self.new_id, self.now_ns(), self.options.speed, self.options.jobs):
                self.add(job)

    # time

    def now_ns(self) -> int:
        return self.clock.now_ns()

    def view(self, job: SimulatedJob) -> JobView:
        return view(job, self.now_ns())

    def natural_shape(self, seen: JobView) -> Shape:
        """Which back end the provider would ask: the hot one until a minute after the end."""
        hot = seen.completed_ns is None or self.now_ns() < seen.completed_ns + _HOT_AFTER_END_NS
        return Shape.HOT if hot else Shape.COLD

    def is_removed(self, job: SimulatedJob, seen: JobView) -> bool:
        """Whether input, output and logs are gone: an hour (the retention) after the end, if made by the API."""
        if seen.completed_ns is None or job.source != "api":
            return False
        return self.now_ns() >= seen.completed_ns + int(self.settings.retention_seconds * NANOSECONDS)

    # jobs

    def new_id(self) -> str:
        """26 characters of the provider's alphabet."""
        with self._lock:
            return "".join(self._rng.choices(_ID_ALPHABET, k=_ID_LENGTH))

    def new_seed(self) -> int:
        with self._lock:
            return self._rng.randrange(2**31)

    def usual_boot_seconds(self) -> float:
        with self._lock:
            return boot_time(self._rng, self.settings.speed)

    def usual_run_seconds(self) -> float:
        with self._lock:
            return run_time(self._rng, self.settings.speed)

    def add(self, job: SimulatedJob) -> SimulatedJob:
        with self._lock:
            self._jobs[job.id] = job
            insort(self._order[job.kind], (job.created_ns, job.id))
            if job.webhook:
                self._told.setdefault(job.id, Told())
                self._awaiting.add(job.id)
            self._forget_oldest()
            self._changed = True
        return job

    def find(self, job_id: str, kind: SimulatedKind | None = None) -> SimulatedJob:
        """Raises the provider's 404 for an id that is unknown, deleted, or of another kind."""
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None or kind not in (None, job.kind):
            raise not_found()
        return job

    def knows(self, job_id: str) -> bool:
        with self._lock:
            return job_id in self._jobs

    def change(self, job: SimulatedJob) -> SimulatedJob:
        """Put a changed version in the place of the job with the same id."""
        with self._lock:
            self._jobs[job.id] = job
            self._changed = True
        return job

    def jobs(self) -> list[SimulatedJob]:
        """All jobs, newest first."""
        with self._lock:
            return sorted(self._jobs.values(), key=_position, reverse=True)

    def end(self, job_id: str, status: Status, error: str | None = None, lag_seconds: float = 0.0) -> SimulatedJob:
        """End a job (now, or after a lag); one that ended already stays as it is."""
        with self._lock:
            job = self.find(job_id)
            if self.view(job).is_terminal or job.ending is not None:
                return job
            at = self.now_ns() + int(lag_seconds * NANOSECONDS)
            return self.change(replace(job, ending=Ending(at, status, error)))

    def delete(self, job_id: str) -> None:
        """Make the provider forget a job: 404 from now on, in no list, no webhook."""
        with self._lock:
            self._remove(self.find(job_id))

    def page(
        self,
        kind: SimulatedKind,
        *,
        position: ListPosition | None = None,
        after_ns: int | None = None,
        before_ns: int | None = None,
    ) -> Page:
        """One page, newest first, after `position`, the last item of the page before. `after_ns` is inclusive,
        `before_ns` exclusive, both by the cold `created_at`."""
        size = self.options.page_size
        with self._lock:
            order = self._order[kind]
            older = order if position is None else order[: bisect_left(order, position)]
            found: list[SimulatedJob] = []
            for _, job_id in reversed(older):
                job = self._jobs[job_id]
                created = cold_created_ns(job)
                if (after_ns is None or created >= after_ns) and (before_ns is None or created < before_ns):
                    found.append(job)
                if len(found) > size:
                    return Page(found[:size], _position(found[size - 1]))
        return Page(found, None)

    def _forget_oldest(self) -> None:
        surplus = len(self._jobs) - self.options.keep_jobs
        if surplus <= 0:
            return
        for job in sorted(self._jobs.values(), key=_position):
            if surplus > 0 and self.view(job).is_terminal:
                self._remove(job)
                surplus -= 1

    def _remove(self, job: SimulatedJob) -> None:
        del self._jobs[job.id]
        order = self._order[job.kind]
        del order[bisect_left(order, _position(job))]
        self._told.pop(job.id, None)
        self._awaiting.discard(job.id)
        self._changed = True

    # webhooks

    def awaiting_webhooks(self) -> list[tuple[SimulatedJob, Told]]:
        """The jobs that have something left to tell."""
        with self._lock:
            return [(self._jobs[job_id], self._told[job_id]) for job_id in sorted(self._awaiting)]

    def mark_told(self, job_id: str, event: str) -> None:
        with self._lock:
            told = self._told.get(job_id)
            if told is None:
                return
            self._told[job_id] = told.model_copy(update={event: True})
            if event == "completed":
                self._awaiting.discard(job_id)
            self._changed = True

    def rotate_secret(self, secret: str | None = None) -> str:
        """A new signing secret (random unless given); the previous one is kept for doubled signatures."""
        with self._lock:
            self.previous_secret, self.webhook_secret = self.webhook_secret, secret or self._new_secret()
            self._changed = True
            return self.webhook_secret

    def _new_secret(self) -> str:
        return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()

    # life

    def start_newcomer_if_due(self) -> SimulatedJob | None:
        """Start one job by itself when it is time, at most one however long nobody looked."""
        every = self.settings.new_job_every_seconds
        if every <= 0:
            return None
        with self._lock:
            now = self.now_ns()
            if self._next_newcomer_ns is None:
                self._next_newcomer_ns = now + int(every * NANOSECONDS)
                self._changed = True
            if now < self._next_newcomer_ns:
                return None
            self._next_newcomer_ns = now + int(every * NANOSECONDS)
            return self.add(newcomer(self._rng, self.new_id(), now, self.settings.speed))

    def jump(self, seconds: float) -> None:
        """Move time forward; raises ValueError when negative."""
        with self._lock:
            self.clock.jump(seconds)
            self._changed = True

    def save_if_changed(self) -> None:
        """Write the state file, if there is one and something changed."""
        path = self.options.state_file
        with self._lock:
            if path is None or not self._changed:
                return
            self._changed = False
            state = State(
                webhook_secret=self.webhook_secret,
                clock_offset_ns=self.clock.offset_ns,
                next_newcomer_ns=self._next_newcomer_ns,
                jobs=list(self._jobs.values()),
                told=self._told,
            )
        save_state(path, state)

    def _restore(self, stored: State) -> None:
        self._next_newcomer_ns = stored.next_newcomer_ns
        for job in stored.jobs:
            self._told[job.id] = stored.told.get(job.id, Told())
            self.add(job)
            if self._told[job.id].completed:
                self._awaiting.discard(job.id)
        self._changed = False


def _position(job: SimulatedJob) -> ListPosition:
    return (job.created_ns, job.id)
