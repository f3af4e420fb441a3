"""Where a client goes on: its cursor judged against the log's head (I15, I20)."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.event import EventId, LogHead


@dataclass(frozen=True, slots=True)
class Start:
    """The position from which a client is served: the id of the last frame that it has.

    `is_reset`: its own cursor could not be served, so it starts from the present and must read the state anew.
    """

    position: EventId
    is_reset: bool = False

    @property
    def seq(self) -> int:
        """The change after which to read; one whose first frame alone was seen is read again."""
        return self.position.n // 2


def judge_cursor(cursor: object, head: LogHead) -> Start:
    """Judge what a client sent. Nothing (None, or the empty id of an EventSource that has heard nothing): from now.

    Malformed, of another epoch, ahead of the head or older than the first kept change: a reset to now, never a silent
    skip and never a replay of everything.
    """
    now = EventId.of_head(head)
    if cursor is None or cursor == "":
        return Start(now)
    position = EventId.parse(cursor) if isinstance(cursor, str) else None
    if position is None or position.epoch != head.epoch or position.n > now.n:
        return Start(now, is_reset=True)
    start = Start(position)
    return start if is_kept(start.seq, head) else Start(now, is_reset=True)


def is_kept(seq: int, head: LogHead) -> bool:
    """Whether everything after change `seq` can still be read."""
    return seq + 1 >= head.first_kept
