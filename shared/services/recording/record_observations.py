"""The one way in for truth (docs/design.md, idea 1): what was seen becomes what is stored, or is handed over whole."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.domain.change import RemoteId, Snapshot
from shared.domain.errors import StoreUnavailableError
from shared.domain.job import Job, JobStatus
from shared.domain.metric import Metric
from shared.domain.observation import Observation, Report, merge_observations
from shared.ports import JobStore, Telemetry, WorkQueue
from shared.services.recording.commit_changes import OWN_TRIES, CommitChanges
from shared.services.recording.decide import Decision, Group, fold
from shared.services.recording.messages import encode_message


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of observations: each job as it is now, by its id, and which of them are new or have changed.

    What was handed over to the committer is durable and counts as recorded. `undecided` was handed over although the
    store could not be read: nobody knows yet which jobs those are.
    """

    jobs: Mapping[str, Job] = field(default_factory=dict)
    created: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()
    undecided: frozenset[RemoteId] = frozenset()
    is_duplicate: bool = False

    @property
    def job(self) -> Job | None:
        """The job of a single observation; None for one that was passed over."""
        return next(iter(self.jobs.values()), None)


@dataclass(frozen=True, kw_only=True)
class RecordObservations:
    """A writer tries twice; what still collides goes to the queue of the one committer."""

    jobs: JobStore
    commit_changes: CommitChanges
    telemetry: Telemetry
    observations_queue: WorkQueue

    def run(
        self,
        observations: Iterable[Observation],
        *,
        of: Mapping[RemoteId, str] = {},
        delivery_id: str | None = None,
        snapshot: Snapshot | None = None,
        expects_change: bool = True,
    ) -> Recorded:
        """Record observations. `of` names the job that a remote one was asked for, or is said to be.

        `delivery_id`, the webhook's that brought them, is written exactly when their effect is (I33). `snapshot` is
        what was known of the jobs before: what has moved since is decided anew. Without `expects_change` one small read
        answers for a job that still runs. Raises StoreUnavailableError when neither the store nor the queue took them:
        nothing is lost then, because the caller says so.
        """
        groups = fold(Report(seen, delivery_id, of.get(seen.remote_id)) for seen in observations)
        known = self._unchanged(groups[0]) if len(groups) == 1 and not expects_change else None
        if known is not None:
            return Recorded({known.job_id: known})
        committed = self.commit_changes.run(groups, tries=OWN_TRIES, snapshot=snapshot)
        self._hand_over(committed.left)
        return _recorded([*committed.done, *committed.left], left=committed.left)

    def look(self, report: Report, *, state: Collection[str]) -> Snapshot:
        """What `run` needs to know of one observation, and these items of the state store, in one request.

        Raises StoreUnavailableError.
        """
        return self.commit_changes.read(fold([report]), state=state)

    def _unchanged(self, group: Group) -> Job | None:
        """The job, if these observations change nothing of it; what changes nothing needs no delivery id."""
        if any(seen.status is not JobStatus.RUNNING for seen in group.observations):
            return None
        try:
            job = self.jobs.get(group.job_id or group.remote_id.external_id)
        except StoreUnavailableError:
            return None
        if job is None or job.external_id is None or RemoteId(job.provider, job.external_id) != group.remote_id:
            return None
        ours = self.commit_changes.rules().webhook_url_of(group)
        outcome = merge_observations(job, group.observations, our_webhook_url=ours)
        return job if outcome.job == job and not outcome.terminal_conflicts and not outcome.unknown_statuses else None

    def _hand_over(self, left: Sequence[Decision]) -> None:
        reports = [report for decision in left if isinstance(decision.work, Group) for report in decision.work.reports]
        if reports:
            self.observations_queue.send([encode_message(report) for report in reports])
            self.telemetry.count(Metric.OBSERVATIONS_QUEUED, len(reports))


def _recorded(decisions: Sequence[Decision], *, left: Sequence[Decision]) -> Recorded:
    changes = [decision.change for decision in decisions if decision.change is not None]
    undecided = [decision.work for decision in left if decision.change is None]
    return Recorded(
        jobs={decision.job.job_id: decision.job for decision in decisions if decision.job is not None},
        created=frozenset(change.job_id for change in changes if change.before is None),
        changed=frozenset(change.job_id for change in changes),
        undecided=frozenset(work.remote_id for work in undecided if isinstance(work, Group)),
        is_duplicate=any(decision.is_duplicate for decision in decisions),
    )
