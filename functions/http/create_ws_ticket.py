"""POST /api/ws-tickets: a one-use ticket to open the WebSocket with (T11)."""

from __future__ import annotations

from fastapi import APIRouter

from functions.http._access import Caller
from functions.http._answers import SocketTicket
from functions.http._app import HttpHandler
from shared.domain.errors import ConfigurationError
from shared.services.access.issue_ticket import TICKET_LIFE, IssueTicket
from shared.wiring import wiring

router = APIRouter()


@router.post("/api/ws-tickets")
def create_ws_ticket(caller: Caller) -> SocketTicket:
    """`ticket`, `url` (to open as it is, once), `expires_in` (seconds)."""
    parts = wiring()
    base = parts.settings.websocket_url
    if not base:
        raise ConfigurationError("The environment variable WEBSOCKET_URL is not set, so there is no WebSocket to open.")
    ticket = parts.use(IssueTicket).run(caller)
    return {"ticket": ticket, "url": f"{base}?ticket={ticket}", "expires_in": int(TICKET_LIFE.total_seconds())}


handler = HttpHandler(router)
