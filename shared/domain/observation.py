"""What was seen at a provider, and how it merges into what is known (docs/design.md, idea 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from shared.domain.change import RemoteId
from shared.domain.event import JobStatusChanged, status_event
from shared.domain.job import (
    CUT_MARK,
    MAX_ERROR_LENGTH,
    MAX_NAME_LENGTH,
    MAX_TRANSITIONS,
    MAX_URL_LENGTH,
    PRESENT,
    Absence,
    Job,
    JobStatus,
    Transition,
    to_money,
)
from shared.domain.pricing import MAX_BILLED_SECONDS, MAX_BILLED_USD, Hardware, amount_told

MISSES_UNTIL_LOST = 3
MISS_SPACING = timedelta(seconds=60)
LOST_MISS_SPACING = timedelta(hours=1)
"""How often a lost job is asked for; the time of the last look is all that is written then."""
UNKNOWN_STATUS_LIMIT = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One look at one remote job: None means "this answer did not say", never "it is gone" (I6).

    `status` is None when the provider's word is unknown to us; the word itself is `provider_status`.
    `kind` is the provider's word for the job's list, `hardware` the id of a hardware in its profile.
    `billed_seconds` are what the provider bills at the job's price, `billed_usd` what it has billed: its adapter does
    its arithmetic. `webhook_url` is where the provider reports to. `found` False records a 404.
    """

    provider: str
    external_id: str
    observed_at: datetime
    kind: str
    found: bool = True
    status: JobStatus | None = None
    provider_status: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    billed_seconds: Decimal | None = None
    billed_usd: Decimal | None = None
    error: str | None = None
    output_url: str | None = None
    model: str | None = None
    hardware: str | None = None
    webhook_url: str | None = None

    @property
    def remote_id(self) -> RemoteId:
        return RemoteId(self.provider, self.external_id)


def not_found(job: Job, at: datetime) -> Observation:
    """The provider's 404 for a job that it was given."""
    return Observation(
        provider=job.provider, external_id=str(job.external_id), observed_at=at, kind=job.kind, found=False
    )


@dataclass(frozen=True, slots=True)
class Look:
    """An answer about one job: what it says of the job, and the end of the job's log if it carried that."""

    observation: Observation
    log_tail: str | None = None


@dataclass(frozen=True, slots=True)
class LastLook:
    """An answer about one job after its end, with its whole log, at most 4 MB; None: the answer told none.

    `is_log_removed`: the provider says for good that there is none any more.
    """

    observation: Observation
    log: str | None = None
    is_log_removed: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """An observation as it came in: the webhook delivery that brought it, and the job that it is said to be of."""

    observation: Observation
    delivery_id: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class ObservationPage:
    """One page of a provider's list. `next_page` is opaque to us and only handed back; None: the last page."""

    observations: tuple[Observation, ...]
    next_page: str | None


@dataclass(frozen=True, slots=True)
class Observed:
    """The outcome of merging: the job after, the events of its status changes, and what was refused (I2)."""

    job: Job
    events: tuple[JobStatusChanged, ...]
    terminal_conflicts: int = 0
    unknown_statuses: int = 0


def merge_observations(
    before: Job, observations: Sequence[Observation], *, our_webhook_url: str | None = None
) -> Observed:
    """Fold observations of one remote job into it, in the order given. Pure; `before.version` is kept.

    A terminal status never changes, a rank never falls, a missing field never erases, facts that only an end
    can know (completion, error, what is billed) come from observations of that very end only.
    """
    job = before
    events: list[JobStatusChanged] = []
    conflicts = unknown = 0
    for seen in observations:
        if not seen.found:
            job = _with_miss(job, seen.observed_at)
            continue
        if seen.status is None:
            unknown += 1
            job = _with_unknown_status(job, seen)
            continue
        if job.status.is_terminal and seen.status.is_terminal and seen.status is not job.status:
            conflicts += 1
            continue
        previous = job.status
        job = _with_facts(job, seen, our_webhook_url)
        if not previous.is_terminal and seen.status.rank > previous.rank:
            job = _with_status(job, seen.status, seen)
            events.append(status_event(job, previous))
    return Observed(job, _as_finally_known(job, events), conflicts, unknown)


def first_observed(
    observations: Sequence[Observation],
    hardware: Hardware,
    *,
    is_id_taken: bool = False,
    our_webhook_url: str | None = None,
) -> Observed | None:
    """A job found at the provider: its id is the provider's if that is free, its first event has no previous status.

    None when no look tells a status we understand: absence and unknown words create nothing (I4, I31).
    """
    known = [seen for seen in observations if seen.found and seen.status is not None]
    if not known:
        return None
    first = known[0]
    moments = (first.created_at, first.started_at, first.observed_at)
    base = Job(
        job_id=first.remote_id.own_job_id if is_id_taken else first.external_id,
        provider=first.provider,
        external_id=first.external_id,
        kind=first.kind,
        status=JobStatus.PENDING,
        created_at=next(moment for moment in moments if moment is not None),
        hardware_type=hardware.hardware_type,
        price_per_second=hardware.price_per_second,
        metadata={"hardware_assumed": True} if hardware.is_assumed else {},
    )
    outcome = merge_observations(base, observations, our_webhook_url=our_webhook_url)
    events = (replace(outcome.events[0], previous_status=None), *outcome.events[1:])
    return replace(outcome, events=events)


def _with_facts(job: Job, seen: Observation, our_webhook_url: str | None) -> Job:
    """Everything but the status. Earliest times win, so that the order of looks does not matter (I5)."""
    ended = seen.status is not None and seen.status.is_terminal
    changed = replace(
        job,
        started_at=_earliest(job.started_at, seen.started_at),
        model=job.model or shortened(seen.model, MAX_NAME_LENGTH),
        output_url=job.output_url or _cut_url(seen.output_url),
        webhook_covered=job.webhook_covered or _is_ours(seen.webhook_url, our_webhook_url),
        absence=PRESENT,
    )
    if job.job_id in (seen.external_id, seen.remote_id.own_job_id):
        changed = replace(changed, created_at=_earliest(job.created_at, seen.created_at) or job.created_at)
    if ended:
        changed = replace(
            changed,
            completed_at=_earliest(job.completed_at, seen.completed_at),
            billed_seconds=_largest(job.billed_seconds, amount_told(seen.billed_seconds, MAX_BILLED_SECONDS)),
            error_message=job.error_message or shortened(seen.error, MAX_ERROR_LENGTH),
            provider_status=job.provider_status if job.status.is_terminal else seen.provider_status,
        )
        changed = _with_final_cost(changed, seen, shown=job.cost_at(seen.observed_at))
    elif seen.status is not None and not job.status.is_terminal and seen.status.rank >= job.status.rank:
        changed = replace(changed, provider_status=seen.provider_status)
    return changed


def _with_status(job: Job, status: JobStatus, seen: Observation) -> Job:
    moment = _moment_of(job, status, seen)
    return replace(
        job,
        status=status,
        queued_at=moment if status is JobStatus.QUEUED and job.queued_at is None else job.queued_at,
        transitions=(*job.transitions, Transition(status, moment))[-MAX_TRANSITIONS:],
    )


def _moment_of(job: Job, status: JobStatus, seen: Observation) -> datetime:
    if status.is_terminal:
        return job.completed_at or seen.observed_at
    if status is JobStatus.RUNNING:
        return job.started_at or seen.observed_at
    return job.created_at


def _with_final_cost(job: Job, seen: Observation, *, shown: Decimal | None) -> Job:
    """The cost is what is billed, or billed seconds × price; of several such figures the largest.

    Until there is one it is estimated: start to end × price, and where no end that can be is known, what it was
    `shown` to have cost so far (I46). A figure takes an estimate's place, a lower one, too.
    """
    by_time = None if job.billed_seconds is None else job.billed_seconds * job.price_per_second
    stored = None if job.is_cost_estimated else job.cost_usd
    billed = [
        to_money(cost) for cost in (by_time, amount_told(seen.billed_usd, MAX_BILLED_USD), stored) if cost is not None
    ]
    if billed:
        return replace(job, cost_usd=max(billed), is_cost_estimated=False)
    has_end = job.started_at is not None and job.completed_at is not None and job.completed_at > job.started_at
    by_times = job.cost_until(job.completed_at) if has_end and job.completed_at is not None else None
    cost = shown if by_times is None else by_times
    return replace(job, cost_usd=cost, is_cost_estimated=cost is not None)


def _is_ours(webhook_url: str | None, our_webhook_url: str | None) -> bool:
    """Whether the provider reports to us: to our URL, or to it with the query that binds the job (`?job=`)."""
    if not webhook_url or not our_webhook_url:
        return False
    return webhook_url == our_webhook_url or webhook_url.startswith((f"{our_webhook_url}?", f"{our_webhook_url}&"))


def is_too_soon(last_miss_at: datetime | None, now: datetime, *, is_lost: bool) -> bool:
    """Whether a job was missed so lately that another look says nothing more.

    A miss far in the future is the mistake of a clock and holds nobody back.
    """
    return last_miss_at is not None and abs(now - last_miss_at) < (LOST_MISS_SPACING if is_lost else MISS_SPACING)


def _with_miss(job: Job, at: datetime) -> Job:
    """Count a 404, spaced; three of them make the job lost, still reversible (I31)."""
    if job.status.is_terminal:
        return job
    known = job.absence
    if is_too_soon(known.last_miss_at, at, is_lost=job.is_lost):
        return job
    if known.lost_at is not None:
        return replace(job, absence=replace(known, last_miss_at=at))
    misses = known.misses + 1
    lost_at = at if misses >= MISSES_UNTIL_LOST else None
    return replace(job, absence=replace(known, misses=misses, last_miss_at=at, lost_at=lost_at))


def _with_unknown_status(job: Job, seen: Observation) -> Job:
    """Keep the provider's word and since when we do not understand it; never guess an outcome (I4).

    Of a lost job the time of the look is kept, too, so that it is asked for no oftener than a vanished one.
    """
    if job.status.is_terminal:
        return job
    since = job.absence.unknown_since or seen.observed_at
    lost_at = job.absence.lost_at
    if lost_at is None and seen.observed_at - since >= UNKNOWN_STATUS_LIMIT:
        lost_at = seen.observed_at
    word = shortened(seen.provider_status, MAX_NAME_LENGTH)
    looked_at = None
    if lost_at is not None:
        last = job.absence.last_miss_at
        looked_at = last if is_too_soon(last, seen.observed_at, is_lost=True) else seen.observed_at
    absence = Absence(unknown_since=since, lost_at=lost_at, last_miss_at=looked_at)
    return replace(job, provider_status=word, absence=absence)


def _as_finally_known(job: Job, events: Sequence[JobStatusChanged]) -> tuple[JobStatusChanged, ...]:
    """The last event of a fold tells the job as it is after the whole fold."""
    if not events:
        return ()
    return (*events[:-1], replace(status_event(job, events[-1].previous_status), at=events[-1].at))


def _earliest(known: datetime | None, seen: datetime | None) -> datetime | None:
    if known is None or seen is None:
        return known or seen
    return min(known, seen)


def _largest(known: Decimal | None, seen: Decimal | None) -> Decimal | None:
    if known is None or seen is None:
        return seen if known is None else known
    return max(known, seen)


def shortened(text: str | None, limit: int) -> str | None:
    """Cap a field by its UTF-8 bytes, so that the job item stays within 2 kB."""
    if not text:
        return None
    encoded = text.encode("utf-8", "replace")
    return text if len(encoded) <= limit else encoded[: limit - len(CUT_MARK)].decode("utf-8", "ignore") + CUT_MARK


def _cut_url(url: str | None) -> str | None:
    """A cut address leads nowhere: one that is too long is left out."""
    return url if url and len(url.encode("utf-8", "replace")) <= MAX_URL_LENGTH else None
