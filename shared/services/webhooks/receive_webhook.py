"""A provider's callback: judged, read, recorded; every 2xx is a durable yes (I32–I35)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.domain import state_keys
from shared.domain.change import RemoteId, Snapshot
from shared.domain.errors import (
    InvalidRequestError,
    NotFoundError,
    PayloadTooLargeError,
    ProviderAnswerInvalidError,
    UnsupportedMediaError,
    WebhookRejected,
)
from shared.domain.job import JOB_ID_PATTERN, Job, JobStatus
from shared.domain.metric import Metric
from shared.domain.observation import Look, Observation, Report
from shared.domain.provider_profile import WebhookScheme
from shared.ports import Clock, Provider, Telemetry
from shared.services.logs.read_progress import ReadProgress
from shared.services.logs.stored_texts import StoredTexts
from shared.services.providers.provider_named import provider_named
from shared.services.providers.provider_settings import ProviderSettings, one_moment
from shared.services.recording.record_observations import RecordObservations
from shared.services.webhooks.verify_webhook import checked_headers, is_signed
from shared.services.webhooks.webhook_keys import WebhookKeys

MAX_BODY_BYTES = 5_000_000
PROGRESS_EVERY = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A callback as the gateway handed it over. `headers` are found by lower-case names.

    `source_ip` is the network peer, never a header (T16).
    """

    provider: str
    body: bytes
    headers: Mapping[str, str]
    source_ip: str = ""
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """`job_id` None: nothing is known about it that could be told (a duplicate of a deleted job, a tombstone)."""

    job_id: str | None
    is_duplicate: bool = False


@dataclass(frozen=True, kw_only=True)
class ReceiveWebhook:
    record_observations: RecordObservations
    webhook_keys: WebhookKeys
    read_progress: ReadProgress
    stored_texts: StoredTexts
    provider_settings: ProviderSettings
    clock: Clock
    telemetry: Telemetry
    providers: Mapping[str, Provider]

    def run(self, delivery: Delivery) -> Received:
        """Record what a genuine callback tells.

        Raises NotFoundError (no such provider, or it sends none), PayloadTooLargeError, UnsupportedMediaError,
        WebhookRejected (any doubt), SigningKeyUnavailableError, InvalidRequestError (signed, but not a body we can
        read), StoreUnavailableError (send it again).
        """
        profile = provider_named(self.providers, delivery.provider).profile
        if profile.webhooks is not WebhookScheme.STANDARD_WEBHOOKS:
            raise NotFoundError(f"{profile.label} sends no webhooks.")
        if len(delivery.body) > MAX_BODY_BYTES:
            raise PayloadTooLargeError(f"A webhook's body may have at most {MAX_BODY_BYTES // 1_000_000} MB.")
        if (delivery.headers.get("content-encoding") or "identity").strip().lower() != "identity":
            raise UnsupportedMediaError("Send the webhook's body without Content-Encoding.")
        with one_moment():
            return self._receive(delivery)

    def _receive(self, delivery: Delivery) -> Received:
        delivery_id = f"{delivery.provider}#{self._judge(delivery)}"
        look = self._read(delivery)
        seen, named = look.observation, _named_job(delivery, look.observation)
        snapshot: Snapshot | None = None
        if look.log_tail is None:
            # What is decided on and what is configured in one request; a body with a log is a running job's as a rule.
            config = state_keys.provider_config(delivery.provider)
            report = Report(seen, delivery_id, named.get(seen.remote_id))
            snapshot = self.record_observations.look(report, state=[config])
            self.provider_settings.learn(delivery.provider, snapshot.state.get(config))
        self._check_source(delivery)
        recorded = self.record_observations.run(
            [seen], of=named, delivery_id=delivery_id, snapshot=snapshot, expects_change=snapshot is not None
        )
        job = recorded.job
        if job is not None and not recorded.is_duplicate:
            self._keep_progress(job, look)
        self.telemetry.count(Metric.WEBHOOK_DUPLICATE if recorded.is_duplicate else Metric.WEBHOOK_ACCEPTED)
        return Received(job.job_id if job else None, recorded.is_duplicate)

    def _judge(self, delivery: Delivery) -> str:
        """The webhook's id once its sender is certain; nothing is looked up before that (I32)."""
        headers = checked_headers(delivery.headers, self.clock.now())
        provider = delivery.provider
        is_genuine = is_signed(headers, delivery.body, self.webhook_keys.read(provider)) or (
            # The secret may have been rotated a moment ago.
            is_signed(headers, delivery.body, self.webhook_keys.renew(provider))
        )
        if not is_genuine:
            raise WebhookRejected("signature")
        return headers.webhook_id

    def _check_source(self, delivery: Delivery) -> None:
        allowed = self.provider_settings.of_one_moment().of(delivery.provider).get("webhook_allowed_ips")
        given = allowed.split(",") if isinstance(allowed, str) else allowed
        entries = [str(entry).strip() for entry in given if str(entry).strip()] if isinstance(given, list) else []
        if entries and not _is_listed(delivery.source_ip, entries):
            raise WebhookRejected("source address")

    def _read(self, delivery: Delivery) -> Look:
        try:
            return provider_named(self.providers, delivery.provider).read_webhook(delivery.body)
        except ProviderAnswerInvalidError as error:
            raise InvalidRequestError(f"This body tells of no job: {error.detail}") from None

    def _keep_progress(self, job: Job, look: Look) -> None:
        """A body with a log spares the next reader of the progress a call; at most one in PROGRESS_EVERY counts."""
        if not look.log_tail or not job.status is look.observation.status is JobStatus.RUNNING:
            return
        now = self.clock.now()
        stored = self.stored_texts.progress(job.job_id)
        if stored is None or abs(now - stored.updated_at) >= PROGRESS_EVERY:
            self.read_progress.keep(job.job_id, look.log_tail, stored, at=now)


def _named_job(delivery: Delivery, seen: Observation) -> dict[RemoteId, str]:
    """The job that the webhook's URL names (`?job=`), if it can be one."""
    job_id = delivery.job_id
    return {seen.remote_id: job_id} if job_id is not None and JOB_ID_PATTERN.fullmatch(job_id) else {}


def _is_listed(source_ip: str, entries: Iterable[str]) -> bool:
    """Whether an address is one of the listed addresses or networks; entries that are neither allow nobody."""
    try:
        address = ipaddress.ip_address(source_ip)
    except ValueError:
        return False
    for entry in entries:
        try:
            if address in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            continue
    return False
