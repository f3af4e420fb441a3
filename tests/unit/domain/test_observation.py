"""Merging: I1–I6, exhaustively where that is possible."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.job import Absence, Job, JobStatus, Transition
from shared.domain.observation import Observation, first_observed, merge_observations
from tests.builders import H100, NOON, a_job, after, an_observation

PROVIDER_STATUSES = (
    JobStatus.QUEUED,
    JobStatus.RUNNING,
    JobStatus.COMPLETED,
    JobStatus.FAILED,
    JobStatus.CANCELLED,
)


def merge_one_by_one(job: Job, observations: tuple[Observation, ...]) -> tuple[Job, list[JobStatus]]:
    told: list[JobStatus] = []
    for seen in observations:
        outcome = merge_observations(job, [seen])
        told += [event.status for event in outcome.events if event.status]
        job = outcome.job
    return job, told


def final_record(job: Job) -> tuple[object, ...]:
    return (job.status, job.created_at, job.started_at, job.completed_at, job.cost_usd, job.error_message)


def test_late_running_never_reopens_a_completed_job() -> None:
    done = merge_observations(a_job(), [an_observation(status=JobStatus.COMPLETED)]).job
    late = merge_observations(done, [an_observation(status=JobStatus.RUNNING)])
    assert late.job == done
    assert late.events == ()


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_no_order_of_looks_changes_an_end_or_lowers_a_rank(length: int) -> None:
    """I1, I2, I3: every sequence of up to five statuses, which holds every permutation of every multiset."""
    for statuses in product(PROVIDER_STATUSES, repeat=length):
        job = a_job()
        first_end = next((status for status in statuses if status.is_terminal), None)
        rank = job.status.rank
        for status in statuses:
            job = merge_observations(job, [an_observation(status=status)]).job
            assert job.status.rank >= rank
            rank = job.status.rank
        if first_end is not None:
            assert job.status is first_end


@pytest.mark.parametrize("end", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_agreeing_looks_in_any_order_give_one_end_and_one_record(end: JobStatus) -> None:
    """I5, with the two shapes of the provider: missing fields, and creation times that differ by milliseconds."""
    looks = (
        an_observation(status=JobStatus.QUEUED),
        an_observation(status=JobStatus.RUNNING, created_at=NOON - timedelta(milliseconds=7)),
        an_observation(status=end),
        an_observation(status=end, billed_seconds=None, started_at=None, error=None),
        an_observation(status=end, completed_at=None, created_at=NOON + timedelta(milliseconds=3)),
    )
    records = set()
    for order in permutations(looks):
        job, told = merge_one_by_one(a_job(), order)
        assert sum(status.is_terminal for status in told) == 1
        records.add(final_record(job))
        folded = merge_observations(a_job(), order)
        assert final_record(folded.job) == final_record(job)
        assert [event.status for event in folded.events] == told
    assert len(records) == 1


def test_a_second_different_end_is_counted_and_not_applied() -> None:
    done = merge_observations(a_job(), [an_observation(status=JobStatus.FAILED)]).job
    outcome = merge_observations(done, [an_observation(status=JobStatus.COMPLETED, output_url="https://example.org/x")])
    assert outcome.terminal_conflicts == 1
    assert outcome.job == done


@given(st.text(max_size=200))
def test_an_unknown_word_changes_no_status_and_is_kept(word: str) -> None:
    outcome = merge_observations(a_job(), [an_observation(status=None, provider_status=word)])
    assert outcome.job.status is JobStatus.QUEUED
    assert outcome.events == ()
    assert outcome.unknown_statuses == 1
    if word and len(word.encode("utf-8", "replace")) <= 120:
        assert outcome.job.provider_status == word


def test_an_unknown_word_alone_creates_no_job() -> None:
    assert first_observed([an_observation(status=None)], H100) is None


def test_seven_days_of_unknown_words_make_a_job_lost_and_a_known_one_brings_it_back() -> None:
    job = a_job()
    for day in range(8):
        seen = an_observation(status=None, observed_at=NOON + timedelta(days=day))
        job = merge_observations(job, [seen]).job
    assert job.is_lost
    back = merge_observations(job, [an_observation(status=JobStatus.COMPLETED)]).job
    assert not back.is_lost
    assert back.status is JobStatus.COMPLETED


def test_a_job_lost_by_an_unknown_word_notes_a_look_an_hour_and_nothing_else() -> None:
    job = a_job()
    for seconds in (0, 604_800):
        job = merge_observations(job, [an_observation(status=None, observed_at=after(seconds))]).job
    assert (job.is_lost, job.absence.last_miss_at) == (True, after(604_800))
    again = merge_observations(job, [an_observation(status=None, observed_at=after(604_800 + 3599))]).job
    assert again == job
    later = merge_observations(job, [an_observation(status=None, observed_at=after(604_800 + 3600))]).job
    assert later == replace(job, absence=replace(job.absence, last_miss_at=after(604_800 + 3600)))


def test_a_miss_that_a_wrong_clock_put_into_the_future_stops_no_counting() -> None:
    def missed(job: Job, seconds: float) -> Job:
        return merge_observations(job, [an_observation(found=False, status=None, observed_at=after(seconds))]).job

    assert missed(missed(missed(a_job(), 86_400), 0), 61).is_lost
    assert missed(missed(a_job(), 10), 0).absence.misses == 1


def test_three_spaced_404s_make_a_job_lost_and_close_ones_do_not() -> None:
    def missed(job: Job, seconds: float) -> Job:
        return merge_observations(job, [an_observation(found=False, status=None, observed_at=after(seconds))]).job

    close = missed(missed(missed(a_job(), 0), 1), 2)
    assert not close.is_lost
    assert close.absence.misses == 1
    spaced = missed(missed(missed(a_job(), 0), 61), 122)
    assert spaced.is_lost
    assert spaced.status is JobStatus.QUEUED
    assert merge_observations(spaced, [an_observation(status=JobStatus.RUNNING)]).job.absence.misses == 0


def test_a_404_never_touches_a_finished_job() -> None:
    done = merge_observations(a_job(), [an_observation(status=JobStatus.COMPLETED)]).job
    assert merge_observations(done, [an_observation(found=False, status=None)]).job == done


def test_a_cost_follows_measured_time_and_never_falls() -> None:
    done = merge_observations(a_job(), [an_observation(status=JobStatus.COMPLETED)]).job
    assert done.cost_usd == Decimal("0.823500")
    less = merge_observations(done, [an_observation(status=JobStatus.COMPLETED, billed_seconds=Decimal(1))]).job
    assert less.cost_usd == done.cost_usd
    more = merge_observations(done, [an_observation(status=JobStatus.COMPLETED, billed_seconds=Decimal(600))]).job
    assert more.cost_usd == Decimal("0.915000")


@pytest.mark.parametrize(
    ("seconds", "amount", "cost"),
    [
        (Decimal(0), None, Decimal(0)),
        (Decimal(60), None, Decimal("0.0915")),
        (None, Decimal("1.25"), Decimal("1.25")),
        (None, Decimal(0), Decimal(0)),
    ],
)
def test_a_cost_is_what_the_provider_bills(
    seconds: Decimal | None, amount: Decimal | None, cost: Decimal | None
) -> None:
    failed = an_observation(status=JobStatus.FAILED, billed_seconds=seconds, billed_usd=amount)
    job = merge_observations(a_job(), [failed]).job
    assert (job.cost_usd, job.is_cost_estimated) == (cost, False)


ENDS = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)
RAN_540_SECONDS = Decimal("0.823500")


def without_figure(status: JobStatus, **fields: Any) -> Observation:
    return an_observation(status=status, billed_seconds=None, **fields)


@pytest.mark.parametrize("end", ENDS)
def test_an_end_without_a_figure_costs_its_time_until_one_comes(end: JobStatus) -> None:
    """I46: the figure counts whether it is more or less, and no later look without one takes it away."""
    running = merge_observations(a_job(), [an_observation(status=JobStatus.RUNNING)]).job
    ended = merge_observations(running, [without_figure(end)])
    assert (ended.job.cost_usd, ended.job.is_cost_estimated) == (RAN_540_SECONDS, True)
    assert ended.events[-1].cost_usd == RAN_540_SECONDS
    for seconds in (Decimal(530), Decimal(550)):
        figure = an_observation(status=end, billed_seconds=seconds)
        for order in ([figure], [figure, without_figure(end, observed_at=after(90_000))]):
            told = merge_observations(ended.job, order)
            assert (told.job.cost_usd, told.job.is_cost_estimated) == (seconds * H100.price_per_second, False)
            assert told.events == ()


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    "odd",
    [
        {"completed_at": None},
        {"completed_at": after(59)},
        {"completed_at": after(60)},
        {"completed_at": after(60 + 367 * 86_400)},
        {"completed_at": None, "started_at": None},
    ],
)
def test_an_end_at_no_time_that_can_be_costs_what_was_shown(end: JobStatus, odd: dict[str, Any]) -> None:
    """I46"""
    running = merge_observations(a_job(), [an_observation(status=JobStatus.RUNNING)]).job
    ended = merge_observations(running, [without_figure(end, observed_at=after(1200), **odd)]).job
    assert (ended.cost_usd, ended.is_cost_estimated) == (running.cost_at(after(1200)), True)
    again = merge_observations(ended, [without_figure(end, observed_at=after(9000), **odd)]).job
    assert again == ended
    found = merge_observations(a_job(), [without_figure(end, observed_at=after(1200), **odd)]).job
    assert (found.cost_usd, found.is_cost_estimated) == (None, False), "of what was never seen running nobody knows"


@pytest.mark.parametrize("told", [{"billed_seconds": Decimal(-5)}, {"billed_usd": Decimal("-0.01")}])
def test_a_figure_below_nothing_is_none(told: dict[str, Any]) -> None:
    ended = an_observation(status=JobStatus.FAILED, **{"billed_seconds": None, **told})
    job = merge_observations(a_job(), [ended]).job
    assert (job.cost_usd, job.is_cost_estimated) == (RAN_540_SECONDS, True)


def test_a_lost_job_that_comes_back_ended_costs_what_it_cost_when_it_was_lost() -> None:
    running = merge_observations(a_job(), [an_observation(status=JobStatus.RUNNING)]).job
    lost = replace(running, absence=Absence(misses=3, lost_at=after(160)))
    ended = merge_observations(lost, [without_figure(JobStatus.FAILED, completed_at=None, observed_at=after(9000))]).job
    assert ended.cost_usd == Decimal("0.152500")


def test_an_estimate_follows_what_is_known_of_start_and_end_in_any_order() -> None:
    looks = (
        without_figure(JobStatus.FAILED, completed_at=after(601)),
        without_figure(JobStatus.FAILED, completed_at=after(600), started_at=after(61)),
        without_figure(JobStatus.FAILED, started_at=None, error=None),
        without_figure(JobStatus.FAILED, started_at=after(60), completed_at=after(605)),
    )
    costs = {merge_one_by_one(a_job(), order)[0].cost_usd for order in permutations(looks)}
    assert costs == {RAN_540_SECONDS}


def test_a_job_that_never_began_costs_nothing_that_anybody_knows() -> None:
    cancelled = merge_observations(a_job(), [without_figure(JobStatus.CANCELLED, started_at=None)]).job
    assert (cancelled.cost_usd, cancelled.is_cost_estimated) == (None, False)


def test_a_start_in_another_century_makes_no_cost() -> None:
    odd = merge_observations(a_job(), [an_observation(started_at=NOON - timedelta(days=9000))]).job
    assert odd.cost_at(after(1)) is None


@pytest.mark.parametrize(
    ("fields", "has_run"),
    [
        ({"started_at": None}, False),
        ({"started_at": after(60)}, True),
        ({"started_at": after(60), "completed_at": after(60) + timedelta(microseconds=3)}, False),
        ({"started_at": after(60), "completed_at": after(61)}, True),
        ({"started_at": None, "transitions": (Transition(JobStatus.RUNNING, NOON),)}, True),
    ],
)
def test_whether_a_job_may_have_written_anything(fields: dict[str, Any], has_run: bool) -> None:
    assert a_job(**fields).has_run is has_run


@pytest.mark.parametrize(
    ("told", "ours", "covered"),
    [
        (None, "https://us.example/hook", False),
        ("https://us.example/hook", "https://us.example/hook", True),
        ("https://us.example/hook?job=abc", "https://us.example/hook", True),
        ("https://us.example/hook?a=b&job=abc", "https://us.example/hook?a=b", True),
        ("https://us.example/hooked", "https://us.example/hook", False),
        ("https://us.example.evil.example/hook", "https://us.example", False),
        ("https://elsewhere.example/", None, False),
    ],
)
def test_only_a_webhook_to_our_own_address_covers_a_job(told: str | None, ours: str | None, covered: bool) -> None:
    job = merge_observations(a_job(), [an_observation(webhook_url=told)], our_webhook_url=ours).job
    assert job.webhook_covered is covered
    assert merge_observations(job, [an_observation()], our_webhook_url=None).job.webhook_covered is covered


def test_a_found_job_whose_id_is_taken_has_one_of_its_own_and_its_providers_times() -> None:
    found = first_observed([an_observation("xyz98765abcd")], H100, is_id_taken=True)
    assert found is not None
    assert (found.job.external_id, len(found.job.job_id)) == ("xyz98765abcd", 26)
    assert found.job.job_id != "xyz98765abcd"
    earlier = an_observation("xyz98765abcd", created_at=after(-5))
    assert merge_observations(found.job, [earlier]).job.created_at == after(-5)


def test_a_running_job_costs_what_has_elapsed_and_stands_still_when_lost() -> None:
    running = merge_observations(a_job(), [an_observation(status=JobStatus.RUNNING)]).job
    assert running.cost_usd is None
    assert running.cost_at(after(160)) == Decimal("0.152500")
    lost = replace(running, absence=replace(running.absence, lost_at=after(160)))
    assert lost.cost_at(after(99_999)) == Decimal("0.152500")


def test_an_end_before_the_start_gives_a_duration_of_zero() -> None:
    odd = an_observation(status=JobStatus.COMPLETED, started_at=after(10), completed_at=after(5))
    assert merge_observations(a_job(), [odd]).job.duration_seconds(after(99)) == 0


def test_a_start_and_an_end_seen_at_once_are_two_events_whose_old_and_new_meet() -> None:
    outcome = merge_observations(
        a_job(), [an_observation(status=JobStatus.RUNNING), an_observation(status=JobStatus.COMPLETED)]
    )
    pairs = [(event.previous_status, event.status) for event in outcome.events]
    assert pairs == [(JobStatus.QUEUED, JobStatus.RUNNING), (JobStatus.RUNNING, JobStatus.COMPLETED)]
    assert outcome.events[-1].cost_usd == outcome.job.cost_usd


def test_a_discovered_job_has_no_previous_status_and_the_providers_id() -> None:
    found = first_observed([an_observation("xyz98765abcd", JobStatus.RUNNING)], H100)
    assert found is not None
    assert found.job.job_id == found.job.external_id == "xyz98765abcd"
    assert [event.previous_status for event in found.events] == [None]


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    status = draw(st.sampled_from(PROVIDER_STATUSES))
    seen = an_observation(status=status)
    blank = draw(st.sets(st.sampled_from(["started_at", "completed_at", "billed_seconds", "error", "created_at"])))
    return replace(seen, **dict.fromkeys(blank))  # type: ignore[arg-type]


@given(st.lists(observations(), max_size=6))
def test_merging_again_changes_nothing_and_nothing_known_is_erased(looks: list[Observation]) -> None:
    """I6."""
    job = a_job()
    for seen in looks:
        merged = merge_observations(job, [seen]).job
        for name in ("started_at", "completed_at", "cost_usd", "error_message", "billed_seconds", "queued_at"):
            assert getattr(job, name) is None or getattr(merged, name) is not None
        assert merge_observations(merged, [seen]).job == merged
        assert job.cost_usd is None or job.is_cost_estimated or (merged.cost_usd or 0) >= job.cost_usd
        assert job.is_cost_estimated or not merged.is_cost_estimated or job.cost_usd is None
        job = merged
