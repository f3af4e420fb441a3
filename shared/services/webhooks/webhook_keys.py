"""The keys by which a provider signs its webhooks: fetched from it, kept, and fetched again when they have rotated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

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
FETCH_EVERY = timedelta(seconds=60)
"""The whole deployment asks the provider for its secret at most so often, however many forgeries come in."""
REREAD_SECONDS = 5.0

Keys = tuple[bytes, ...]


def webhook_secret_name(provider: str) -> str:
    """The name in the secret store; its value is the current secret, then the previous one."""
    return f"{provider}_webhook_secret"


@dataclass
class WebhookKeys:
    """The current and the previous key (I36), from this process's memory, the secret store or the provider."""

    leases: Leases
    secrets: SecretStore
    clock: Clock
    telemetry: Telemetry
    providers: Mapping[str, Provider]
    _known: dict[str, tuple[float, Keys]] = field(default_factory=dict)
    _asked_at: dict[str, float] = field(default_factory=dict)
    _reread_at: dict[str, float] = field(default_factory=dict)

    def of(self, provider: str) -> Keys:
        """Raises SigningKeyUnavailableError when there is no key to judge by."""
        known = self._known.get(provider)
        if known is not None and self.clock.monotonic() - known[0] < CACHE_SECONDS:
            return known[1]
        keys = self._keep(provider, self._stored(provider)) or self._fetched(provider)
        if not keys and known is not None:
            # Better a key that may have rotated than none; the secret store is left in peace for a while.
            self._known[provider] = (self.clock.monotonic() - CACHE_SECONDS + REREAD_SECONDS, known[1])
            return known[1]
        if not keys:
            self.telemetry.count(Metric.WEBHOOK_KEY_MISSING)
            raise SigningKeyUnavailableError("No webhook signing secret is at hand; please send this again later.")
        return keys

    def renewed(self, provider: str) -> Keys:
        """Keys that this process did not know: stored by another, or fresh from the provider. Empty: there are none."""
        known = self._known.get(provider, (0.0, ()))[1]
        seconds = self.clock.monotonic()
        if provider not in self._reread_at or seconds - self._reread_at[provider] >= REREAD_SECONDS:
            self._reread_at[provider] = seconds
            stored = self._keep(provider, self._stored(provider, fresh=True))
            if stored and stored != known:
                return stored
        return self._fetched(provider)

    def _fetched(self, provider: str) -> Keys:
        """The keys with the provider's present one first; empty when it may not be asked now, or does not answer."""
        if not self._may_ask(provider):
            return ()
        try:
            secret = provider_named(self.providers, provider).webhook_secret()
            signing_key(secret)
        except (ProviderError, SigningKeyUnavailableError) as error:
            self.telemetry.warning("webhook secret not fetched", provider=provider, reason=error.detail)
            return ()
        secrets = self._stored(provider, fresh=True)
        if secrets is None:
            before = self._known.get(provider, (0.0, ()))[1]
            return self._remember(provider, [signing_key(secret), *before])
        if secrets[:1] != [secret]:
            secrets = [secret, *(old for old in secrets if old != secret)][:2]
            try:
                self.secrets.put(webhook_secret_name(provider), " ".join(secrets))
            except CloudJobsError as error:
                self.telemetry.warning("webhook secret not kept", provider=provider, reason=error.detail)
        return self._keep(provider, secrets)

    def _stored(self, provider: str, *, fresh: bool = False) -> list[str] | None:
        """None while the secret store does not answer; the provider may all the same."""
        try:
            return (self.secrets.get(webhook_secret_name(provider), fresh=fresh) or "").split()
        except StoreUnavailableError as error:
            self.telemetry.warning("webhook secret not read", provider=provider, reason=error.detail)
            return None

    def _keep(self, provider: str, secrets: list[str] | None) -> Keys:
        keys = []
        for secret in secrets or ():
            try:
                keys.append(signing_key(secret))
            except SigningKeyUnavailableError:
                self.telemetry.warning("webhook secret unusable", provider=provider)
        return self._remember(provider, keys)

    def _remember(self, provider: str, keys: Sequence[bytes]) -> Keys:
        """The present and the previous key, each once."""
        kept = tuple(dict.fromkeys(keys))[:2]
        if kept:
            self._known[provider] = (self.clock.monotonic(), kept)
        return kept

    def _may_ask(self, provider: str) -> bool:
        """One process in a deployment, once per FETCH_EVERY; a store that is down leaves the process's own bound."""
        seconds = self.clock.monotonic()
        if provider in self._asked_at and seconds - self._asked_at[provider] < FETCH_EVERY.total_seconds():
            return False
        self._asked_at[provider] = seconds
        try:
            return self.leases.take(state_keys.webhook_secret_asked(provider), life=FETCH_EVERY) is not None
        except StoreUnavailableError:
            return True
