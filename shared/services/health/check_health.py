"""What works and what does not, component by component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared.domain import state_keys
from shared.domain.errors import CloudJobsError, ProviderError, ProviderNotConfiguredError
from shared.domain.expiry import ALLOWED_SKEW
from shared.ports import Clock, EventLog, Provider, StateStore
from shared.services.delivery.push_events import read_push_cursor
from shared.services.polling.poll_state import decode_poll_state
from shared.services.polling.start_ticks import read_schedule

HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"
SCHEDULE_SILENT_AFTER = timedelta(minutes=3)
UNPUSHED_AFTER = timedelta(seconds=15)
"""A push takes less than a second; a stream's own retries after a fault a few."""


@dataclass(frozen=True, slots=True)
class Component:
    """`latency_ms` None: nothing was measured."""

    name: str
    status: str
    message: str
    latency_ms: float | None = None


def overall(components: list[Component]) -> str:
    statuses = {component.status for component in components}
    return next((status for status in (UNHEALTHY, DEGRADED) if status in statuses), HEALTHY)


@dataclass
class CheckHealth:
    events: EventLog
    state: StateStore
    providers: Mapping[str, Provider]
    clock: Clock

    def __post_init__(self) -> None:
        self._started = self.clock.monotonic()

    def uptime_seconds(self) -> float:
        """Seconds since this process began to answer."""
        return self.clock.monotonic() - self._started

    def check(self, providers: Sequence[str] = ()) -> list[Component]:
        """Store, poller and delivery, and what each of these providers answers now."""
        components = self.check_store()
        if components[0].status == HEALTHY:
            components += [self._poller(), self._delivery()]
        return components + [self._provider(self.providers[name]) for name in providers]

    def check_store(self) -> list[Component]:
        started = self.clock.monotonic()
        try:
            self.events.head()
        except CloudJobsError as error:
            return [Component("store", UNHEALTHY, error.detail, self._since(started))]
        return [Component("store", HEALTHY, "The job store answers.", self._since(started))]

    def _poller(self) -> Component:
        """The age of the schedule's last run, and of the last tick, which there is only while a job is active."""
        age = self.schedule_age()
        if age is None:
            return Component(
                "poller", DEGRADED, "The schedule has not run yet; it does so within a minute of the start."
            )
        ages = self.tick_ages().values()
        ticked = f"the last tick was {min(ages):.0f} s ago" if ages else "there was no tick yet"
        if age > SCHEDULE_SILENT_AFTER.total_seconds():
            told = f"The schedule last ran {age:.0f} s ago, though it should run every minute; {ticked}."
            return Component("poller", DEGRADED, told)
        return Component("poller", HEALTHY, f"The schedule ran {age:.0f} s ago; {ticked}.")

    def _delivery(self) -> Component:
        """How long the oldest change waits that was not pushed yet: two reads, and a third while one waits."""
        now = self.clock.now()
        cursor, head = read_push_cursor(self.state, now=now), self.events.head()
        if cursor.is_at(head) or head.seq < head.first_kept:
            return Component("delivery", HEALTHY, "Every change was pushed.")
        after = max(cursor.seq if cursor.epoch == head.epoch else 0, head.first_kept - 1)
        since = self.events.written_at(after)
        age = max(0.0, (now - since).total_seconds()) if since else 0.0
        waiting = f"Changes that wait to be pushed: {head.seq - after}, the oldest for {age:.0f} s"
        if age > UNPUSHED_AFTER.total_seconds():
            told = f"{waiting}; open pages hear of nothing until the function push_events runs again."
            return Component("delivery", DEGRADED, told)
        return Component("delivery", HEALTHY, f"{waiting}.")

    def schedule_age(self) -> float | None:
        """Seconds since the schedule last ran, as far as it writes that down; None before its first run.

        A mark that lies ahead is a wrong clock's, and the next run writes another.
        """
        now = self.clock.now()
        schedule = read_schedule(self.state, now=now)
        if schedule is None or schedule.at > (now + ALLOWED_SKEW).timestamp():
            return None
        return max(0.0, now.timestamp() - schedule.at)

    def tick_ages(self) -> dict[str, float]:
        """Seconds since the last tick of each provider that has had one."""
        now = self.clock.now()
        names = {state_keys.poll(name): name for name in self.providers}
        states = self.state.get_many(list(names), now=now)
        ticks = {names[key]: decode_poll_state(item).last_tick_at for key, item in states.items()}
        return {name: max(0.0, (now - at).total_seconds()) for name, at in ticks.items() if at is not None}

    def _provider(self, provider: Provider) -> Component:
        started = self.clock.monotonic()
        try:
            account = provider.account()
        except ProviderNotConfiguredError as error:
            return Component(provider.profile.name, DEGRADED, error.detail)
        except ProviderError as error:
            return Component(provider.profile.name, DEGRADED, error.detail, self._since(started))
        message = f"{provider.profile.label} answers for {account.username}."
        return Component(provider.profile.name, HEALTHY, message, self._since(started))

    def _since(self, started: float) -> float:
        return round((self.clock.monotonic() - started) * 1000, 1)
