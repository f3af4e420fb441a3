"""Take access away from a key or a user, from open connections too (T13, I24)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.domain import state_keys
from shared.domain.errors import ConnectionGone, SendFailed
from shared.domain.stored import StateItem
from shared.ports import Clock, Connections, Sender, StateStore
from shared.services.access.list_revocations import KEPT_FOR, STORED_REVOCATIONS, Revocations
from shared.services.update_state import update_state


@dataclass(frozen=True)
class RevokeAccess:
    """Puts a key or a user on the list and ends its open connections; what fails to end is cut off at its next send."""

    state: StateStore
    clock: Clock
    connections: Connections
    sender: Sender

    def run(self, *, key_id: str | None = None, user_id: str | None = None) -> None:
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
        def listed(item: StateItem | None) -> Mapping[str, object]:
            known = STORED_REVOCATIONS.validate_python(item.value) if item else {}
            kept = {name: moment for name, moment in known.items() if moment > now - KEPT_FOR}
            value: Mapping[str, object] = STORED_REVOCATIONS.dump_python(kept | dict.fromkeys(names, now), mode="json")
            return value

        update_state(self.state, self.clock, state_keys.REVOCATIONS, listed, life=KEPT_FOR)
