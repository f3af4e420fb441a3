"""One-use tickets, because a browser can send no header with a WebSocket (T11)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.access import Principal, Role
from shared.ports import Clock, StateStore

TICKET_LIFE = timedelta(seconds=60)
_TRANSPORT = "websocket"


def ticket_key(ticket: str) -> str:
    """Stored hashed, so that who reads the table cannot use what is in it."""
    return f"ws-ticket#{hashlib.sha256(ticket.encode('utf-8', 'surrogatepass')).hexdigest()}"


@dataclass(frozen=True)
class IssueTicket:
    """`new_secret` gives 32 random bytes as URL-safe text."""

    state: StateStore
    clock: Clock
    new_secret: Callable[[], str]

    def issue(self, principal: Principal) -> str:
        """A ticket for one WebSocket of this principal, good for 60 s."""
        ticket = self.new_secret()
        now = self.clock.now()
        value = {
            "transport": _TRANSPORT,
            "user_id": principal.user_id,
            "role": principal.role.value,
            "key_id": principal.key_id,
        }
        self.state.put(ticket_key(ticket), value, now=now, expires_at=now + TICKET_LIFE, if_version=0)
        return ticket


@dataclass(frozen=True)
class RedeemTicket:
    state: StateStore
    clock: Clock

    def redeem(self, ticket: str) -> Principal | None:
        """Whose ticket it was; None for a wrong, used or expired one. Of many uses at once exactly one wins."""
        item = self.state.delete(ticket_key(ticket), now=self.clock.now())
        if item is None or item.value.get("transport") != _TRANSPORT:
            return None
        key_id = item.value["key_id"]
        return Principal(str(item.value["user_id"]), Role(str(item.value["role"])), str(key_id) if key_id else None)
