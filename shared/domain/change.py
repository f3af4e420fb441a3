"""What one change of a job writes, and what it is decided on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.domain.event import JobEvent, LogHead
from shared.domain.job import Job


@dataclass(frozen=True, slots=True)
class RemoteId:
    """The identity of a job at its provider."""

    provider: str
    external_id: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Which job a remote job is (I7). A tombstone outlives its deleted job."""

    remote_id: RemoteId
    job_id: str
    is_tombstone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobChange:
    """One job's change. `before` None: new; `after` None: deleted. `after.version` is set by the store."""

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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a change is decided on: the log's head, the jobs by id, the claims, and which delivery ids exist already."""

    head: LogHead
    jobs: Mapping[str, Job] = field(default_factory=dict)
    claims: Mapping[RemoteId, Claim] = field(default_factory=dict)
    delivery_ids: frozenset[str] = frozenset()
