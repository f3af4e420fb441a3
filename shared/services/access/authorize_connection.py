"""Who may open a WebSocket: a listed Origin and a ticket (T11, T12)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from shared.domain.access import LOCAL_ADMIN, Principal
from shared.services.access.issue_ticket import TICKET_LIFE
from shared.services.access.list_revocations import ListRevocations
from shared.services.access.redeem_ticket import RedeemTicket

MAX_TICKET_LENGTH = 128


@dataclass(frozen=True, kw_only=True)
class AuthorizeConnection:
    """`is_open`: nobody needs a key here (AUTH_MODE=none), so a ticket may be left out."""

    redeem_ticket: RedeemTicket
    list_revocations: ListRevocations
    page_origins: Collection[str]
    is_open: bool

    def run(self, *, origins: Collection[str], ticket: str | None) -> Principal | None:
        """The principal of a new connection, None when it is refused. CORS does not apply to WebSockets, so a browser
        is judged by its Origin, compared whole; a program sends none and passes with its ticket."""
        if len(origins) > 1 or any(origin not in self.page_origins for origin in origins):
            return None
        if ticket is None:
            return LOCAL_ADMIN if self.is_open else None
        if len(ticket) > MAX_TICKET_LENGTH:
            return None
        principal = self.redeem_ticket.run(ticket)
        if principal is None:
            return None
        began_at = self.redeem_ticket.clock.now() - TICKET_LIFE
        revoked = self.list_revocations.run().cover(principal.user_id, principal.key_id, began_at)
        return None if revoked else principal
