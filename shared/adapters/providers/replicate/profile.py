"""Replicate as data (docs/providers/replicate.md). It publishes prices on a web page only, so they stand here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from shared.domain.pricing import Hardware
from shared.domain.provider_profile import ProviderProfile, WebhookScheme

PREDICTION = "prediction"
TRAINING = "training"
KINDS = (PREDICTION, TRAINING)

MODEL_PREFIX = "simpletuner/advanced-trainer-"


def _hardware(name: str, count: int, label: str, second: str) -> Hardware:
    suffix = f"-x{count}" if count > 1 else ""
    prefix = f"{count}x " if count > 1 else ""
    return Hardware(f"{name}{suffix}", f"{prefix}{label}", f"{prefix}{label}", Decimal(second) * count)


HARDWARE: Mapping[str, Hardware] = {
    hardware.id: hardware
    for name, label, second in (("h100", "H100", "0.001525"), ("l40s", "L40S", "0.000975"))
    for count in (1, 2, 4, 8)
    for hardware in (_hardware(name, count, label, second),)
}


def hardware_of_model(model: str | None) -> str | None:
    """SimpleTuner's trainer models name their hardware: `simpletuner/advanced-trainer-h100-x4` (REP-21)."""
    if not model or not model.startswith(MODEL_PREFIX):
        return None
    hardware = model.removeprefix(MODEL_PREFIX)
    return hardware if hardware in HARDWARE else None


PROFILE = ProviderProfile(
    name="replicate",
    label="Replicate",
    api_base_url="https://api.replicate.com/v1",
    token_secret="replicate_api_token",  # noqa: S106 - the name of a secret, not one
    token_variable="REPLICATE_API_TOKEN",  # noqa: S106 - the name of a variable
    token_url="https://replicate.com/account/api-tokens",  # noqa: S106 - a page
    kinds=KINDS,
    hardware=HARDWARE,
    default_hardware="h100",
    # Of the 50 that it allows; a burst comes on top.
    requests_per_second=40,
    log_kept_for=timedelta(hours=1),
    webhooks=WebhookScheme.STANDARD_WEBHOOKS,
    repeatable_keys=frozenset({"model"}),
    status_page_url="https://www.replicatestatus.com",
    job_url="https://replicate.com/p/{external_id}",
)
