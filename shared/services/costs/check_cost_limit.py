"""How much of a provider's spending limit is used: real spend, what runs right now included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from shared.services.costs.read_metrics import ReadMetrics
from shared.services.providers.provider_settings import ProviderSettings

PERIOD_DAYS: Mapping[str, int] = {"daily": 1, "weekly": 7, "monthly": 30}
ACTIONS = ("warn", "block")
WARN_FROM_PERCENT = 80


@dataclass(frozen=True, slots=True)
class CostLimit:
    """Amounts are US dollars. `message` tells a person what stands, None while all is well."""

    is_enabled: bool
    amount: Decimal
    period: str
    action: str
    spent: Decimal = Decimal(0)
    message: str | None = None

    @property
    def percent_used(self) -> float:
        return round(float(self.spent / self.amount) * 100, 1) if self.amount else 0.0

    @property
    def is_exceeded(self) -> bool:
        return self.is_enabled and self.spent >= self.amount

    @property
    def is_warning(self) -> bool:
        return self.is_enabled and not self.is_exceeded and self.percent_used >= WARN_FROM_PERCENT

    @property
    def blocks(self) -> bool:
        """Whether nothing more may be submitted."""
        return self.is_exceeded and self.action == "block"


@dataclass(frozen=True)
class CheckCostLimit:
    provider_settings: ProviderSettings
    read_metrics: ReadMetrics

    def run(self, provider: str) -> CostLimit:
        """A limit without an amount is none."""
        config = self.provider_settings.of(provider)
        period, action = str(config.get("cost_limit_period", "monthly")), str(config.get("cost_limit_action", "warn"))
        amount = Decimal(str(config.get("cost_limit_amount", 0)))
        if config.get("cost_limit_enabled") is not True or amount <= 0:
            return CostLimit(False, amount, period, action, message="No spending limit is set.")
        spent = self.read_metrics.spent(provider, PERIOD_DAYS[period])
        limit = CostLimit(True, amount, period, action, spent)
        used = f"${spent:.2f} of ${amount:.2f} ({period})"
        if limit.is_exceeded:
            return CostLimit(True, amount, period, action, spent, f"The spending limit is used up: {used}.")
        if limit.is_warning:
            return CostLimit(True, amount, period, action, spent, f"The spending limit is nearly used up: {used}.")
        return limit
