"""The one committer of the queue `observations`: what collided is folded per job and written in groups (idea 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared.domain import state_keys
from shared.domain.change_request import ChangeRequest, RequestedChange, is_fulfilled
from shared.domain.errors import InvalidRequestError
from shared.domain.observation import Report
from shared.ports import JobTexts, Telemetry
from shared.services.leases import Leases
from shared.services.recording.commit_changes import COMMITTER_TRIES, CommitChanges
from shared.services.recording.decide import Decision, Group, Work, fold
from shared.services.recording.messages import Message, decode_message

LEASE = timedelta(seconds=60)
"""As long as the function may run."""
WAIT_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class CommitQueued:
    """Nothing is behind it: it tries long, and what it cannot write stays in the queue."""

    commit_changes: CommitChanges
    texts: JobTexts
    leases: Leases
    telemetry: Telemetry

    def run(self, messages: Sequence[str]) -> list[int]:
        """Write a batch; returns the places of the messages that the queue must keep.

        A message that is none of ours, or whose change can never be written, holds no other up; the queue's dead
        letters take it in the end (I43).
        """
        read = {place: message for place, text in enumerate(messages) if (message := self._decoded(text)) is not None}
        kept = set(range(len(messages))) - read.keys()
        if read:
            with self.leases.hold(state_keys.COMMITTER_LEASE, life=LEASE, wait_seconds=WAIT_SECONDS) as is_alone:
                kept |= self._write(read) if is_alone else read.keys()
        return sorted(kept)

    def _decoded(self, text: str) -> Message | None:
        try:
            return decode_message(text)
        except InvalidRequestError as error:
            self.telemetry.warning("message refused", reason=error.detail)
            return None

    def _write(self, read: dict[int, Message]) -> set[int]:
        """The places of what could not be written."""
        reports = [message for message in read.values() if isinstance(message, Report)]
        requests = [message for message in read.values() if isinstance(message, ChangeRequest)]
        committed = self.commit_changes.run([*fold(reports), *dict.fromkeys(requests)], tries=COMMITTER_TRIES)
        for decision in committed.done:
            self._finish(decision)
        left = {_subject(decision.work) for decision in committed.left}
        if left:
            self.telemetry.warning("messages stay queued", about=len(left))
        return {place for place, message in read.items() if _subject(message) in left}

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
