"""How much may be spent in a period, and how much of it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

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
