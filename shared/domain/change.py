"""What one change of a job writes, and what it is decided on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RemoteId:
    """The identity of a job at its provider."""

    provider: str
    external_id: str
