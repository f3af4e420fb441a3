"""The one committer of the queue `observations`: what collided is folded per job and written in groups (idea 3)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from shared.domain import state_keys
from shared.domain.change_request import ChangeRequest, RequestedChange, is_fulfilled
from shared.domain.errors import InvalidRequestError, StoreUnavailableError
from shared.domain.metric import Metric
from shared.domain.observation import Report
from shared.domain.provider_profile import ProviderProfile
from shared.ports import Clock, JobTexts, Telemetry, WorkQueue
from shared.services.leases import Leases
from shared.services.recording.commit_changes import CommitChanges, Committed
from shared.services.recording.decide import Decision, Group, Work, fold
from shared.services.recording.messages import Message, decode_message

LEASE = timedelta(seconds=30)
"""As long as the function may run."""
WAIT_SECONDS = 15.0
COMMIT_SECONDS = 10.0
"""Against a head that stays busy although it is the committer's turn."""
CROWD = 100
"""So many messages at once have as many behind them: the turn is taken before anybody collides."""
RETURNS = (1, 2, 5, 15, 60)
"""Seconds after which what could not be written comes again, by how often it came; later the queue's own visibility."""
REFUSED_RETURN = 5
"""Seconds; for what can never be written, so that it is among the dead letters within two minutes."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message as the queue handed it out, for the `times`th time; by its `receipt` it is given back."""

    body: str
    receipt: str
    times: int = 1


@dataclass(slots=True)
class _Places:
    """Of the messages that the queue must keep: `later` may be written then, `refused` never."""

    later: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class CommitQueued:
    """Nothing is behind it: it tries long, and what it cannot write stays in the queue and comes again soon."""

    commit_changes: CommitChanges
    texts: JobTexts
    leases: Leases
    clock: Clock
    telemetry: Telemetry
    observations_queue: WorkQueue
    profiles: Mapping[str, ProviderProfile]

    def run(self, messages: Sequence[Delivered]) -> list[int]:
        """Write a batch; returns the places of the messages that the queue must keep.

        A message that is none of ours, or whose change can never be written, holds no other up; the queue's dead
        letters take it in the end (I43).
        """
        read = {at: read for at, message in enumerate(messages) if (read := self._decoded(message.body)) is not None}
        kept = _Places(refused=set(range(len(messages))) - read.keys())
        if read:
            is_crowded = len(messages) >= CROWD
            try:
                with self.leases.hold(state_keys.COMMITTER_LEASE, life=LEASE, wait_seconds=WAIT_SECONDS) as is_alone:
                    if is_alone:
                        self._write(read, kept, is_crowded)
                    else:
                        kept.later |= read.keys()
            except StoreUnavailableError as error:
                self.telemetry.warning("messages stay queued", about=len(read), reason=error.detail)
                kept.later |= read.keys()
        self._bring_forward(messages, kept)
        return sorted(kept.later | kept.refused)

    def _decoded(self, text: str) -> Message | None:
        try:
            message = decode_message(text)
        except InvalidRequestError as error:
            self.telemetry.warning("message refused", reason=error.detail)
            return None
        if isinstance(message, Report) and message.observation.provider not in self.profiles:
            self.telemetry.warning("message refused", reason="It is of a provider that is not known here.")
            return None
        return message

    def _write(self, read: dict[int, Message], kept: _Places, is_crowded: bool) -> None:
        """Add to `kept` what could not be written."""
        reports = [message for message in read.values() if isinstance(message, Report)]
        requests = [message for message in read.values() if isinstance(message, ChangeRequest)]
        until = self.clock.monotonic() + COMMIT_SECONDS
        committed = self._commit([*fold(reports), *dict.fromkeys(requests)], until, is_crowded)
        unfinished = {_subject(decision.work) for decision in committed.done if not self._is_finished(decision)}
        left = {_subject(decision.work) for decision in committed.left}
        refused = {_subject(decision.work) for decision in committed.refused}
        if left:
            self.telemetry.warning("messages stay queued", about=len(left))
        kept.refused |= {place for place, message in read.items() if _subject(message) in refused}
        kept.later |= {place for place, message in read.items() if _subject(message) in (left | unfinished) - refused}

    def _commit(self, work: Sequence[Work], until: float, is_crowded: bool) -> Committed:
        """Whatever a piece of work breaks, it breaks for itself alone: the rest is committed in halves."""
        seconds = until - self.clock.monotonic()
        try:
            return self.commit_changes.run_as_committer(work, seconds=seconds, is_in_turn=is_crowded)
        except Exception as error:  # noqa: BLE001 - one message that nobody foresaw must not fail its batch
            if len(work) == 1:
                self.telemetry.count(Metric.UNHANDLED_ERROR)
                self.telemetry.warning("message failed", error=type(error).__name__)
                return Committed([], [Decision(work=work[0])])
        half = len(work) // 2
        first, second = (self._commit(part, until, is_crowded) for part in (work[:half], work[half:]))
        return Committed([*first.done, *second.done], [*first.left, *second.left], [*first.refused, *second.refused])

    def _bring_forward(self, messages: Sequence[Delivered], kept: _Places) -> None:
        """Else each would come when the queue's visibility ends, which is many times the function's life."""
        by_delay: dict[int, list[str]] = defaultdict(list)
        for place in kept.later | kept.refused:
            times, receipt = messages[place].times, messages[place].receipt
            if place in kept.refused:
                by_delay[REFUSED_RETURN].append(receipt)
            elif times <= len(RETURNS):
                by_delay[RETURNS[times - 1]].append(receipt)
        for delay, receipts in by_delay.items():
            try:
                self.observations_queue.postpone(receipts, delay)
            except StoreUnavailableError as error:
                self.telemetry.warning("messages come again later", about=len(receipts), reason=error.detail)

    def _is_finished(self, decision: Decision) -> bool:
        try:
            self._finish(decision)
        except StoreUnavailableError:
            return False
        return True

    def _finish(self, decision: Decision) -> None:
        """Take away what belonged to a deleted job; also once more for a message that comes twice."""
        request, job = decision.work, decision.job
        if not isinstance(request, ChangeRequest):
            return
        if not is_fulfilled(request, job):
            self.telemetry.warning("request overtaken", wanted=request.wanted.value, job_id=request.job_id)
        elif request.wanted is RequestedChange.DELETE:
            self.texts.delete_all(request.job_id)


def _subject(piece: Work | Message) -> object:
    """What a message and the work that it is folded into have in common."""
    if isinstance(piece, Group):
        return piece.remote_id
    return piece.observation.remote_id if isinstance(piece, Report) else piece
