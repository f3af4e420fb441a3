"""The composition root: ports are built when first needed, and a use case gets them by its fields' names."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from shared.config import Settings
from shared.domain.provider_profile import ProviderProfile
from shared.ports import (
    Clock,
    Connections,
    EventLog,
    JobStore,
    JobTexts,
    Provider,
    SecretStore,
    Sender,
    StateStore,
    Telemetry,
    WebhookProbe,
    WorkQueue,
)

if TYPE_CHECKING:
    from shared.enterprise_config import EnterpriseConfig

UseCase = TypeVar("UseCase")

PROVIDERS = ("shared.adapters.providers.replicate",)
"""One line a provider: a package with its `profile`, which costs nothing to import, and its `provider`."""


class Parts(TypedDict, total=False):
    """What a test, or a program, may give in place of what is built here."""

    clock: Clock
    telemetry: Telemetry
    jobs: JobStore
    events: EventLog
    texts: JobTexts
    state: StateStore
    connections: Connections
    secrets: SecretStore
    sender: Sender
    observations_queue: WorkQueue
    ticks_queue: WorkQueue
    final_logs_queue: WorkQueue
    provider_packages: tuple[str, ...]
    profiles: Mapping[str, ProviderProfile]
    providers: Mapping[str, Provider]
    webhook_probe: WebhookProbe
    new_secret: Callable[[], str]
    enterprise: EnterpriseConfig


class Wiring:
    """Ports, providers and settings by name. Adapters are imported only when they are used (cold start)."""

    def __init__(self, settings: Settings, **parts: Unpack[Parts]) -> None:
        self.settings = settings
        self.__dict__.update(parts)
        self._built: dict[type[Any], Any] = {}

    def use(self, case: type[UseCase]) -> UseCase:
        """This wiring's one instance of a use case.

        A field without a default is the part, the setting or the use case of its name: `jobs`, `sse_hold_seconds`,
        `record_observations` (RecordObservations, as the use case's own module has imported it). Raises TypeError for
        a field that is none of these.
        """
        if case not in self._built:
            wanted = [field.name for field in fields(case) if field.default is MISSING is field.default_factory]  # type: ignore[arg-type]
            self._built[case] = case(**{name: self._named(name, case) for name in wanted})
        return self._built[case]  # type: ignore[no-any-return]

    def _named(self, name: str, case: type[Any]) -> Any:
        if name in self.__dict__ or hasattr(type(self), name):
            return getattr(self, name)
        if hasattr(self.settings, name):
            return getattr(self.settings, name)
        inner = getattr(sys.modules[case.__module__], "".join(word.capitalize() for word in name.split("_")), None)
        if isinstance(inner, type):
            return self.use(inner)
        if hasattr(self.enterprise, name):
            return getattr(self.enterprise, name)
        raise TypeError(f"{case.__name__}.{name} is no part, no setting and no use case.")

    @cached_property
    def clock(self) -> Clock:
        from shared.adapters.clock import SystemClock

        return SystemClock()

    @cached_property
    def telemetry(self) -> Telemetry:
        from shared.telemetry import PowertoolsTelemetry

        return PowertoolsTelemetry()

    @cached_property
    def jobs(self) -> JobStore:
        from shared.adapters.dynamo.jobs import DynamoJobStore

        settings = self.settings
        return DynamoJobStore(
            jobs_table=settings.jobs_table, events_table=settings.events_table, state_table=settings.state_table
        )

    @cached_property
    def events(self) -> EventLog:
        from shared.adapters.dynamo.events import DynamoEventLog

        return DynamoEventLog(table=self.settings.events_table)

    @cached_property
    def texts(self) -> JobTexts:
        from shared.adapters.dynamo.texts import DynamoJobTexts

        return DynamoJobTexts(table=self.settings.job_texts_table)

    @cached_property
    def state(self) -> StateStore:
        from shared.adapters.dynamo.state import DynamoStateStore

        return DynamoStateStore(table=self.settings.state_table)

    @cached_property
    def connections(self) -> Connections:
        from shared.adapters.dynamo.connections import DynamoConnections

        return DynamoConnections(table=self.settings.connections_table)

    @cached_property
    def secrets(self) -> SecretStore:
        from shared.adapters.aws.secrets import EnvironmentFirstSecrets, FileSecrets, SsmSecrets

        settings = self.settings
        if settings.secrets_file is not None:
            variables = {profile.token_secret: profile.token_variable for profile in self.profiles.values()}
            return EnvironmentFirstSecrets(FileSecrets(settings.secrets_file), variables)
        return SsmSecrets(settings.secrets_prefix)

    @cached_property
    def sender(self) -> Sender:
        from shared.adapters.aws.gateway_sender import GatewaySender

        return GatewaySender(self.settings.websocket_callback_url)

    @cached_property
    def observations_queue(self) -> WorkQueue:
        return self._queue(self.settings.observations_queue_url)

    @cached_property
    def ticks_queue(self) -> WorkQueue:
        return self._queue(self.settings.ticks_queue_url)

    @cached_property
    def final_logs_queue(self) -> WorkQueue:
        return self._queue(self.settings.final_logs_queue_url)

    def _queue(self, url: str) -> WorkQueue:
        from shared.adapters.aws.sqs_queue import SqsWorkQueue

        return SqsWorkQueue(url)

    @cached_property
    def webhook_probe(self) -> WebhookProbe:
        from shared.adapters.http.webhook_probe import HttpWebhookProbe

        return HttpWebhookProbe(clock=self.clock)

    @cached_property
    def new_secret(self) -> Callable[[], str]:
        """Gives 32 random bytes as URL-safe text."""
        return lambda: secrets.token_urlsafe(32)

    @cached_property
    def enterprise(self) -> EnterpriseConfig:
        """Raises ConfigurationError when simpletuner-enterprise.yaml is wrong."""
        from shared.enterprise_config import load_enterprise_config

        return load_enterprise_config(self.settings.simpletuner_enterprise_config)

    @cached_property
    def provider_packages(self) -> tuple[str, ...]:
        return PROVIDERS

    @cached_property
    def profiles(self) -> Mapping[str, ProviderProfile]:
        """What is known of every provider without asking it, by name."""
        found: list[ProviderProfile] = [import_module(f"{name}.profile").PROFILE for name in self.provider_packages]
        return {profile.name: profile for profile in found}

    @cached_property
    def providers(self) -> Mapping[str, Provider]:
        """Every provider that is known here, configured or not, by name."""
        named = zip(self.profiles, self.provider_packages, strict=True)
        return LazyProviders({name: partial(self._provider, package) for name, package in named})

    def _provider(self, package: str) -> Provider:
        from shared.adapters.guarded_provider import LONGEST_OPENING_SECONDS, GuardedProvider
        from shared.adapters.providers.api import Connection
        from shared.services.polling.decide_polling import configured_interval
        from shared.telemetry import correlation_id

        profile: ProviderProfile = import_module(f"{package}.profile").PROFILE
        connection = Connection(
            base_url=self.settings.provider_base_urls.get(profile.name, profile.api_base_url),
            token=lambda: self.secrets.get(profile.token_secret),
            newest_token=lambda: self.secrets.get(profile.token_secret, fresh=True),
            clock=self.clock,
            correlation_id=correlation_id,
        )
        provider: Provider = import_module(f"{package}.provider").build(connection)
        interval = configured_interval(self.settings.simpletuner_job_poll_interval, self.enterprise.polling_interval)
        longest = min(LONGEST_OPENING_SECONDS, interval / 2)
        return GuardedProvider(provider, state=self.state, clock=self.clock, longest_opening=longest)


class LazyProviders(Mapping[str, Provider]):
    """Providers by name, each built when it is first asked for; their names cost nothing."""

    def __init__(self, builders: Mapping[str, Callable[[], Provider]]) -> None:
        self._builders = builders
        self._built: dict[str, Provider] = {}

    def __getitem__(self, name: str) -> Provider:
        if name not in self._built:
            self._built[name] = self._builders[name]()
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._builders)

    def __len__(self) -> int:
        return len(self._builders)


_current: Wiring | None = None


def wiring() -> Wiring:
    """The process's wiring, built from the environment at first use."""
    global _current
    if _current is None:
        _current = Wiring(Settings.from_environment())
    return _current


def use_wiring(replacement: Wiring | None) -> None:
    """Replace the process's wiring (tests, programs); None: build from the environment again."""
    global _current
    _current = replacement
