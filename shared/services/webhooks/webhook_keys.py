"""The keys by which a provider signs its webhooks: fetched from it, kept, and fetched again when they have rotated."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from shared.domain import state_keys
from shared.domain.errors import (
    CloudJobsError,
    ProviderError,
    SigningKeyUnavailableError,
    StoreUnavailableError,
)
from shared.domain.metric import Metric
from shared.ports import Clock, Provider, SecretStore, Telemetry
from shared.services.leases import Leases
from shared.services.providers.provider_named import provider_named
from shared.services.webhooks.verify_webhook import signing_key

CACHE_SECONDS = 300.0
REREAD_SECONDS = 5.0
"""How often the secret store is read while no key is known, or none that fits."""
FETCH_EVERY = timedelta(seconds=60)
"""The whole deployment asks the provider for its secret at most so often, however many forgeries come in."""
OTHERS_ANSWER_SECONDS = 3.0
LOOK_SECONDS = 0.2
"""The first webhooks of a deployment come together: all but one wait so long for what that one is told."""

Keys = tuple[bytes, ...]
Secret = TypeVar("Secret", str, bytes)


def webhook_secret_name(provider: str) -> str:
    """The name in the secret store; its value is the current secret, then the previous one."""
    return f"{provider}_webhook_secret"


@dataclass(slots=True)
class KnownKeys:
    """What this process knows of one provider.

    `keys` are the current and the previous one; when the secret store was read and the provider asked is told in
    monotonic seconds.
    """

    keys: Keys = ()
    read_at: float = -math.inf
    asked_at: float = -math.inf


@dataclass
class WebhookKeys:
    """The current and the previous key (I36), from this process's memory, the secret store or the provider."""

    leases: Leases
    secrets: SecretStore
    clock: Clock
    telemetry: Telemetry
    providers: Mapping[str, Provider]
    _known: dict[str, KnownKeys] = field(default_factory=lambda: defaultdict(KnownKeys))

    def read(self, provider: str) -> Keys:
        """Raises SigningKeyUnavailableError when there is no key to judge by.

        Better a key that may have rotated than none: what is known counts while the secret store does not answer.
        """
        known = self._known[provider]
        if self._is_past(known.read_at, CACHE_SECONDS if known.keys else REREAD_SECONDS):
            self._reread(provider, known)
        if not known.keys:
            self._fetch(provider, known)
        if not known.keys:
            self.telemetry.count(Metric.WEBHOOK_KEY_MISSING)
            raise SigningKeyUnavailableError("No webhook signing secret is at hand; please send this again later.")
        return known.keys

    def renew(self, provider: str) -> Keys:
        """Keys that this process did not know: stored by another, or fresh from the provider. Empty: there are none."""
        known = self._known[provider]
        before = known.keys
        if self._is_past(known.read_at, REREAD_SECONDS):
            self._reread(provider, known)
        if known.keys == before:
            self._fetch(provider, known)
        return known.keys if known.keys != before else ()

    def _reread(self, provider: str, known: KnownKeys) -> None:
        self._keep(provider, known, self._stored(provider, known) or ())

    def _fetch(self, provider: str, known: KnownKeys) -> None:
        """Ask the provider, if it may be asked now, and keep its present secret before the one that was so far."""
        if not self._is_past(known.asked_at, FETCH_EVERY.total_seconds()):
            return
        known.asked_at = self.clock.monotonic()
        if not self._may_ask(provider):
            self._wait_for_another(provider, known)
            return
        try:
            secret = provider_named(self.providers, provider).webhook_secret()
            key = signing_key(secret)
        except (ProviderError, SigningKeyUnavailableError) as error:
            self.telemetry.warning("webhook secret not fetched", provider=provider, reason=error.detail)
            return
        stored = self._stored(provider, known)
        if stored is None:
            known.keys = _newest_two([key, *known.keys])
            return
        secrets = _newest_two([secret, *stored])
        if stored[:1] != [secret]:
            try:
                self.secrets.put(webhook_secret_name(provider), " ".join(secrets))
            except CloudJobsError as error:
                self.telemetry.warning("webhook secret not kept", provider=provider, reason=error.detail)
        self._keep(provider, known, secrets)

    def _stored(self, provider: str, known: KnownKeys) -> list[str] | None:
        """None while the secret store does not answer; the provider may all the same."""
        known.read_at = self.clock.monotonic()
        try:
            return (self.secrets.get(webhook_secret_name(provider), fresh=True) or "").split()
        except StoreUnavailableError as error:
            self.telemetry.warning("webhook secret not read", provider=provider, reason=error.detail)
            return None

    def _keep(self, provider: str, known: KnownKeys, secrets: Iterable[str]) -> None:
        keys = []
        for secret in secrets:
            try:
                keys.append(signing_key(secret))
            except SigningKeyUnavailableError:
                self.telemetry.warning("webhook secret unusable", provider=provider)
        known.keys = _newest_two(keys) or known.keys

    def _wait_for_another(self, provider: str, known: KnownKeys) -> None:
        """Who has a key judges by it; who has none looks for what another process is fetching just now."""
        until = self.clock.monotonic() + OTHERS_ANSWER_SECONDS
        while not known.keys and self.clock.monotonic() < until:
            self.clock.sleep(LOOK_SECONDS)
            self._reread(provider, known)

    def _may_ask(self, provider: str) -> bool:
        """One process in a deployment, once per FETCH_EVERY; a store that is down leaves the process's own bound."""
        try:
            return self.leases.take(state_keys.webhook_secret_asked(provider), life=FETCH_EVERY) is not None
        except StoreUnavailableError:
            return True

    def _is_past(self, moment: float, seconds: float) -> bool:
        return self.clock.monotonic() - moment >= seconds


def _newest_two(found: Iterable[Secret]) -> tuple[Secret, ...]:
    """The present and the previous one, each once."""
    return tuple(dict.fromkeys(found))[:2]
