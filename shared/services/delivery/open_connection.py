"""Enter a new WebSocket in the registry; it hears nothing before its hello."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.domain.access import Principal
from shared.domain.connection import CONNECTION_LIFE, Connection
from shared.ports import Clock, Connections


@dataclass(frozen=True, kw_only=True)
class OpenConnection:
    """`is_open`: sockets are not counted (AUTH_MODE=none, where all are one user)."""

    connections: Connections
    clock: Clock
    sockets_per_user: int
    is_open: bool

    def run(self, connection_id: str, principal: Principal, *, authorized_at: datetime) -> bool:
        """False when the principal already has as many sockets as allowed (T22), silent ones too.

        It begins with its authorization, so that access revoked between that and now is not overlooked (I24).
        """
        expires_at = authorized_at + CONNECTION_LIFE
        self.connections.add(Connection(connection_id, principal.user_id, principal.key_id, expires_at=expires_at))
        if self.is_open:
            return True
        # Counted once it is entered: of many at the same moment each sees the others.
        if self.connections.count_of_user(principal.user_id, now=self.clock.now()) <= self.sockets_per_user:
            return True
        self.connections.remove(connection_id)
        return False
