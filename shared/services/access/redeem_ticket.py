"""A ticket turned into its principal, once (T11)."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain import state_keys
from shared.domain.access import Principal
from shared.ports import Clock, StateStore
from shared.services.access.issue_ticket import TICKET_HOLDER


@dataclass(frozen=True)
class RedeemTicket:
    state: StateStore
    clock: Clock

    def run(self, ticket: str) -> Principal | None:
        """Whose ticket it was; None for a wrong, used or expired one. Of many uses at once exactly one wins."""
        item = self.state.delete(state_keys.ticket(ticket), now=self.clock.now())
        return TICKET_HOLDER.validate_python(item.value) if item else None
