"""The composition root: every part is built once, when it is first needed, and can be replaced by keyword in tests."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from shared.config import AuthMode, SecretsBackend, Settings
from shared.domain.access import Principal
from shared.domain.errors import StaleWrite, UnknownProviderError
from shared.domain.observation import Observation
from shared.ports import (
    Account,
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
    from shared.services.access.authenticate import Authenticate
    from shared.services.access.authorize_connection import AuthorizeConnection
    from shared.services.access.issue_ticket import IssueTicket
    from shared.services.access.list_revocations import RevokeAccess
    from shared.services.access.sign_in import SignIn
    from shared.services.costs.check_cost_limit import CheckCostLimit
    from shared.services.costs.estimate_cost import EstimateCost
    from shared.services.costs.read_metrics import ReadMetrics
    from shared.services.delivery.greet_connection import GreetConnection
    from shared.services.delivery.open_connection import OpenConnection
    from shared.services.delivery.push_events import PushEvents
    from shared.services.delivery.stream_events import StreamEvents
    from shared.services.delivery.trim_events import TrimEvents
    from shared.services.health.check_health import CheckHealth
    from shared.services.jobs.cancel_job import CancelJob
    from shared.services.jobs.delete_job import DeleteJob
    from shared.services.jobs.list_jobs import ListJobs
    from shared.services.jobs.read_queue import ReadQueue
    from shared.services.logs.keep_final_log import KeepFinalLog
    from shared.services.logs.read_log import ReadLog
    from shared.services.logs.read_progress import ReadProgress
    from shared.services.logs.read_progress_of_page import ReadProgressOfPage
    from shared.services.polling.decide_polling import DecidePolling
    from shared.services.polling.poll_provider import PollProvider
    from shared.services.polling.reconcile import Reconcile
    from shared.services.polling.refresh_active import RefreshActive
    from shared.services.polling.start_ticks import StartTick
    from shared.services.polling.sync_provider import SyncProvider
    from shared.services.providers.configure_provider import ConfigureProvider
    from shared.services.providers.keep_token import AccountOf, KeepToken
    from shared.services.providers.provider_settings import ProviderSettings
    from shared.services.providers.read_system_status import ReadSystemStatus
    from shared.services.recording.change_job import ChangeJob
    from shared.services.recording.commit_queued import CommitObservations
    from shared.services.recording.record_observations import RecordObservations
    from shared.services.webhooks.probe_webhook import ProbeWebhook
    from shared.services.webhooks.receive_webhook import ReadBody, ReceiveWebhook
    from shared.services.webhooks.webhook_keys import WebhookKeys

REPLICATE_TOKEN_SECRET = "replicate_api_token"  # noqa: S105 - the name of a secret, not one
REPLICATE_API = "https://api.replicate.com/"
REPLICATE_STATUS_PAGE = "https://www.replicatestatus.com"
CURSOR_KEY_STATE = "signing-key#cursor"


class Wiring:
    """Parts by name. `Wiring(settings, jobs=fake)` replaces one; adapters are imported only when used (cold start)."""

    def __init__(self, settings: Settings, **parts: object) -> None:
        self.settings = settings
        for name, part in parts.items():
            if not hasattr(type(self), name):
                raise TypeError(f"There is no part named {name}.")
            self.__dict__[name] = part

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
        if settings.secrets_backend is SecretsBackend.FILE and settings.secrets_file is not None:
            return EnvironmentFirstSecrets(FileSecrets(settings.secrets_file))
        return SsmSecrets(settings.secrets_prefix)

    @cached_property
    def sender(self) -> Sender:
        from shared.adapters.aws.gateway_sender import GatewaySender

        return GatewaySender(self.settings.websocket_callback_url)

    @cached_property
    def observations_queue(self) -> WorkQueue:
        from shared.adapters.aws.sqs_queue import SqsWorkQueue

        return SqsWorkQueue(self.settings.observations_queue_url)

    @cached_property
    def providers(self) -> Mapping[str, Provider]:
        """Every provider that is known here, configured or not, by name."""
        from shared.adapters.guarded_provider import GuardedProvider
        from shared.adapters.http.bounded import HttpLimits
        from shared.adapters.providers.replicate.provider import ReplicateProvider
        from shared.telemetry import correlation_id

        replicate = ReplicateProvider(
            base_url=self.settings.replicate_api_base_url,
            token=lambda: self.secrets.get(REPLICATE_TOKEN_SECRET),
            clock=self.clock,
            correlation_id=correlation_id,
            our_webhook_url=lambda: self.provider_settings.webhook_url("replicate"),
            limits=HttpLimits(read_seconds=7, call_seconds=8),
        )
        return {"replicate": GuardedProvider(replicate, state=self.state, clock=self.clock)}

    def provider(self, name: str) -> Provider:
        """Raises UnknownProviderError."""
        try:
            return self.providers[name]
        except KeyError:
            known = ", ".join(sorted(self.providers))
            raise UnknownProviderError(f"There is no provider of that name; known are: {known}.") from None

    @cached_property
    def enterprise(self) -> EnterpriseConfig:
        """Raises ConfigurationError when simpletuner-enterprise.yaml is wrong."""
        from shared.enterprise_config import load_enterprise_config

        return load_enterprise_config(self.settings.simpletuner_enterprise_config)

    @cached_property
    def provider_settings(self) -> ProviderSettings:
        from shared.services.providers.provider_settings import ProviderSettings

        return ProviderSettings(self.state, self.clock, self.enterprise.provider_defaults)

    @cached_property
    def authenticator(self) -> Authenticate:
        from shared.services.access.authenticate import Authenticate

        is_open = self.settings.auth_mode is AuthMode.NONE
        return Authenticate(is_open, self.state, self.secrets, self.clock)

    def authenticate(self, key: str | None) -> Principal | None:
        return self.authenticator.principal(key)

    @cached_property
    def recorder(self) -> RecordObservations:
        from shared.services.recording.record_observations import RecordObservations

        days = self.settings.simpletuner_job_retention_days
        return RecordObservations(
            jobs=self.jobs,
            clock=self.clock,
            telemetry=self.telemetry,
            hardware_of=self.provider_settings.hardware,
            overflow=self.observations_queue,
            retention=timedelta(days=days) if days else None,
        )

    @cached_property
    def lister(self) -> ListJobs:
        from shared.services.jobs.list_jobs import ListJobs

        return ListJobs(self.jobs, self.events, lambda: self.cursor_key)

    @cached_property
    def refresher(self) -> RefreshActive:
        from shared.services.polling.refresh_active import RefreshActive

        return RefreshActive(jobs=self.jobs, recorder=self.recorder, clock=self.clock, telemetry=self.telemetry)

    @cached_property
    def syncer(self) -> SyncProvider:
        from shared.services.polling.sync_provider import SyncProvider

        return SyncProvider(
            recorder=self.recorder,
            clock=self.clock,
            telemetry=self.telemetry,
            synced_models=self.provider_settings.synced_models,
        )

    @cached_property
    def progress(self) -> ReadProgress:
        from shared.services.logs.read_progress import ReadProgress

        return ReadProgress(
            texts=self.texts,
            recorder=self.recorder,
            clock=self.clock,
            telemetry=self.telemetry,
            provider_of=self.provider,
            max_age_seconds=self.settings.progress_max_age_seconds,
        )

    @cached_property
    def streamer(self) -> StreamEvents:
        from shared.services.delivery.stream_events import StreamEvents

        return StreamEvents(
            events=self.events,
            state=self.state,
            clock=self.clock,
            telemetry=self.telemetry,
            hold_seconds=self.settings.sse_hold_seconds,
            max_held=self.settings.sse_max_held,
            connections_per_ip=self.settings.sse_connections_per_ip,
        )

    @cached_property
    def ticket_issuer(self) -> IssueTicket:
        from shared.services.access.issue_ticket import IssueTicket

        return IssueTicket(self.state, self.clock, lambda: secrets.token_urlsafe(32))

    @cached_property
    def connection_authorizer(self) -> AuthorizeConnection:
        from shared.services.access.authorize_connection import AuthorizeConnection
        from shared.services.access.issue_ticket import RedeemTicket
        from shared.services.access.list_revocations import ListRevocations

        return AuthorizeConnection(
            redeem=RedeemTicket(self.state, self.clock),
            revocations=ListRevocations(self.state, self.clock),
            allowed_origins=self.settings.page_origins,
            is_open=self.settings.auth_mode is AuthMode.NONE,
        )

    @cached_property
    def connection_opener(self) -> OpenConnection:
        from shared.services.delivery.open_connection import OpenConnection

        is_open = self.settings.auth_mode is AuthMode.NONE
        limit = None if is_open else self.settings.sockets_per_user
        return OpenConnection(connections=self.connections, clock=self.clock, most_per_user=limit)

    @cached_property
    def greeter(self) -> GreetConnection:
        from shared.services.delivery.greet_connection import GreetConnection

        return GreetConnection(
            events=self.events,
            connections=self.connections,
            sender=self.sender,
            state=self.state,
            clock=self.clock,
        )

    @cached_property
    def pusher(self) -> PushEvents:
        from shared.services.delivery.push_events import PushEvents

        return PushEvents(
            events=self.events,
            connections=self.connections,
            sender=self.sender,
            state=self.state,
            clock=self.clock,
            telemetry=self.telemetry,
        )

    @cached_property
    def access_revoker(self) -> RevokeAccess:
        from shared.services.access.list_revocations import RevokeAccess

        return RevokeAccess(self.state, self.clock, self.connections, self.sender)

    @cached_property
    def health(self) -> CheckHealth:
        from shared.services.health.check_health import CheckHealth

        return CheckHealth(self.events, self.state, lambda: self.providers, self.clock)

    @cached_property
    def progress_of_page(self) -> ReadProgressOfPage:
        from shared.services.logs.read_progress_of_page import ReadProgressOfPage

        return ReadProgressOfPage(self.jobs, self.progress, self.clock)

    @cached_property
    def log_reader(self) -> ReadLog:
        from shared.services.logs.read_log import ReadLog

        return ReadLog(
            texts=self.texts,
            progress=self.progress,
            clock=self.clock,
            telemetry=self.telemetry,
            provider_of=self.provider,
        )

    @cached_property
    def job_changer(self) -> ChangeJob:
        from shared.services.recording.change_job import ChangeJob

        return ChangeJob(self.jobs, self.clock)

    @cached_property
    def canceller(self) -> CancelJob:
        from shared.services.jobs.cancel_job import CancelJob

        return CancelJob(changer=self.job_changer, recorder=self.recorder, clock=self.clock, provider_of=self.provider)

    @cached_property
    def deleter(self) -> DeleteJob:
        from shared.services.jobs.delete_job import DeleteJob

        return DeleteJob(self.job_changer, self.texts, self.clock)

    @cached_property
    def metrics(self) -> ReadMetrics:
        from shared.services.costs.read_metrics import ReadMetrics

        return ReadMetrics(self.jobs, self.events, self.clock, lambda: self.providers)

    @cached_property
    def cost_limit(self) -> CheckCostLimit:
        from shared.services.costs.check_cost_limit import CheckCostLimit

        return CheckCostLimit(self.provider_settings, self.metrics)

    @cached_property
    def cost_estimator(self) -> EstimateCost:
        from shared.services.costs.estimate_cost import EstimateCost

        return EstimateCost(self.provider_settings, self.metrics)

    @cached_property
    def provider_configurer(self) -> ConfigureProvider:
        from shared.services.providers.configure_provider import ConfigureProvider

        return ConfigureProvider(self.provider_settings, self.state, self.secrets, self.clock)

    @cached_property
    def account_of(self) -> AccountOf:
        """Tries a token that is not stored yet."""

        def account_of(provider: str, token: str) -> Account:
            from shared.adapters.providers.replicate.provider import ReplicateProvider

            self.provider(provider)
            base_url = self.settings.replicate_api_base_url
            candidate = ReplicateProvider(base_url=base_url, token=lambda: token, clock=self.clock)
            try:
                return candidate.account()
            finally:
                candidate.close()

        return account_of

    @cached_property
    def token_keeper(self) -> KeepToken:
        from shared.services.providers.keep_token import KeepToken

        return KeepToken(self.secrets, {"replicate": REPLICATE_TOKEN_SECRET}, self.account_of)

    @cached_property
    def sign_in(self) -> SignIn:
        from shared.services.access.sign_in import SignIn

        return SignIn(self.authenticator, self.state, self.clock, lambda: secrets.token_urlsafe(32))

    @cached_property
    def fetch_status_page(self) -> Callable[[], Mapping[str, object]] | None:
        """None where the provider is simulated."""
        if not self.settings.replicate_api_base_url.startswith(REPLICATE_API):
            return None
        from shared.adapters.http.status_page import StatusPage

        return StatusPage(f"{REPLICATE_STATUS_PAGE}/api/v1/summary").summary

    @cached_property
    def system_status(self) -> ReadSystemStatus:
        from shared.services.providers.read_system_status import ReadSystemStatus

        return ReadSystemStatus(self.state, self.clock, self.fetch_status_page, REPLICATE_STATUS_PAGE)

    @cached_property
    def ticks_queue(self) -> WorkQueue:
        from shared.adapters.aws.sqs_queue import SqsWorkQueue

        return SqsWorkQueue(self.settings.ticks_queue_url)

    @cached_property
    def final_logs_queue(self) -> WorkQueue:
        from shared.adapters.aws.sqs_queue import SqsWorkQueue

        return SqsWorkQueue(self.settings.final_logs_queue_url)

    @cached_property
    def webhook_probe(self) -> WebhookProbe:
        from shared.adapters.http.webhook_probe import HttpWebhookProbe

        return HttpWebhookProbe()

    @cached_property
    def webhook_readers(self) -> Mapping[str, ReadBody]:
        """What a webhook's body of each provider tells."""
        from shared.adapters.providers.replicate.answers import observation_from_body

        def read_replicate(body: Mapping[str, object]) -> Observation:
            url = self.provider_settings.webhook_url("replicate")
            return observation_from_body(body, observed_at=self.clock.now(), our_webhook_url=url)

        return {"replicate": read_replicate}

    @cached_property
    def polling(self) -> DecidePolling:
        from shared.services.polling.decide_polling import DEFAULT_INTERVAL, DecidePolling

        enterprise = self.enterprise
        interval = self.settings.simpletuner_job_poll_interval or enterprise.polling_interval or DEFAULT_INTERVAL
        return DecidePolling(
            state=self.state,
            clock=self.clock,
            webhook_url=self.provider_settings.webhook_url,
            yaml_enabled=enterprise.polling_enabled,
            interval_seconds=interval,
        )

    @cached_property
    def poller(self) -> PollProvider:
        from shared.services.polling.poll_provider import PollProvider

        return PollProvider(state=self.state, refresher=self.refresher, clock=self.clock, telemetry=self.telemetry)

    @cached_property
    def tick_starter(self) -> StartTick:
        from shared.services.polling.start_ticks import StartTick

        return StartTick(
            jobs=self.jobs,
            events=self.events,
            state=self.state,
            ticks=self.ticks_queue,
            polling=self.polling,
            clock=self.clock,
            telemetry=self.telemetry,
        )

    @cached_property
    def reconciler(self) -> Reconcile:
        from shared.services.polling.reconcile import Reconcile

        return Reconcile(
            jobs=self.jobs,
            events=self.events,
            polling=self.polling,
            poller=self.poller,
            interval_seconds=self.enterprise.reconcile_interval,
        )

    @cached_property
    def webhook_keys(self) -> WebhookKeys:
        from shared.services.webhooks.webhook_keys import WebhookKeys

        return WebhookKeys(self.state, self.secrets, self.clock, self.telemetry, self.provider)

    @cached_property
    def webhook_receiver(self) -> ReceiveWebhook:
        from shared.services.webhooks.receive_webhook import ReceiveWebhook

        return ReceiveWebhook(
            recorder=self.recorder,
            keys=self.webhook_keys,
            progress=self.progress,
            settings=self.provider_settings,
            clock=self.clock,
            telemetry=self.telemetry,
            readers=self.webhook_readers,
        )

    @cached_property
    def webhook_prober(self) -> ProbeWebhook:
        from shared.services.webhooks.probe_webhook import ProbeWebhook

        return ProbeWebhook(
            settings=self.provider_settings,
            probe=self.webhook_probe,
            clock=self.clock,
            own_base_url=self.settings.public_base_url,
        )

    @cached_property
    def committer(self) -> CommitObservations:
        from shared.services.recording.commit_queued import CommitObservations

        patient = replace(self.recorder, overflow=None)
        return CommitObservations(recorder=patient, state=self.state, clock=self.clock, telemetry=self.telemetry)

    @cached_property
    def final_logs(self) -> KeepFinalLog:
        from shared.services.logs.keep_final_log import KeepFinalLog

        return KeepFinalLog(
            jobs=self.jobs,
            texts=self.texts,
            clock=self.clock,
            telemetry=self.telemetry,
            provider_of=self.provider,
        )

    @cached_property
    def trimmer(self) -> TrimEvents:
        from shared.services.delivery.trim_events import TrimEvents

        return TrimEvents(self.events, self.clock)

    @cached_property
    def queue_reader(self) -> ReadQueue:
        from shared.services.jobs.read_queue import ReadQueue

        return ReadQueue(
            jobs=self.jobs, events=self.events, state=self.state, clock=self.clock, providers=lambda: self.providers
        )

    @cached_property
    def cursor_key(self) -> bytes:
        """The key that signs page cursors: made once per deployment, shared by all functions."""
        now = self.clock.now()
        item = self.state.get(CURSOR_KEY_STATE, now=now)
        if item is None:
            with suppress(StaleWrite):
                self.state.put(CURSOR_KEY_STATE, {"key": secrets.token_hex(32)}, now=now, if_version=0)
            item = self.state.get(CURSOR_KEY_STATE, now=now)
            assert item is not None
        return bytes.fromhex(str(item.value["key"]))


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
