"""A provider by the name that a job or a request gives."""

from __future__ import annotations

from collections.abc import Mapping

from shared.domain.errors import UnknownProviderError
from shared.ports import Provider


def provider_named(providers: Mapping[str, Provider], name: str) -> Provider:
    """Raises UnknownProviderError."""
    try:
        return providers[name]
    except KeyError:
        known = ", ".join(sorted(providers))
        raise UnknownProviderError(f"There is no provider of that name; known are: {known}.") from None
