"""What a job will probably cost: the mean duration of the jobs of the last 90 days at the hardware's price."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.pricing import Hardware
from shared.services.costs.read_metrics import ReadMetrics
from shared.services.providers.provider_settings import ProviderSettings

LOOK_BACK_DAYS = 90


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """US dollars and seconds; both None when no job has ended yet."""

    hardware: Hardware
    cost: float | None
    average_seconds: float | None


@dataclass(frozen=True)
class EstimateCost:
    provider_settings: ProviderSettings
    read_metrics: ReadMetrics

    def run(self, provider: str) -> CostEstimate:
        hardware = self.provider_settings.hardware(provider)
        seconds = self.read_metrics.read(days=LOOK_BACK_DAYS, provider=provider).average_seconds
        cost = None if seconds is None else seconds * float(hardware.price_per_second)
        return CostEstimate(hardware, cost, seconds)
