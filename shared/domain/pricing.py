"""Hardware and its price, as a provider's profile lists it, and the amounts that every store can hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

_NAMED = re.compile(r"(?:(?:simpletuner/)?advanced-trainer-)?(?:([1-9])-?x-?)?([a-z][a-z0-9]*?)(?:-?x-?([1-9]))?")

MILLIONTH = Decimal("0.000001")
"""Dollars and seconds are kept in millionths."""
MAX_PRICE_PER_SECOND = Decimal(10)
MAX_LIMIT_USD = Decimal(1_000_000)
MAX_BILLED_USD = Decimal(1_000_000_000)
MAX_BILLED_SECONDS = Decimal(366 * 24 * 3600)


def amount_told(value: Decimal | None, most: Decimal) -> Decimal | None:
    """What a provider told, in millionths; None for no number, and for one below 0 or beyond `most`."""
    if value is None or not value.is_finite() or not 0 <= value <= most:
        return None
    return abs(value).quantize(MILLIONTH, ROUND_HALF_UP)


def amount_set(value: object, most: Decimal) -> Decimal | None:
    """What a person has set, in millionths: 0, or from MILLIONTH to `most`; None for anything else."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    if number == 0:
        return Decimal(0)
    return number.quantize(MILLIONTH, ROUND_HALF_UP) if number.is_finite() and MILLIONTH <= number <= most else None


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


def hardware_named(choices: Mapping[str, Hardware], given: str) -> Hardware | None:
    """One of `choices` by the forms that clients know: `h100-x4`, `H100_X4`, `4xh100`, `4x H100`, a trainer's name."""
    if given in choices:
        return choices[given]
    name = re.sub(r"[\s_]+", "-", given.strip().lower())
    found = _NAMED.fullmatch(name[:120])
    if found is None or (found[1] and found[3]):
        return choices.get(name)
    count = found[1] or found[3] or "1"
    return choices.get(found[2] if count == "1" else f"{found[2]}-x{count}") or choices.get(name)
