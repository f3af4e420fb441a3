"""The one committer of the queue `observations`: what collided is folded per job and written in groups (idea 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.domain import state_keys
from shared.domain.errors import ChangeTooLargeError, InvalidRequestError, StaleWrite, StoreUnavailableError
from shared.ports import Clock, StateStore, Telemetry
from shared.services.recording.messages import ObservationMessage, decode_observation
from shared.services.recording.record_observations import RecordObservations

LEASE = timedelta(seconds=60)
"""As long as the function may run."""
WAIT_SECONDS = 30.0
LOOK_EVERY = 0.25


@dataclass(frozen=True, kw_only=True)
class CommitQueued:
    """Records without an overflow: it tries long, and what it cannot write stays in the queue."""

    record_observations: RecordObservations
    state: StateStore
    clock: Clock
    telemetry: Telemetry

    def run(self, messages: Sequence[str]) -> list[int]:
        """Record a batch; returns the places of the messages that the queue must keep.

        A message that is none of ours never holds the others up; the queue's dead letters take it in the end (I43).
        """
        kept: list[int] = []
        read: dict[int, ObservationMessage] = {}
        for place, text in enumerate(messages):
            try:
                read[place] = decode_observation(text)
            except InvalidRequestError as error:
                self.telemetry.warning("message refused", reason=error.detail)
                kept.append(place)
        if not read:
            return kept
        with self._alone() as is_alone:
            return sorted(kept + (self._record(read) if is_alone else list(read)))

    def _record(self, read: dict[int, ObservationMessage]) -> list[int]:
        """All together; if one of them can't be written at all, each by itself."""
        try:
            self._record_together(list(read.values()))
        except StoreUnavailableError as error:
            self.telemetry.warning("observations stay queued", reason=error.detail)
            return list(read)
        except ChangeTooLargeError:
            return [place for place, message in read.items() if not self._is_recorded(message)]
        return []

    def _is_recorded(self, message: ObservationMessage) -> bool:
        try:
            self._record_together([message])
        except (StoreUnavailableError, ChangeTooLargeError) as error:
            self.telemetry.warning("observation stays queued", reason=str(error))
            return False
        return True

    def _record_together(self, messages: Sequence[ObservationMessage]) -> None:
        replace(self.record_observations, observations_queue=None).run(
            [message.observation for message in messages],
            of={message.observation.remote_id: message.job_id for message in messages if message.job_id},
            delivery_ids=[message.delivery_id for message in messages],
        )

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Hold the committer's lease, waiting for it a while; False when another one keeps it."""
        deadline = self.clock.monotonic() + WAIT_SECONDS
        version = self._take()
        while version is None and self.clock.monotonic() < deadline:
            self.clock.sleep(LOOK_EVERY)
            version = self._take()
        try:
            yield version is not None
        finally:
            if version is not None:
                self._give_back(version)

    def _take(self) -> int | None:
        now = self.clock.now()
        try:
            return self.state.put(state_keys.COMMITTER_LEASE, {}, now=now, expires_at=now + LEASE, if_version=0)
        except StaleWrite:
            return None

    def _give_back(self, version: int) -> None:
        try:
            self.state.delete(state_keys.COMMITTER_LEASE, now=self.clock.now(), if_version=version)
        except (StaleWrite, StoreUnavailableError) as error:
            self.telemetry.info("lease not given back", reason=error.detail)
