"""Parameters that several requests share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from shared.domain.errors import InvalidInputError
from shared.wiring import wiring

Switch = Annotated[bool, BeforeValidator(lambda given: True if given == "" else given)]
"""True also when it stands there without a value: `?deep`."""

_SWITCH: TypeAdapter[bool] = TypeAdapter(Switch)


def known_provider(given: str | None) -> str | None:
    """The provider that a query or body names, None when it names none. Raises InvalidInputError (422)."""
    if given and given not in wiring().profiles:
        known = ", ".join(sorted(wiring().profiles))
        raise InvalidInputError(f"The parameter provider names an unknown provider; known are: {known}.")
    return given or None


def provider_meant(given: str | None) -> str:
    """As `known_provider`; a request that names none, and is about one, means the first that is known here."""
    return known_provider(given) or next(iter(wiring().profiles))


def is_switched_on(name: str, given: str | None) -> bool:
    """A switch whose name is not known before the request. Raises InvalidInputError (422)."""
    try:
        return given is not None and _SWITCH.validate_python(given)
    except ValidationError:
        raise InvalidInputError(f"The parameter {name} is either true or false.") from None
