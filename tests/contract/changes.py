"""Changes as the services make them: a job found, moved on, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.domain.change import Claim, JobChange, RemoteId
from shared.domain.event import LogHead, deletion_event, status_event
from shared.domain.job import Job, JobStatus, Transition
from tests.builders import a_job
from tests.contract.conftest import Stores


def key_of(job: Job) -> RemoteId:
    return RemoteId(job.provider, job.external_id or "")


def found(job: Job, *, delivery_ids: Sequence[str] = ()) -> JobChange:
    """A job found at the provider: new, with its claim and its first event."""
    claim = Claim(key_of(job), job.job_id) if job.external_id else None
    return JobChange(
        before=None, after=job, events=(status_event(job, None),), claim=claim, delivery_ids=tuple(delivery_ids)
    )


def moved(job: Job, status: JobStatus, at: datetime, *, delivery_ids: Sequence[str] = (), **fields: Any) -> JobChange:
    """The stored job enters a status."""
    transitions = (*job.transitions, Transition(status, at))
    after = replace(job, status=status, transitions=transitions, **fields)
    return JobChange(
        before=job, after=after, events=(status_event(after, job.status),), delivery_ids=tuple(delivery_ids)
    )


def edited(job: Job, **fields: Any) -> JobChange:
    """A change without an event."""
    return JobChange(before=job, after=replace(job, **fields))


def deleted(job: Job, at: datetime) -> JobChange:
    return JobChange(before=job, after=None, events=(deletion_event(job, at),))


def commit(stores: Stores, *changes: JobChange) -> LogHead:
    """Commit on a fresh head."""
    return stores.jobs.commit(changes, head=stores.jobs.snapshot().head, at=stores.clock.now())


def stored(stores: Stores, job: Job) -> Job:
    """Keep a new job and hand it back as it is stored."""
    commit(stores, found(job))
    return known(stores, job.job_id)


def known(stores: Stores, job_id: str) -> Job:
    job = stores.jobs.get(job_id)
    assert job is not None
    return job


def many_jobs(stores: Stores, count: int, status: JobStatus = JobStatus.QUEUED, **fields: Any) -> list[Job]:
    """Jobs a second apart, oldest first, each committed with as many others as fit."""
    jobs = []
    head = stores.jobs.snapshot().head
    for number in range(count):
        created_at = stores.clock.now()
        stores.clock.advance(1)
        jobs.append(a_job(f"job{number:05d}abcdef", status, created_at=created_at, **fields))
    for changes in stores.jobs.batches([found(job) for job in jobs]):
        head = stores.jobs.commit(changes, head=head, at=stores.clock.now())
    return jobs
