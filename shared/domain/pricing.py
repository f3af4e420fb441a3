"""Hardware and its price, as a provider's profile lists it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a job can run on: `price_per_second` in US dollars.

    `is_assumed`: nothing told which it is, so the default was taken.
    """

    id: str
    label: str
    hardware_type: str
    price_per_second: Decimal
    is_assumed: bool = False

    @property
    def price_per_hour(self) -> Decimal:
        return self.price_per_second * 3600
