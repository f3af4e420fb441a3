"""Kiln as data: one list, prices a minute, no webhooks, no status page, logs that stay for a day."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from shared.domain.pricing import Hardware
from shared.domain.provider_profile import ProviderProfile

RUN = "run"

PRICES_A_MINUTE = {"t4-pair": Decimal("0.012"), "a100": Decimal("0.05")}

PROFILE = ProviderProfile(
    name="kiln",
    label="Kiln Compute",
    api_base_url="https://kiln.example/api",
    token_secret="kiln_token",
    token_variable="KILN_TOKEN",
    token_url="https://kiln.example/keys",
    kinds=(RUN,),
    hardware={name: Hardware(name, name.upper(), name.upper(), price / 60) for name, price in PRICES_A_MINUTE.items()},
    default_hardware="t4-pair",
    requests_per_second=100,
    log_kept_for=timedelta(days=1),
    job_url="https://kiln.example/runs/{external_id}",
)
