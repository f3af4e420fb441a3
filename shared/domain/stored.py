"""What the stores of texts and of state hand out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class StoredText:
    content: bytes
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class StateItem:
    """A small piece of shared state. `version` guards `put`; expired items are never handed out (I16)."""

    value: Mapping[str, object]
    version: int
