"""What becomes of reports and requests on what is stored; without a store, because deciding is pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.change import Claim, RemoteId, Snapshot
from shared.domain.change_request import ChangeRequest, RequestedChange
from shared.domain.event import EventType, LogHead
from shared.domain.job import Absence, Job, JobStatus
from shared.domain.observation import Observation, Report
from shared.services.recording.decide import Decision, Rules, decide, fold
from tests.builders import H100, NOON, a_job, after, an_observation

OUR_URL = "https://jobs.example.com/api/webhooks/replicate"
RULES = Rules(
    now=after(3600), retention=timedelta(days=90), hardware_of=lambda _: H100, our_webhook_url=lambda _: OUR_URL
)
REMOTE = RemoteId("replicate", "remote-job-00001")
SEEN = an_observation("remote-job-00001")


def a_snapshot(*jobs: Job, claims: tuple[Claim, ...] = (), delivery_ids: tuple[str, ...] = ()) -> Snapshot:
    return Snapshot(
        head=LogHead("epoch"),
        jobs={job.job_id: job for job in jobs},
        claims={claim.remote_id: claim for claim in claims},
        delivery_ids=frozenset(delivery_ids),
    )


def decide_on(snapshot: Snapshot, *reports: Report | Observation, rules: Rules = RULES) -> Decision:
    """The one decision about these reports of one job."""
    given = [report if isinstance(report, Report) else Report(report) for report in reports]
    [decision] = decide(fold(given), snapshot, rules).made
    return decision


def test_a_remote_job_that_nobody_knows_is_found_and_claimed() -> None:
    decision = decide_on(a_snapshot(), SEEN)
    assert decision.change is not None
    assert decision.change.before is None
    assert decision.change.claim == Claim(REMOTE, "remote-job-00001")
    assert decision.job == decision.change.after


def test_a_claim_leads_to_a_job_of_another_id() -> None:
    job = a_job("own-id-000000001", external_id="remote-job-00001")
    decision = decide_on(a_snapshot(job, claims=(Claim(REMOTE, job.job_id),)), SEEN)
    assert decision.change is not None
    assert decision.change.before == job
    assert decision.change.claim is None


@pytest.mark.parametrize("is_tombstone", [True, False], ids=["a deleted job", "a deletion read halfway"])
def test_a_claim_without_its_job_is_passed_over(is_tombstone: bool) -> None:
    claim = Claim(REMOTE, "remote-job-00001", is_tombstone=is_tombstone)
    assert decide_on(a_snapshot(claims=(claim,)), SEEN) == Decision(work=fold([Report(SEEN)])[0])


def test_a_waiting_job_that_a_webhooks_url_names_is_bound() -> None:
    waiting = a_job("own-id-000000001", JobStatus.PENDING, external_id=None)
    decision = decide_on(a_snapshot(waiting), Report(SEEN, job_id=waiting.job_id))
    assert decision.change is not None
    assert decision.change.claim == Claim(REMOTE, waiting.job_id)
    assert decision.job is not None
    assert (decision.job.job_id, decision.job.external_id) == (waiting.job_id, "remote-job-00001")


@pytest.mark.parametrize(
    "fields",
    [
        {"external_id": "another-job-0001"},
        {"external_id": None, "provider": "elsewhere"},
        {"external_id": None, "status": JobStatus.CANCELLED},
    ],
    ids=["bound to another", "of another provider", "ended by us"],
)
def test_a_job_that_is_named_but_cannot_be_it_is_left_alone(fields: dict[str, object]) -> None:
    named = replace(a_job("own-id-000000001", JobStatus.PENDING), **fields)  # type: ignore[arg-type]
    decision = decide_on(a_snapshot(named), Report(SEEN, job_id=named.job_id))
    assert decision.job is not None
    assert decision.job.job_id == "remote-job-00001"


def test_equal_ids_at_two_providers_are_two_jobs() -> None:
    other = a_job("remote-job-00001", provider="elsewhere")
    decision = decide_on(a_snapshot(other), SEEN)
    assert decision.job is not None
    assert decision.job.job_id == REMOTE.own_job_id != other.job_id
    again = a_snapshot(other, decision.job, claims=(Claim(REMOTE, decision.job.job_id),))
    assert decide_on(again, SEEN).change is None


def test_equal_ids_at_two_providers_that_are_found_at_once_have_their_turn_one_after_the_other() -> None:
    elsewhere = replace(SEEN, provider="elsewhere")
    decisions = decide(fold([Report(SEEN), Report(elsewhere)]), a_snapshot(), RULES)
    assert [made.work for made in decisions.made] == fold([Report(SEEN)])
    assert decisions.later == fold([Report(elsewhere)])


def test_what_changes_nothing_is_told_and_not_written() -> None:
    known = decide_on(a_snapshot(), SEEN).job
    assert known is not None
    decision = decide_on(a_snapshot(known), SEEN)
    assert (decision.job, decision.change) == (known, None)


def test_a_known_delivery_has_no_effect_beside_a_new_one() -> None:
    """I33"""
    ended = an_observation("remote-job-00001", JobStatus.COMPLETED)
    job = a_job("remote-job-00001")
    snapshot = a_snapshot(job, delivery_ids=("old",))
    decision = decide_on(snapshot, Report(ended, "old"), Report(SEEN, "new"))
    assert decision.is_duplicate
    assert decision.change is not None
    assert decision.change.delivery_ids == ("new",)
    assert decision.job is not None
    assert decision.job.status is JobStatus.RUNNING


def test_a_delivery_that_is_known_tells_its_job_and_writes_nothing() -> None:
    job = a_job("remote-job-00001")
    decision = decide_on(a_snapshot(job, delivery_ids=("old",)), Report(SEEN, "old"))
    assert (decision.job, decision.change, decision.is_duplicate) == (job, None, True)


def test_one_delivery_twice_counts_once() -> None:
    [group] = fold([Report(SEEN, "same"), Report(SEEN, "same"), Report(SEEN)])
    assert group.delivery_ids == ("same",)
    assert len(group.reports) == 2


def test_a_job_that_ended_before_the_retention_is_not_imported_but_goes_on_being_known() -> None:
    ended = an_observation("remote-job-00001", JobStatus.COMPLETED)
    late = replace(RULES, now=NOON + timedelta(days=91))
    assert decide_on(a_snapshot(), ended, rules=late).change is None
    assert decide_on(a_snapshot(), ended, rules=replace(late, retention=None)).change is not None
    assert decide_on(a_snapshot(a_job("remote-job-00001")), ended, rules=late).change is not None


def requested(wanted: RequestedChange, *jobs: Job) -> Decision:
    request = ChangeRequest(wanted, "abc123def456ghij", after(60))
    [decision] = decide([request], a_snapshot(*jobs), RULES).made
    return decision


@pytest.mark.parametrize("wanted", RequestedChange)
def test_a_request_for_a_job_that_is_gone_does_nothing(wanted: RequestedChange) -> None:
    decision = requested(wanted)
    assert (decision.job, decision.change) == (None, None)


@pytest.mark.parametrize(
    ("fields", "is_deleted"),
    [
        ({"status": JobStatus.FAILED}, True),
        ({"cancel_requested_at": NOON}, True),
        ({"absence": Absence(misses=3, lost_at=NOON)}, True),
        ({}, False),
    ],
)
def test_what_may_be_deleted(fields: dict[str, object], is_deleted: bool) -> None:
    job = replace(a_job(status=JobStatus.RUNNING), **fields)  # type: ignore[arg-type]
    decision = requested(RequestedChange.DELETE, job)
    assert (decision.change is not None) is is_deleted
    assert decision.job == (None if is_deleted else job)
    if decision.change is not None:
        assert [event.type for event in decision.change.events] == [EventType.DELETED]


def test_only_a_job_that_its_provider_does_not_know_is_ours_to_end() -> None:
    """I8"""
    waiting = a_job(status=JobStatus.PENDING, external_id=None)
    decision = requested(RequestedChange.END, waiting)
    assert decision.job is not None
    assert (decision.job.status, decision.job.completed_at) == (JobStatus.CANCELLED, after(60))
    assert requested(RequestedChange.END, decision.job).change is None
    assert requested(RequestedChange.END, a_job(status=JobStatus.RUNNING)).change is None


def test_a_cancel_is_marked_once_and_never_on_an_ended_job() -> None:
    marked = requested(RequestedChange.MARK_CANCEL, a_job(status=JobStatus.RUNNING)).job
    assert marked is not None
    assert marked.cancel_requested_at == after(60)
    assert requested(RequestedChange.MARK_CANCEL, marked).change is None
    assert requested(RequestedChange.MARK_CANCEL, a_job(status=JobStatus.FAILED)).change is None


def test_a_request_waits_for_the_observation_of_its_job_that_stands_before_it() -> None:
    ended = an_observation(status=JobStatus.COMPLETED)
    delete = ChangeRequest(RequestedChange.DELETE, "abc123def456ghij", after(60))
    decisions = decide([*fold([Report(ended)]), delete], a_snapshot(a_job(status=JobStatus.FAILED)), RULES)
    assert len(decisions.made) == 2, "a conflict changes nothing, so nothing waits for it"
    decisions = decide([*fold([Report(ended)]), delete], a_snapshot(a_job(cancel_requested_at=NOON)), RULES)
    assert decisions.later == [delete]
