"""What becomes of observations and requests on what is stored. Pure, so that it can be decided anew at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain.change import Claim, JobChange, RemoteId, Snapshot
from shared.domain.change_request import ChangeRequest, requested_change
from shared.domain.job import Job
from shared.domain.observation import Observation, Report, first_observed, merge_observations
from shared.domain.pricing import Hardware


@dataclass(frozen=True, slots=True)
class Group:
    """All that was reported of one remote job, in the order given."""

    remote_id: RemoteId
    reports: tuple[Report, ...]

    @property
    def observations(self) -> tuple[Observation, ...]:
        return tuple(report.observation for report in self.reports)

    @property
    def delivery_ids(self) -> tuple[str, ...]:
        return tuple(report.delivery_id for report in self.reports if report.delivery_id is not None)

    @property
    def job_id(self) -> str | None:
        """The job that it is said to be, by the last report that names one."""
        return next((report.job_id for report in reversed(self.reports) if report.job_id is not None), None)


Work = Group | ChangeRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a decision depends on besides what is stored. `retention` None: nothing is too old to be imported."""

    now: datetime
    retention: timedelta | None
    hardware_of: Callable[[Observation], Hardware]
    our_webhook_url: Callable[[str], str | None]

    def webhook_url_of(self, group: Group) -> str | None:
        """Our address at a provider, asked for only where an observation tells where the provider reports to."""
        is_told = any(seen.webhook_url for seen in group.observations)
        return self.our_webhook_url(group.remote_id.provider) if is_told else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a piece of work: `job` as it is afterwards, `change` what that takes, None where nothing.

    Without a job the work was passed over (a tombstone, nothing known, past the retention), or the job is gone.
    """

    work: Work
    job: Job | None = None
    change: JobChange | None = None
    is_duplicate: bool = False
    terminal_conflicts: int = 0
    unknown_statuses: int = 0


@dataclass(frozen=True, slots=True)
class Decisions:
    """`later` is what concerns a job that an earlier piece of the same work changes: its turn comes after that."""

    made: Sequence[Decision]
    later: Sequence[Work]


def fold(reports: Iterable[Report]) -> list[Group]:
    """One group a remote job; what the same delivery brought twice counts once."""
    reported: dict[RemoteId, dict[str | int, Report]] = {}
    for number, report in enumerate(reports):
        of_job = reported.setdefault(report.observation.remote_id, {})
        of_job.setdefault(report.delivery_id or number, report)
    return [Group(remote_id, tuple(of_job.values())) for remote_id, of_job in reported.items()]


def decide(work: Iterable[Work], snapshot: Snapshot, rules: Rules) -> Decisions:
    """Decide on each piece of work; no two changes of what is returned concern the same job."""
    made: list[Decision] = []
    later: list[Work] = []
    changed: set[str] = set()
    for piece in work:
        decision = _of_group(piece, snapshot, rules) if isinstance(piece, Group) else _of_request(piece, snapshot)
        job_id = decision.change.job_id if decision.change else None
        if job_id in changed:
            later.append(piece)
            continue
        made.append(decision)
        if job_id is not None:
            changed.add(job_id)
    return Decisions(made, later)


def _of_request(request: ChangeRequest, snapshot: Snapshot) -> Decision:
    job = snapshot.jobs.get(request.job_id)
    change = requested_change(request, job) if job is not None else None
    return Decision(work=request, job=change.after if change is not None else job, change=change)


def _of_group(group: Group, snapshot: Snapshot, rules: Rules) -> Decision:
    """A delivery that has had its effect has none again (I33); its sender still learns which job it was about."""
    fresh = tuple(report for report in group.reports if report.delivery_id not in snapshot.delivery_ids)
    is_duplicate = len(fresh) < len(group.reports)
    claim = snapshot.claims.get(group.remote_id)
    before = _job_of(group, claim, snapshot)
    if not fresh:
        return Decision(work=group, job=before, is_duplicate=True)
    if before is not None:
        decision = _merged(replace(group, reports=fresh), before, rules)
    elif claim is None:
        decision = _discovered(replace(group, reports=fresh), snapshot, rules)
    else:
        # A tombstone; or a deletion read halfway, whose tombstone the next look sees.
        decision = Decision(work=group)
    return replace(decision, work=group, is_duplicate=is_duplicate)


def _job_of(group: Group, claim: Claim | None, snapshot: Snapshot) -> Job | None:
    """The job that a remote job is: by its claim, by its own id, or the waiting one that a webhook's URL names."""
    if claim is not None:
        return None if claim.is_tombstone else snapshot.jobs.get(claim.job_id)
    remote_id = group.remote_id
    for job_id in (group.job_id, remote_id.external_id):
        job = snapshot.jobs.get(job_id) if job_id else None
        if job is None or job.provider != remote_id.provider:
            continue
        if job.external_id == remote_id.external_id or (job.external_id is None and job.status.is_active):
            return job
    return None


def _merged(group: Group, before: Job, rules: Rules) -> Decision:
    """A job of ours that its provider tells of for the first time is bound to its remote one by a claim (I7)."""
    bound, known = None, before
    if before.external_id is None:
        known = replace(before, external_id=group.remote_id.external_id, kind=group.observations[0].kind)
        bound = Claim(group.remote_id, before.job_id)
    outcome = merge_observations(known, group.observations, our_webhook_url=rules.webhook_url_of(group))
    change = JobChange(
        before=before, after=outcome.job, events=outcome.events, claim=bound, delivery_ids=group.delivery_ids
    )
    return Decision(
        work=group,
        job=outcome.job,
        change=change if outcome.job != before else None,
        terminal_conflicts=outcome.terminal_conflicts,
        unknown_statuses=outcome.unknown_statuses,
    )


def _discovered(group: Group, snapshot: Snapshot, rules: Rules) -> Decision:
    outcome = first_observed(
        group.observations,
        rules.hardware_of(group.observations[0]),
        is_id_taken=group.remote_id.external_id in snapshot.jobs,
        our_webhook_url=rules.webhook_url_of(group),
    )
    if outcome is None or _is_past(outcome.job, rules):
        return Decision(work=group)
    change = JobChange(
        before=None,
        after=outcome.job,
        events=outcome.events,
        claim=Claim(group.remote_id, outcome.job.job_id),
        delivery_ids=group.delivery_ids,
    )
    return Decision(
        work=group,
        job=outcome.job,
        change=change,
        terminal_conflicts=outcome.terminal_conflicts,
        unknown_statuses=outcome.unknown_statuses,
    )


def _is_past(job: Job, rules: Rules) -> bool:
    if rules.retention is None or not job.status.is_terminal:
        return False
    return (job.completed_at or job.created_at) < rules.now - rules.retention
