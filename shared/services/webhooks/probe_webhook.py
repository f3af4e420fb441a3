"""Is our webhook address reachable? Only the configured one, or this deployment's own, is ever contacted (T6)."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.errors import ProbeRefusedError, ProbeUnansweredError
from shared.ports import Clock, WebhookProbe
from shared.services.providers.provider_settings import ProviderSettings, callback_address

OWN_PATHS = ("/api/webhooks/{}", "/api/cloud/webhook/{}")
REFUSED_UNSIGNED = 401
"""What our own endpoint answers to a call without a signature: it is reached, and it checks."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """`latency_ms` and `status_code` are None when nothing was contacted or nothing answered."""

    is_reached: bool
    error: str | None = None
    latency_ms: float | None = None
    status_code: int | None = None


@dataclass(frozen=True, kw_only=True)
class ProbeWebhook:
    provider_settings: ProviderSettings
    webhook_probe: WebhookProbe
    clock: Clock
    public_base_url: str | None

    def run(self, provider: str, given: str | None) -> ProbeResult:
        """Contact `given`, or without it the configured address, if it is one of ours; else say why not."""
        configured = self.provider_settings.webhook_url(provider)
        wanted = callback_address(given.strip(), provider) if given and given.strip() else configured
        if not wanted:
            return ProbeResult(False, "No webhook URL is configured; set one in the provider's settings first.")
        if configured and wanted.removesuffix(OWN_PATHS[1].format(provider)) == configured:
            # SimpleTuner's page puts its own path behind whatever is configured.
            wanted = configured
        ours = next((url for url in self._ours(provider, configured) if url == wanted), None)
        if ours is None:
            return ProbeResult(False, "Only the configured webhook URL is tested; save this one first.")
        started = self.clock.monotonic()
        try:
            status = self.webhook_probe.status_of(ours)
        except (ProbeRefusedError, ProbeUnansweredError) as error:
            return ProbeResult(False, error.detail)
        latency = round((self.clock.monotonic() - started) * 1000, 1)
        is_reached = 200 <= status < 300 or status == REFUSED_UNSIGNED
        error_text = None if is_reached else f"The address answered with HTTP {status}, so webhooks would not arrive."
        return ProbeResult(is_reached, error_text, latency, status)

    def _ours(self, provider: str, configured: str | None) -> list[str]:
        """The configured address and this deployment's own, each by both of the paths that we answer."""
        bases = [self.public_base_url or ""]
        if configured:
            paths = [path.format(provider) for path in OWN_PATHS]
            bases += [configured.removesuffix(path) for path in paths if configured.endswith(path)]
        own = [base.rstrip("/") + path.format(provider) for base in filter(None, bases) for path in OWN_PATHS]
        return [configured, *own] if configured else own
