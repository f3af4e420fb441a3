"""Parameters that several requests share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from shared.domain.errors import InvalidInputError
from shared.wiring import wiring

DEFAULT_PROVIDER = "replicate"
"""Whom a request means that names none and is about one."""

Switch = Annotated[bool, BeforeValidator(lambda given: True if given == "" else given)]
"""True also when it stands there without a value: `?deep`."""


def known_provider(given: str | None) -> str | None:
    """The provider that a query or body names, None when it names none. Raises InvalidInputError (422)."""
    if given and given not in wiring().providers:
        known = ", ".join(sorted(wiring().providers))
        raise InvalidInputError(f"The parameter provider names an unknown provider; known are: {known}.")
    return given or None
