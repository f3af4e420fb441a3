"""What goes over a WebSocket: small JSON objects, at most 30 kB each (AWS-18)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from shared.domain.event import EventId, Frame

MAX_MESSAGE_BYTES = 30_000
"""A WebSocket frame of API Gateway holds 32 kB; a larger one ends the connection."""

_OPEN, _CLOSE = b'{"type":"events","events":[', b"]}"


def to_line(body: Mapping[str, object]) -> str:
    """JSON on one line in ASCII: no text from outside can end a line or a frame (T9)."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def notice(kind: str, head: EventId) -> bytes:
    """`connected`, `heartbeat` or `reset`, with the position of the log."""
    return to_line({"type": kind, "head": str(head)}).encode()


def events_messages(frames: Sequence[Frame], limit: int = MAX_MESSAGE_BYTES) -> tuple[bytes, ...]:
    """The frames in order, in as few messages as fit `limit` bytes each; a change may be cut between its two frames."""
    messages: list[bytes] = []
    parts: list[bytes] = []
    size = 0
    for frame in frames:
        part = to_line({"id": str(frame.id), **frame.body}).encode()
        if parts and size + len(part) + 1 + len(_OPEN) + len(_CLOSE) > limit:
            messages.append(_join(parts))
            parts, size = [], 0
        parts.append(part)
        size += len(part) + 1
    if parts:
        messages.append(_join(parts))
    return tuple(messages)


def _join(parts: Sequence[bytes]) -> bytes:
    return _OPEN + b",".join(parts) + _CLOSE
