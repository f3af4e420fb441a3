"""Who may no longer hear: one short list, read once a wake, not once a connection (T13, I24)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import AwareDatetime, TypeAdapter

from shared.domain import state_keys
from shared.domain.connection import CONNECTION_LIFE, Connection
from shared.ports import Clock, StateStore

KEPT_FOR = CONNECTION_LIFE + timedelta(minutes=10)
STORED_REVOCATIONS = TypeAdapter(dict[str, AwareDatetime])


@dataclass(frozen=True, slots=True)
class Revocations:
    """Keys and users by the moment of their revocation; what began after it is not meant (a user let in again)."""

    moments: Mapping[str, datetime] = field(default_factory=dict)

    def cover(self, user_id: str, key_id: str | None, began_at: datetime) -> bool:
        names = [f"user#{user_id}", *([f"key#{key_id}"] if key_id else [])]
        return any(name in self.moments and began_at <= self.moments[name] for name in names)

    def cover_connection(self, connection: Connection) -> bool:
        return self.cover(connection.user_id, connection.key_id, connection.expires_at - CONNECTION_LIFE)


@dataclass(frozen=True)
class ListRevocations:
    state: StateStore
    clock: Clock

    def run(self) -> Revocations:
        """One read."""
        item = self.state.get(state_keys.REVOCATIONS, now=self.clock.now())
        return Revocations(STORED_REVOCATIONS.validate_python(item.value) if item else {})
