"""What works and what does not, component by component."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.errors import CloudJobsError, ProviderError, ProviderNotConfiguredError
from shared.ports import Clock, EventLog, Provider, StateStore

HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"
SCHEDULE_STATE = "schedule#start_tick"
SCHEDULE_SILENT_AFTER = timedelta(minutes=3)


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
    providers: Callable[[], Mapping[str, Provider]]
    clock: Clock

    def __post_init__(self) -> None:
        self._started = self.clock.monotonic()

    def uptime_seconds(self) -> float:
        """Seconds since this process began to answer."""
        return self.clock.monotonic() - self._started

    def check(self, *, with_providers: bool) -> list[Component]:
        components = self.check_store()
        if components[0].status == HEALTHY:
            components.append(self._poller())
        if with_providers:
            components += [self._provider(provider) for provider in self.providers().values()]
        return components

    def check_store(self) -> list[Component]:
        started = self.clock.monotonic()
        try:
            self.events.head()
        except CloudJobsError as error:
            return [Component("store", UNHEALTHY, error.detail, self._since(started))]
        return [Component("store", HEALTHY, "The job store answers.", self._since(started))]

    def _poller(self) -> Component:
        """The age of the last run of the schedule, which polls only while there is something to do."""
        now = self.clock.now()
        item = self.state.get(SCHEDULE_STATE, now=now)
        if item is None:
            return Component(
                "poller", DEGRADED, "The schedule has not run yet; it does so within a minute of the start."
            )
        age = now.timestamp() - float(str(item.value["at"]))
        if age > SCHEDULE_SILENT_AFTER.total_seconds():
            return Component("poller", DEGRADED, f"The schedule last ran {age:.0f} s ago; it should run every minute.")
        return Component("poller", HEALTHY, f"The schedule ran {age:.0f} s ago.")

    def _provider(self, provider: Provider) -> Component:
        started = self.clock.monotonic()
        try:
            account = provider.account()
        except ProviderNotConfiguredError as error:
            return Component(provider.name, DEGRADED, error.detail)
        except ProviderError as error:
            return Component(provider.name, DEGRADED, error.detail, self._since(started))
        message = f"{provider.label} answers for {account.username}."
        return Component(provider.name, HEALTHY, message, self._since(started))

    def _since(self, started: float) -> float:
        return round((self.clock.monotonic() - started) * 1000, 1)
