"""Hardware and its price. The provider publishes prices on a web page only, so they are configured here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Hardware:
    """A hardware profile: `price_per_second` in US dollars. `is_assumed`: nothing told which, the default was taken."""

    id: str
    label: str
    hardware_type: str
    price_per_second: Decimal
    gpus: int = 1
    is_assumed: bool = False

    @property
    def price_per_hour(self) -> Decimal:
        return self.price_per_second * 3600


def _profile(name: str, count: int, label: str, second: str) -> Hardware:
    suffix = f"-x{count}" if count > 1 else ""
    prefix = f"{count}x " if count > 1 else ""
    return Hardware(f"{name}{suffix}", f"{prefix}{label}", f"{prefix}{label}", Decimal(second) * count, count)


PROFILES: Mapping[str, Hardware] = {
    profile.id: profile
    for name, label, second in (("h100", "H100", "0.001525"), ("l40s", "L40S", "0.000975"))
    for count in (1, 2, 4, 8)
    for profile in (_profile(name, count, label, second),)
}
DEFAULT_PROFILE = "h100"

MODEL_PREFIX = "simpletuner/advanced-trainer-"


def profile_of_model(model: str | None) -> str | None:
    """SimpleTuner's trainer models name their hardware: `simpletuner/advanced-trainer-h100-x4` (REP-21)."""
    if not model or not model.startswith(MODEL_PREFIX):
        return None
    profile = model.removeprefix(MODEL_PREFIX)
    return profile if profile in PROFILES else None
