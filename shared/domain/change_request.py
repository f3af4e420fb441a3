"""What a person wants to become of one job, kept as data so that it can be decided anew on what is stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from shared.domain.change import JobChange
from shared.domain.event import deletion_event, status_event
from shared.domain.job import MAX_TRANSITIONS, Job, JobStatus, Transition


class RequestedChange(StrEnum):
    MARK_CANCEL = "mark_cancel"
    """The provider took the cancel: from now on the job may be deleted."""
    END = "end"
    """A job that was never sent to its provider is ours to end (I8)."""
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    wanted: RequestedChange
    job_id: str
    at: datetime


def requested_change(request: ChangeRequest, job: Job) -> JobChange | None:
    """What is to be written; None where it is done already, or the job as it is stored does not allow it."""
    match request.wanted:
        case RequestedChange.MARK_CANCEL:
            return _marked(job, request.at)
        case RequestedChange.END:
            return _ended(job, request.at)
        case RequestedChange.DELETE:
            return _deleted(job, request.at)


def is_fulfilled(request: ChangeRequest, job: Job | None) -> bool:
    """Whether the job as it is now (None: deleted) is what was wanted."""
    match request.wanted:
        case RequestedChange.MARK_CANCEL:
            return job is None or job.status.is_terminal or job.cancel_requested_at is not None
        case RequestedChange.END:
            return job is None or job.status.is_terminal
        case RequestedChange.DELETE:
            return job is None


def is_deletable(job: Job) -> bool:
    """Whether it has ended, its cancel was accepted, or it is lost."""
    return job.status.is_terminal or job.cancel_requested_at is not None or job.is_lost


def _marked(job: Job, at: datetime) -> JobChange | None:
    if job.status.is_terminal or job.cancel_requested_at is not None:
        return None
    return JobChange(before=job, after=replace(job, cancel_requested_at=at))


def _ended(job: Job, at: datetime) -> JobChange | None:
    if job.status.is_terminal or job.external_id is not None:
        return None
    ended = replace(
        job,
        status=JobStatus.CANCELLED,
        completed_at=at,
        cancel_requested_at=at,
        transitions=(*job.transitions, Transition(JobStatus.CANCELLED, at))[-MAX_TRANSITIONS:],
    )
    return JobChange(before=job, after=ended, events=(status_event(ended, job.status),))


def _deleted(job: Job, at: datetime) -> JobChange | None:
    if not is_deletable(job):
        return None
    return JobChange(before=job, after=None, events=(deletion_event(job, at),))
