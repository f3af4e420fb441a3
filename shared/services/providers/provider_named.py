"""A provider by the name that a job or a request gives; or all of them, within the time that a request has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.domain.errors import UnknownProviderError
from shared.ports import Clock, Provider


def provider_named(providers: Mapping[str, Provider], name: str) -> Provider:
    """Raises UnknownProviderError."""
    try:
        return providers[name]
    except KeyError:
        known = ", ".join(sorted(providers))
        raise UnknownProviderError(f"There is no provider of that name; known are: {known}.") from None


def each_with_its_share(
    providers: Mapping[str, Provider], name: str | None, *, clock: Clock, seconds: float
) -> Iterator[tuple[Provider, float]]:
    """The provider of this name (None: each) with its share of the seconds that are left when its turn comes.

    Raises UnknownProviderError.
    """
    wanted = [provider_named(providers, name)] if name else list(providers.values())
    deadline = clock.monotonic() + seconds
    for place, provider in enumerate(wanted):
        yield provider, max(0.0, deadline - clock.monotonic()) / (len(wanted) - place)
