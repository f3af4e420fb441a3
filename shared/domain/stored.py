"""What the store of state hands out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

Form = TypeVar("Form")


@dataclass(frozen=True, slots=True)
class StateItem:
    """A small piece of shared state. `version` guards `put`; expired items are never handed out (I16)."""

    value: Mapping[str, object]
    version: int


def read_value(item: StateItem | None, form: TypeAdapter[Form]) -> Form | None:
    """What an item holds; None without one, and for what another version has stored in another form."""
    try:
        return form.validate_python(item.value) if item else None
    except ValidationError:
        return None
