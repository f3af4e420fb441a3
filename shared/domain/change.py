"""What one change of a job writes, and what it is decided on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.domain.event import JobEvent, LogHead
from shared.domain.job import Job

if TYPE_CHECKING:
    from shared.domain.stored import StateItem


@dataclass(frozen=True, slots=True)
class RemoteId:
    """The identity of a job at its provider."""

    provider: str
    external_id: str

    @property
    def own_job_id(self) -> str:
        """The id of the job that is found there while another one has its id: two providers may have equal ones."""
        return hashlib.sha256(f"{self.provider}#{self.external_id}".encode()).hexdigest()[:26]


@dataclass(frozen=True, slots=True)
class Claim:
    """Which job a remote job is (I7). A tombstone outlives its deleted job."""

    remote_id: RemoteId
    job_id: str
    is_tombstone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobChange:
    """One job's change. `before` None: new; `after` None: deleted. `after.version` is set by the store.

    `claim` is taken for the job with it; `delivery_ids` are those of the webhooks that have their effect in it.
    """

    before: Job | None
    after: Job | None
    events: tuple[JobEvent, ...] = ()
    claim: Claim | None = None
    delivery_ids: tuple[str, ...] = ()

    @property
    def job_id(self) -> str:
        job = self.after or self.before
        assert job is not None
        return job.job_id

    @property
    def written_claim(self) -> Claim | None:
        """The claim that it takes; a deletion leaves a tombstone of its remote job."""
        if self.after is not None or self.before is None or self.before.external_id is None:
            return self.claim
        return Claim(RemoteId(self.before.provider, self.before.external_id), self.before.job_id, is_tombstone=True)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a change is decided on: the log's head, the jobs by id, the claims, and which delivery ids exist already.

    `state` are items of the state store that were asked for with it.
    """

    head: LogHead
    jobs: Mapping[str, Job] = field(default_factory=dict)
    claims: Mapping[RemoteId, Claim] = field(default_factory=dict)
    delivery_ids: frozenset[str] = frozenset()
    state: Mapping[str, StateItem] = field(default_factory=dict)
