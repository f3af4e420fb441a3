"""One-use tickets, because a browser can send no header with a WebSocket (T11)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from pydantic import TypeAdapter

from shared.domain import state_keys
from shared.domain.access import Principal
from shared.ports import Clock, StateStore

TICKET_LIFE = timedelta(seconds=60)
TICKET_HOLDER = TypeAdapter(Principal)


@dataclass(frozen=True)
class IssueTicket:
    """`new_secret` gives 32 random bytes as URL-safe text."""

    state: StateStore
    clock: Clock
    new_secret: Callable[[], str]

    def run(self, principal: Principal) -> str:
        """A ticket for one WebSocket of this principal, good for 60 s."""
        ticket = self.new_secret()
        now = self.clock.now()
        value = TICKET_HOLDER.dump_python(principal, mode="json")
        self.state.put(state_keys.ticket(ticket), value, now=now, expires_at=now + TICKET_LIFE, if_version=0)
        return ticket
