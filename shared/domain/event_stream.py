"""The text of `GET /api/events`: Server-Sent Events that no text from outside can break (T9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.domain.event import EventId, Frame
from shared.domain.push_message import to_line


def stream_text(
    *, retry_ms: int, start: EventId, head: EventId, frames: Sequence[Frame], is_reset: bool = False
) -> str:
    """One whole answer: `retry:`, the position it starts from, and its frames, or a heartbeat when there are none."""
    connected: Mapping[str, object] = {"type": "connected", "message": "Connected to job events", "head": str(head)}
    parts = [f"retry: {retry_ms}\n", _frame(connected, event="connection", id_=start)]
    if is_reset:
        parts.append(_frame({"type": "reset", "head": str(head)}, event="reset", id_=start))
    elif frames:
        parts.extend(_frame(frame.body, id_=frame.id) for frame in frames)
    else:
        parts.append(_frame({"type": "heartbeat", "head": str(head)}, event="heartbeat"))
    return "".join(parts)


def _frame(body: Mapping[str, object], *, event: str | None = None, id_: EventId | None = None) -> str:
    lines = []
    if event is not None:
        lines.append(f"event: {event}")
    if id_ is not None:
        lines.append(f"id: {id_}")
    lines.append(f"data: {to_line(body)}")
    return "\n".join(lines) + "\n\n"
