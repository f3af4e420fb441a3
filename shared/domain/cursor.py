"""Where a client goes on: the id that it sent, judged against the log's head (I15, I20)."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.event import EventId, LogHead


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position from which a client is served: the id of the last frame that it has.

    `is_reset`: its own cursor could not be served, so it starts from the present and must read the state anew.
    """

    position: EventId
    is_reset: bool = False

    @property
    def seq(self) -> int:
        """The change after which to read; one whose first frame alone was seen is read again."""
        return self.position.seq


def resolve_cursor(last_id: object, head: LogHead) -> Cursor:
    """The cursor of a client that sent `last_id`. Nothing (None, or the empty id of a new EventSource): from now.

    Malformed, of another epoch, ahead of the head or older than the first kept change: a reset to now, never a silent
    skip and never a replay of everything.
    """
    now = EventId.of_head(head)
    if last_id is None or last_id == "":
        return Cursor(now)
    position = EventId.parse(last_id) if isinstance(last_id, str) else None
    if position is None or position.epoch != head.epoch or position.n > now.n or not is_kept(position.seq, head):
        return Cursor(now, is_reset=True)
    return Cursor(position)


def is_kept(seq: int, head: LogHead) -> bool:
    """Whether everything after change `seq` can still be read."""
    return seq + 1 >= head.first_kept
