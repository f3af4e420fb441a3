"""News from the log: the consecutive run after a position, a hole read again before it is left (I14)."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.event import EventId, Frame, LoggedEvent, LogHead, frames_of
from shared.ports import Clock, EventLog

HOLE_PAUSES = (0.05, 0.1, 0.2)
"""Seconds before a hole is read again: a reader may see the head before the events of the same transaction."""


@dataclass(frozen=True, slots=True)
class Run:
    """The changes after `after`, without a gap. `is_torn`: the head promised more than could be read."""

    after: int
    changes: tuple[LoggedEvent, ...]
    is_torn: bool = False

    @property
    def last(self) -> int:
        return self.changes[-1].seq if self.changes else self.after

    def frames(self, cursor: EventId) -> tuple[Frame, ...]:
        """Their frames, in the epoch of `cursor`, that come after it."""
        both = (frame for logged in self.changes for frame in frames_of(cursor.epoch, logged))
        return tuple(frame for frame in both if frame.id.n > cursor.n)


@dataclass(frozen=True)
class ReadEvents:
    events: EventLog
    clock: Clock

    def run(self, after: int, head: LogHead, *, limit: int) -> Run:
        """At most `limit` changes after `after`, as far as the head says; short of that the hole is read again."""
        wanted = min(head.seq, after + limit)
        if wanted <= after:
            return Run(after, ())
        run = Run(after, ())
        for pause in (0, *HOLE_PAUSES):
            if pause:
                self.clock.sleep(pause)
            more = self.events.read(run.last, wanted - run.last)
            run = Run(after, (*run.changes, *more))
            if run.last >= wanted:
                return run
        return Run(after, run.changes, is_torn=True)


def readable_head(head: LogHead, run: Run) -> EventId:
    """The id of the last change that can be read: what was read, when the run is torn."""
    return EventId.of_change(head.epoch, run.last) if run.is_torn else EventId.of_head(head)
