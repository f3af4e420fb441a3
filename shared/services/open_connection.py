"""Enter a new WebSocket in the registry; it hears nothing before its hello."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.access import Principal
from shared.ports import Clock, Connection, Connections
from shared.services.list_revocations import CONNECTION_LIFE


@dataclass(frozen=True, kw_only=True)
class OpenConnection:
    """`most_per_user` None: not counted (AUTH_MODE=none, where all are one user)."""

    connections: Connections
    clock: Clock
    most_per_user: int | None

    def open(self, connection_id: str, principal: Principal) -> bool:
        """False when the principal already listens with as many sockets as allowed (T22)."""
        now = self.clock.now()
        if self.most_per_user is not None:
            listening = sum(1 for known in self.connections.all(now=now) if known.user_id == principal.user_id)
            if listening >= self.most_per_user:
                return False
        self.connections.add(
            Connection(connection_id, principal.user_id, principal.key_id, expires_at=now + CONNECTION_LIFE)
        )
        return True
