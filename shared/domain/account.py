"""Whom we are at a provider."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the provider says a token belongs to."""

    username: str
    name: str | None = None
