"""Jobs and events as items: nothing lost, nothing a float, never more than two kilobytes."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.dynamo.fill_transactions import MAX_ITEMS, fill_transactions
from shared.adapters.dynamo.items import (
    MAX_JOB_ITEM_BYTES,
    MAX_METADATA_BYTES,
    created_key,
    decode_commit,
    decode_head,
    decode_job,
    encode_commit,
    encode_job,
    encode_new_head,
    epoch_seconds,
    exact_seconds,
    is_live,
    item_bytes,
    micros,
    moment_of,
)
from shared.adapters.providers.replicate.profile import KINDS, PREDICTION
from shared.domain.change import JobChange
from shared.domain.errors import ChangeTooLargeError
from shared.domain.event import JobDeleted, JobEvent, JobStatusChanged, LoggedEvent, deletion_event, status_event
from shared.domain.job import (
    MAX_ERROR_LENGTH,
    MAX_NAME_LENGTH,
    MAX_TRANSITIONS,
    MAX_URL_LENGTH,
    Absence,
    Job,
    JobStatus,
    Transition,
)
from tests.builders import NOON, a_job, after

moments = st.timedeltas(timedelta(days=-10_000), timedelta(days=60_000)).map(lambda distance: NOON + distance)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
money = st.decimals(min_value=0, max_value=10**6, places=6)
ids = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
statuses = st.sampled_from(list(JobStatus))
jobs = st.builds(
    Job,
    job_id=ids,
    provider=st.sampled_from(["replicate", "elsewhere"]),
    status=statuses,
    created_at=moments,
    hardware_type=texts,
    price_per_second=money,
    external_id=st.none() | ids,
    kind=st.sampled_from(KINDS),
    version=st.integers(0, 10**9),
    config_name=st.none() | texts,
    queued_at=st.none() | moments,
    started_at=st.none() | moments,
    completed_at=st.none() | moments,
    billed_seconds=st.none() | money,
    cost_usd=st.none() | money,
    is_cost_estimated=st.booleans(),
    error_message=st.none() | texts,
    output_url=st.none() | texts,
    user_id=st.none() | texts,
    model=st.none() | texts,
    provider_status=st.none() | texts,
    webhook_covered=st.booleans(),
    cancel_requested_at=st.none() | moments,
    absence=st.builds(
        Absence,
        misses=st.integers(0, 3),
        last_miss_at=st.none() | moments,
        unknown_since=st.none() | moments,
        lost_at=st.none() | moments,
    ),
    metadata=st.dictionaries(texts.filter(lambda key: len(key) < 5), st.booleans() | st.none(), max_size=3),
    transitions=st.lists(st.builds(Transition, status=statuses, at=moments), max_size=5).map(tuple),
)


def longest_job() -> Job:
    """Every field at the longest that the domain lets through."""
    far = timedelta(days=100, microseconds=1)
    return a_job(
        "j" * 64,
        JobStatus.UPLOADING,
        external_id="e" * 64,
        kind=PREDICTION,
        version=10**6,
        hardware_type="h" * 40,
        config_name="c" * MAX_NAME_LENGTH,
        queued_at=NOON + far,
        started_at=NOON + far,
        completed_at=NOON + far,
        billed_seconds=Decimal("1234567.123456"),
        cost_usd=Decimal("123456.123456"),
        is_cost_estimated=True,
        error_message="é" * (MAX_ERROR_LENGTH // 2),
        output_url="u" * MAX_URL_LENGTH,
        user_id="a" * 64,
        model="m" * MAX_NAME_LENGTH,
        provider_status="p" * MAX_NAME_LENGTH,
        webhook_covered=True,
        cancel_requested_at=NOON + far,
        absence=Absence(3, NOON + far, NOON + far, NOON + far),
        metadata={"k": "m" * (MAX_METADATA_BYTES - len('{"k":""}'))},
        transitions=(Transition(JobStatus.RUNNING, NOON + far),) * MAX_TRANSITIONS,
    )


@given(jobs)
def test_a_job_survives_its_item(job: Job) -> None:
    assert decode_job(encode_job(job)) == job


events = st.one_of(
    st.builds(
        JobStatusChanged,
        job_id=ids,
        provider=st.just("replicate"),
        at=moments,
        status=statuses,
        previous_status=st.none() | statuses,
        config_name=st.none() | texts,
        cost_usd=st.none() | money,
        error_message=st.none() | texts,
        started_at=st.none() | moments,
        completed_at=st.none() | moments,
    ),
    st.builds(
        JobDeleted,
        job_id=ids,
        provider=st.just("replicate"),
        at=moments,
        previous_status=statuses,
        config_name=st.none() | texts,
    ),
)


def test_what_was_billed_is_read_under_its_earlier_name() -> None:
    item = encode_job(longest_job())
    job = decode_job(item)
    item["predict_seconds"] = item.pop("billed_seconds")
    assert decode_job(item) == job


@given(st.lists(events, min_size=1, max_size=5), st.integers(1, 10**15))
def test_the_events_of_a_commit_survive_their_item(committed: list[JobEvent], first: int) -> None:
    item = encode_commit(first, committed, 1)
    assert item["seq"] == {"N": str(first + len(committed) - 1)}
    assert list(decode_commit(item)) == [LoggedEvent(first + place, event) for place, event in enumerate(committed)]


def test_an_item_that_is_one_change_by_itself_is_read_as_a_commit_of_one() -> None:
    event = status_event(longest_job(), None)
    of_commit = encode_commit(7, [event], 1)
    by_itself = {**of_commit["events"]["L"][0]["M"], "log": of_commit["log"], "seq": of_commit["seq"]}
    assert list(decode_commit(by_itself)) == [LoggedEvent(7, event)]


def test_a_commit_names_the_jobs_that_ended_in_it_each_once_and_no_other() -> None:
    running, done = a_job("job-running"), longest_job()
    ended = replace(a_job("job-ended"), status=JobStatus.CANCELLED)
    told: list[JobEvent] = [
        status_event(running, None),
        status_event(ended, None),
        deletion_event(done, NOON),
        status_event(ended, None),
    ]
    assert encode_commit(1, told, 1)["ended"] == {"S": "job-ended"}
    assert "ended" not in encode_commit(1, [status_event(running, None), deletion_event(done, NOON)], 1)


def test_the_events_of_the_fullest_commit_stay_under_350_kilobytes() -> None:
    """I42: with every field at its largest, as many changes as are handed out at once."""
    job = replace(
        longest_job(), config_name="\U0001f4a5" * MAX_NAME_LENGTH, error_message="\U0001f4a5" * MAX_ERROR_LENGTH
    )
    jobs = [replace(job, job_id=f"{number:064d}") for number in range(MAX_ITEMS)]
    changes = [JobChange(before=one, after=one, events=(status_event(one, JobStatus.RUNNING),) * 3) for one in jobs]
    batches = list(fill_transactions(changes))
    sizes = [
        item_bytes(encode_commit(10**15, [one for change in batch for one in change.events], 10**10))
        for batch in batches
    ]
    assert sum(map(len, batches)) == MAX_ITEMS
    assert max(sizes) < 350_000


def test_the_longest_job_fits_two_kilobytes() -> None:
    assert item_bytes(encode_job(longest_job())) <= MAX_JOB_ITEM_BYTES


def test_only_the_error_message_gives_way_and_is_cut_between_characters() -> None:
    job = longest_job()
    read = decode_job(encode_job(job))
    assert read == replace(job, error_message=read.error_message)
    assert job.error_message is not None
    assert job.error_message.startswith(read.error_message or "é")


def test_an_ordinary_error_message_is_kept_whole() -> None:
    job = replace(a_job(), error_message="x" * MAX_ERROR_LENGTH, output_url="u" * MAX_URL_LENGTH)
    assert decode_job(encode_job(job)) == job


def test_metadata_that_is_too_large_is_refused_with_the_limit() -> None:
    with pytest.raises(ChangeTooLargeError, match="256 bytes"):
        encode_job(replace(a_job(), metadata={"k": "x" * MAX_METADATA_BYTES}))


def test_half_a_surrogate_pair_from_outside_does_not_make_a_job_unstorable() -> None:
    job = a_job(error_message="broken \ud800 text", model="\udfff", metadata={"k": "\ud83d"})
    read = decode_job(encode_job(job))
    assert (read.error_message, read.model, read.metadata) == ("broken ? text", "?", {"k": "?"})


def test_null_fields_are_left_out() -> None:
    item = encode_job(a_job(external_id=None, transitions=()))
    assert not {"external_id", "error_message", "lost_at", "metadata", "transitions"} & set(item)


def test_sort_keys_are_in_the_order_of_time() -> None:
    moments_in_order = [NOON, after(0.000001), after(0.1), after(1), after(10**6)]
    keys = [created_key(a_job(created_at=moment)) for moment in moments_in_order]
    assert keys == sorted(keys)


@given(moments)
def test_moments_keep_their_microseconds(moment: datetime) -> None:
    assert moment_of(micros(moment)) == moment
    assert epoch_seconds(moment) == math.ceil(Decimal(micros(moment)) / 10**6)
    assert Decimal(exact_seconds(moment)["N"]) == Decimal(micros(moment)) / 10**6


def test_an_item_lives_until_its_expiry_and_not_at_it() -> None:
    item = {"expires_at": {"N": str(epoch_seconds(NOON))}}
    assert is_live(item, after(-0.000001))
    assert not is_live(item, NOON)
    assert is_live({}, NOON)


def test_a_new_head_reads_as_begun_and_its_counts_are_flat() -> None:
    item: dict[str, Any] = {**encode_new_head("abc"), "n#replicate#running": {"N": "2"}, "n#x#failed": {"N": "0"}}
    head = decode_head(item)
    assert (head.epoch, head.seq, head.first_kept) == ("abc", 0, 1)
    assert head.counts == {("replicate", JobStatus.RUNNING): 2}
