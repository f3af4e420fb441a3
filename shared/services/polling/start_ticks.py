"""EventBridge fires once a minute; this makes ticks of each provider's own interval of it, while there is work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import FiniteFloat, TypeAdapter, ValidationError

from shared.domain import state_keys
from shared.domain.errors import InvalidRequestError, StaleWrite
from shared.domain.job import ACTIVE_STATUSES, Job
from shared.domain.metric import Metric
from shared.domain.observation import is_too_soon
from shared.domain.stored import StateItem, read_value
from shared.ports import Clock, EventLog, JobStore, StateStore, Telemetry, WorkQueue
from shared.services.polling.decide_polling import DecidePolling, overall
from shared.services.polling.poll_state import PollState, read_poll_state

WINDOW = 60.0
CONTINUE_EVERY = 30.0
"""Seconds between the ticks of a round that is not finished, however long the interval is."""
WRITE_AFTER = 100.0
"""Seconds after which the schedule's own mark is renewed; the health check calls three minutes silent."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A message of the tick queue: poll this provider at `due_at` (seconds since 1970), every `interval` seconds."""

    provider: str
    due_at: FiniteFloat
    interval: FiniteFloat

    def encode(self) -> str:
        return _TICK.dump_json(self).decode()

    @staticmethod
    def decode(text: str) -> Tick:
        """Raises InvalidRequestError for anything that `encode` did not write."""
        try:
            return _TICK.validate_json(text)
        except ValidationError:
            raise InvalidRequestError("This queue message is not a tick.") from None

    def is_late(self, now: datetime) -> bool:
        """Older than an interval: the next one is due already, and this one is worth nothing."""
        return now.timestamp() - self.due_at > self.interval


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """When the schedule last ran, and for when it sent each provider's last tick; seconds since 1970."""

    at: FiniteFloat
    last: Mapping[str, FiniteFloat] = field(default_factory=dict)


_TICK = TypeAdapter(Tick)
_SCHEDULE = TypeAdapter(ScheduleState)


def read_schedule(state: StateStore, *, now: datetime) -> ScheduleState | None:
    """None before the first run."""
    return read_value(state.get(state_keys.SCHEDULE, now=now), _SCHEDULE)


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
        decisions = self.decide_polling.run(providers)
        together = overall(decisions.values())
        self._tell(
            f"job status polling is {'on' if together.is_active else 'off'}: {together.reason}; "
            f"interval {together.interval_seconds:g} s"
        )
        now = self.clock.now().timestamp()
        item = self.state.get(state_keys.SCHEDULE, now=self.clock.now())
        before = read_value(item, _SCHEDULE)
        last = dict(before.last) if before else {}
        sent = 0
        for provider, active in self._with_work(providers).items():
            interval = decisions[provider].round_interval(active)
            if interval is None:
                continue
            poll = read_poll_state(self.state, provider, now=self.clock.now())
            due = _due_times(last.get(provider), now, _spacing(poll, interval))
            for moment in due:
                tick = Tick(provider, moment, interval)
                self.ticks_queue.send([tick.encode()], delay_seconds=max(0, round(moment - now)))
                last[provider] = moment
            sent += len(due)
        if sent or before is None or not 0 <= now - before.at < WRITE_AFTER:
            self._keep(ScheduleState(now, last), item)
        return sent

    def _with_work(self, providers: Sequence[str]) -> dict[str, list[Job]]:
        """The jobs to look at; the head's counts spare the question while nothing is active.

        A lost job makes work only in the minute in which its hour is over.
        """
        head = self.events.head()
        active = frozenset(ACTIVE_STATUSES)
        minute_end = self.clock.now() + timedelta(seconds=WINDOW)
        return {
            name: [job for job in self.jobs.active(name) if _is_work(job, minute_end)]
            for name in providers
            if head.count(provider=name, statuses=active) > 0
        }

    def _keep(self, schedule: ScheduleState, item: StateItem | None) -> None:
        version, now = item.version if item else 0, self.clock.now()
        try:
            self.state.put(
                state_keys.SCHEDULE, _SCHEDULE.dump_python(schedule, mode="json"), now=now, if_version=version
            )
        except StaleWrite:
            # The schedule fired twice; the poller drops the second set of ticks.
            self.telemetry.info("schedule ran twice")

    def _tell(self, sentence: str) -> None:
        """Once a process, and whenever the answer has changed."""
        if self._told != [sentence]:
            self._told[:] = [sentence]
            self.telemetry.info(sentence)


def _is_work(job: Job, minute_end: datetime) -> bool:
    if job.external_id is None:
        return False
    return not (job.is_lost and is_too_soon(job.absence.last_miss_at, minute_end, is_lost=True))


def _spacing(poll: PollState, interval: float) -> float:
    """While rounds take long, ticks come oftener than rounds: one that finds nothing due costs a single read."""
    effective = poll.effective_interval(interval)
    return min(effective, CONTINUE_EVERY) if poll.has_rest or effective > interval else interval


def _due_times(last: float | None, now: float, spacing: float) -> list[float]:
    """The moments of this minute, in step with the last tick that was sent; one far ahead is the mistake of a clock."""
    moment = now if last is None or last > now + WINDOW else max(now, last + spacing)
    count = max(0, math.ceil((now + WINDOW - moment) / spacing))
    return [moment + place * spacing for place in range(count)]
