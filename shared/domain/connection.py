"""A WebSocket client, as the registry knows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

CONNECTION_LIFE = timedelta(hours=2, minutes=10)
"""API Gateway ends a WebSocket after two hours; the rest is slack for the registry."""


@dataclass(frozen=True, slots=True)
class Connection:
    """`cursor` is the number of the last change that it was sent, in the log of `epoch`; None before its hello.

    `failures` counts the sends in a row that ended without an answer.
    """

    connection_id: str
    user_id: str
    key_id: str | None
    expires_at: datetime
    cursor: int | None = None
    epoch: str | None = None
    failures: int = 0
