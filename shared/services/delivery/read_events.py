"""News from the log: the consecutive changes after a number, a hole read again before it is left (I14)."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.cursor import is_kept
from shared.domain.event import EventId, Frame, LoggedEvent, LogHead
from shared.ports import Clock, EventLog

HOLE_PAUSES = (0.05, 0.1, 0.2)
"""Seconds before a hole is read again: a reader may see the head before the events of the same transaction (AWS-22)."""


@dataclass(frozen=True, slots=True)
class Run:
    """The changes after `after`, without a gap.

    `is_torn`: the head promised more than could be read, so that the rest is for the next look. `is_trimmed`: that
    rest is not in the log any more, so that only a reset helps.
    """

    after: int
    changes: tuple[LoggedEvent, ...] = ()
    is_torn: bool = False
    is_trimmed: bool = False

    @property
    def last(self) -> int:
        return self.changes[-1].seq if self.changes else self.after

    def frames(self, cursor: EventId) -> tuple[Frame, ...]:
        """Their frames, in the epoch of `cursor`, that come after it."""
        both = (frame for logged in self.changes for frame in logged.frames(cursor.epoch))
        return tuple(frame for frame in both if frame.id.n > cursor.n)


@dataclass(frozen=True)
class ReadEvents:
    """The one place where a hole is waited for: 350 ms at most, then it is left for the reader's next look."""

    events: EventLog
    clock: Clock

    def run(self, after: int, head: LogHead, *, limit: int) -> Run:
        """At most `limit` changes after number `after`, as far as the head says."""
        wanted = min(head.seq, after + limit)
        run = Run(after)
        for pause in (0, *HOLE_PAUSES):
            if run.last >= wanted:
                return run
            if pause:
                self.clock.sleep(pause)
            more = self.events.read(run.last, wanted - run.last)
            run = Run(after, (*run.changes, *more))
        return run if run.last >= wanted else self._torn(run, head.epoch)

    def _torn(self, run: Run, epoch: str) -> Run:
        now = self.events.head()
        is_trimmed = now.epoch != epoch or not is_kept(run.last, now)
        return Run(run.after, run.changes, is_torn=True, is_trimmed=is_trimmed)


def readable_head(head: LogHead, run: Run) -> EventId:
    """The id of the last change that can be read: what was read, when the run is torn."""
    return EventId.of_change(head.epoch, run.last) if run.is_torn else EventId.of_head(head)
