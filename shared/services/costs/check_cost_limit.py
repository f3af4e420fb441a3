"""How much of a provider's spending limit is used: real spend, what runs right now included."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from shared.domain.cost_limit import PERIOD_DAYS, CostLimit
from shared.domain.pricing import MAX_LIMIT_USD, amount_set
from shared.services.costs.read_metrics import ReadMetrics
from shared.services.providers.provider_settings import ProviderSettings


@dataclass(frozen=True)
class CheckCostLimit:
    provider_settings: ProviderSettings
    read_metrics: ReadMetrics

    def run(self, provider: str) -> CostLimit:
        """A limit without an amount is none."""
        config = self.provider_settings.of(provider)
        period, action = str(config.get("cost_limit_period", "monthly")), str(config.get("cost_limit_action", "warn"))
        amount = amount_set(config.get("cost_limit_amount"), MAX_LIMIT_USD) or Decimal(0)
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
