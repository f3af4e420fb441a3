"""Who may no longer hear: one short list, read once a wake, not once a connection (T13, I24)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.domain.errors import ConnectionGone, SendFailed, StaleWrite, StoreUnavailableError
from shared.domain.job import from_iso, to_iso
from shared.ports import Clock, Connection, Connections, Sender, StateStore

REVOCATIONS_KEY = "revocations"
CONNECTION_LIFE = timedelta(hours=2, minutes=10)
"""API Gateway ends a WebSocket after two hours; the rest is slack for the registry."""
_KEPT = CONNECTION_LIFE + timedelta(minutes=10)
_TRIES = 8


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

    def current(self) -> Revocations:
        """One read."""
        item = self.state.get(REVOCATIONS_KEY, now=self.clock.now())
        return Revocations(_moments(item.value) if item else {})


@dataclass(frozen=True)
class RevokeAccess:
    """Puts a key or a user on the list and ends its open connections; what fails to end is cut off at its next send."""

    state: StateStore
    clock: Clock
    connections: Connections
    sender: Sender

    def revoke(self, *, key_id: str | None = None, user_id: str | None = None) -> None:
        """Raises StoreUnavailableError when the list could not be written; nothing is revoked then."""
        now = self.clock.now()
        names = [f"key#{key_id}"] if key_id else []
        names += [f"user#{user_id}"] if user_id else []
        self._add(names, now)
        revoked = Revocations(dict.fromkeys(names, now))
        for connection in list(self.connections.all(now=now)):
            if revoked.cover_connection(connection):
                self.connections.remove(connection.connection_id)
                self._end(connection.connection_id)

    def _end(self, connection_id: str) -> None:
        """Nothing is sent to it any more in any case; it may also have ended by itself."""
        try:
            self.sender.disconnect(connection_id)
        except (ConnectionGone, SendFailed):
            return

    def _add(self, names: list[str], now: datetime) -> None:
        for _ in range(_TRIES):
            item = self.state.get(REVOCATIONS_KEY, now=now)
            known = _moments(item.value) if item else {}
            kept = {name: moment for name, moment in known.items() if moment > now - _KEPT}
            entries = {name: to_iso(moment) for name, moment in (kept | dict.fromkeys(names, now)).items()}
            try:
                self.state.put(
                    REVOCATIONS_KEY,
                    entries,
                    now=now,
                    expires_at=now + _KEPT,
                    if_version=item.version if item else 0,
                )
            except StaleWrite:
                continue
            return
        raise StoreUnavailableError("The list of revocations is busy; try again in a moment.")


def _moments(value: Mapping[str, object]) -> dict[str, datetime]:
    return {name: from_iso(str(moment)) for name, moment in value.items()}
