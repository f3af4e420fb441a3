"""EventBridge fires once a minute; this makes ticks of the configured interval of it, while there is work."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.domain import state_keys
from shared.domain.errors import InvalidRequestError, StaleWrite
from shared.domain.job import ACTIVE_STATUSES
from shared.domain.metric import Metric
from shared.domain.observation import is_too_soon
from shared.ports import ActiveJob, Clock, EventLog, JobStore, StateItem, StateStore, Telemetry, WorkQueue
from shared.services.polling.decide_polling import DecidePolling
from shared.services.polling.poll_provider import PollState, read_poll_state

WINDOW = 60.0
CONTINUE_EVERY = 30.0
"""Seconds between the ticks of a round that is not finished, however long the interval is."""
WRITE_AFTER = 100.0
"""Seconds after which the schedule's own mark is renewed; the health check calls three minutes silent."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A message of the tick queue: poll this provider at `due_at` (seconds since 1970), every `interval` seconds."""

    provider: str
    due_at: float
    interval: float

    def encode(self) -> str:
        return json.dumps({"provider": self.provider, "due_at": self.due_at, "interval": self.interval})

    @staticmethod
    def decode(text: str) -> Tick:
        """Raises InvalidRequestError for anything that `encode` did not write."""
        try:
            value = json.loads(text)
            return Tick(str(value["provider"]), float(value["due_at"]), float(value["interval"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            raise InvalidRequestError("This queue message is not a tick.") from None

    def is_late(self, now: datetime) -> bool:
        """Older than an interval: the next one is due already, and this one is worth nothing."""
        return now.timestamp() - self.due_at > self.interval


@dataclass(frozen=True, kw_only=True)
class StartTicks:
    jobs: JobStore
    events: EventLog
    state: StateStore
    ticks_queue: WorkQueue
    decide_polling: DecidePolling
    clock: Clock
    telemetry: Telemetry
    _told: list[str] = field(default_factory=list)

    def run(self, providers: Sequence[str]) -> int:
        """Send the ticks of the coming minute; returns how many. Run again for the same minute it sends none."""
        self.telemetry.count(Metric.SCHEDULER_RAN)
        decision = self.decide_polling.decide(providers)
        self._tell(
            f"job status polling is {'on' if decision.is_active else 'off'}: {decision.reason}; "
            f"interval {decision.interval_seconds:g} s"
        )
        now = self.clock.now().timestamp()
        item = self.state.get(state_keys.SCHEDULE, now=self.clock.now())
        planned = _next_ticks(item)
        sent = 0
        if decision.is_active:
            for provider in self._with_work(providers):
                poll = read_poll_state(self.state, provider, now=self.clock.now())
                due, planned[provider] = _due_times(
                    planned.get(provider), now, _spacing(poll, decision.interval_seconds)
                )
                for moment in due:
                    tick = Tick(provider, moment, decision.interval_seconds)
                    self.ticks_queue.send([tick.encode()], delay_seconds=max(0, round(moment - now)))
                sent += len(due)
        self._mark(item, now, planned, has_changed=sent > 0)
        return sent

    def _with_work(self, providers: Sequence[str]) -> list[str]:
        """Those with an active job that they know; the head's counts spare the question while nothing is active.

        A lost job makes work only in the minute in which its hour is over.
        """
        head = self.events.head()
        active = frozenset(ACTIVE_STATUSES)
        candidates = [name for name in providers if head.count(provider=name, statuses=active) > 0]
        minute_end = self.clock.now() + timedelta(seconds=WINDOW)
        return [name for name in candidates if any(_is_work(job, minute_end) for job in self.jobs.active(name))]

    def _mark(self, item: StateItem | None, now: float, planned: Mapping[str, float], *, has_changed: bool) -> None:
        """Remember when the schedule ran and up to where ticks are sent; not every minute while nothing happens."""
        last = _seconds(item.value.get("at")) if item else None
        if not has_changed and last is not None and 0 <= now - last < WRITE_AFTER:
            return
        future = {name: moment for name, moment in planned.items() if moment > now}
        try:
            version = item.version if item else 0
            self.state.put(state_keys.SCHEDULE, {"at": now, "next": future}, now=self.clock.now(), if_version=version)
        except StaleWrite:
            # The schedule fired twice; the poller drops the second set of ticks.
            self.telemetry.info("schedule ran twice")

    def _tell(self, sentence: str) -> None:
        """Once a process, and whenever the answer has changed."""
        if self._told != [sentence]:
            self._told[:] = [sentence]
            self.telemetry.info(sentence)


def _is_work(job: ActiveJob, minute_end: datetime) -> bool:
    if job.external_id is None:
        return False
    return not (job.is_lost and is_too_soon(job.last_miss_at, minute_end, is_lost=True))


def _spacing(poll: PollState, interval: float) -> float:
    """While rounds take long, ticks come oftener than rounds: one that finds nothing due costs a single read."""
    effective = poll.effective_interval(interval)
    return min(effective, CONTINUE_EVERY) if poll.has_rest or effective > interval else interval


def _due_times(planned: float | None, now: float, spacing: float) -> tuple[list[float], float]:
    """The moments of this minute, from where the last one ended, and the first moment of the next."""
    is_ours = planned is not None and now <= planned <= now + WINDOW + spacing
    moment = planned if planned is not None and is_ours else now
    count = max(0, math.ceil((now + WINDOW - moment) / spacing))
    return [moment + place * spacing for place in range(count)], moment + count * spacing


def _next_ticks(item: StateItem | None) -> dict[str, float]:
    given = item.value.get("next") if item else None
    moments = {str(name): _seconds(value) for name, value in given.items()} if isinstance(given, Mapping) else {}
    return {name: moment for name, moment in moments.items() if moment is not None}


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
