"""A simulated job is a pure function of its parameters and the time."""

import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.simulators.replicate.clock import NANOSECONDS, StandingClock
from infra.simulators.replicate.job_log import job_log
from infra.simulators.replicate.jobs import Ending, LogStyle, Shape, SimulatedJob, SimulatedKind, Status, view
from infra.simulators.replicate.progress_bar import bar
from infra.simulators.replicate.wire import cold_time, encode, hot_time, job_body, list_item, parse_time

CREATED = 1_767_225_600 * NANOSECONDS
STEP_BAR = re.compile(
    r"^Epoch (\d+)/10, Steps:\s+(\d+)%\|.*\| (\d+)/2000 \[[\d:]+<[\d:]+, .*lr=0\.0001, step_loss=[\d.]+\]$"
)


def a_job(**changes: object) -> SimulatedJob:
    job = SimulatedJob(
        id="qy2dts8twsrj20cjjnc87atzd0",
        kind=SimulatedKind.PREDICTION,
        model="simpletuner/advanced-trainer-h100",
        version="a" * 64,
        created_ns=CREATED,
        boot_seconds=10.0,
        run_seconds=100.0,
        output="https://huggingface.co/someone/lora",
        seed=17,
    )
    return replace(job, **changes)  # type: ignore[arg-type]


def at(seconds: float) -> int:
    return CREATED + int(seconds * NANOSECONDS)


def test_cold_boot_counts_neither_as_run_nor_as_billable_time() -> None:
    job = a_job()
    assert view(job, at(9.9)).status is Status.STARTING
    assert view(job, at(10.1)).status is Status.PROCESSING
    body = job_body(job, view(job, at(200)), shape=Shape.COLD, origin="http://x")
    assert body["metrics"] == {"predict_time": 100.0, "total_time": 109.983}


def test_log_is_empty_while_a_job_boots() -> None:
    job = a_job()
    assert job_log(job, view(job, at(9.9))) == ""
    assert job_log(job, view(job, at(10.1))).startswith("[COG] Webhook receiver started")


@given(
    moments=st.lists(st.floats(0, 300), min_size=2, max_size=8).map(sorted),
    style=st.sampled_from(LogStyle),
    outcome=st.sampled_from([Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.ABORTED]),
    reaches=st.floats(0, 1),
    ended_at=st.none() | st.floats(0, 200),
)
def test_log_only_ever_grows(
    moments: list[float], style: LogStyle, outcome: Status, reaches: float, ended_at: float | None
) -> None:
    job = a_job(log_style=style, outcome=outcome, error="boom", reaches=reaches)
    if ended_at is not None:
        job = replace(job, ending=Ending(at(ended_at), Status.FAILED, "boom"))
    logs = [job_log(job, view(job, at(moment))) for moment in moments]
    assert all(later.startswith(earlier) for earlier, later in pairwise(logs))


def test_log_of_the_same_job_is_the_same_in_another_process() -> None:
    job = a_job()
    seen = view(job, at(60))
    assert job_log(job, seen) == job_log(replace(job), seen)
    assert job_log(job, seen) != job_log(a_job(seed=18), seen)


def test_trainer_log_shows_steps_checkpoints_and_validation_in_order() -> None:
    job = a_job()
    lines = job_log(job, view(job, at(200))).splitlines()
    steps = [int(found[3]) for line in lines if (found := STEP_BAR.match(line))]
    assert steps == sorted(steps)
    assert steps[-1] == 2000
    whole = "\n".join(lines)
    expected = (
        "[STAGE] ⏳ Loading base model",
        "Processing bucket 1.0: 100%",
        "***** Running training *****",
        "[INFO] Checkpoint: `Step 500 of 2000: loss ",
        "[STAGE] ✓ Saving Checkpoint",
        "[STAGE] ⏳ Running Validation",
        "Exiting training loop",
        "=== debug.log tail ===",
        "Model published to: https://huggingface.co/someone/lora",
    )
    places = [whole.index(text) for text in expected]
    assert places == sorted(places)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 399, 401, 100_000])
def test_any_number_of_steps_ends_with_the_last_one_and_a_bounded_log(steps: int) -> None:
    job = a_job(steps=steps)
    log = job_log(job, view(job, at(200)))
    assert f"| {steps}/{steps} [" in log
    assert len(log) < 120_000


def test_bar_is_as_wide_as_tqdm_makes_it() -> None:
    line = bar("Epoch 3/10, Steps", 500, 2000, 655, postfix=", lr=0.0001, step_loss=0.197")
    assert line.startswith("Epoch 3/10, Steps:  25%|████████▎   ")
    assert line.endswith("| 500/2000 [10:55<32:45,  1.31s/it, lr=0.0001, step_loss=0.197]")
    assert len(line) == 120


def test_deadline_aborts_a_queued_job_and_cancels_a_running_one() -> None:
    queued = view(a_job(deadline_ns=at(5)), at(6))
    assert (queued.status, queued.started_ns, queued.completed_ns) == (Status.ABORTED, None, at(5))
    running = view(a_job(deadline_ns=at(50)), at(60))
    assert (running.status, running.completed_ns) == (Status.CANCELED, at(50))


def test_late_cancel_never_changes_a_job_that_ended_by_itself() -> None:
    job = a_job(ending=Ending(at(150), Status.CANCELED))
    assert view(job, at(200)).status is Status.SUCCEEDED


def test_cancel_before_the_start_leaves_three_microseconds_of_run() -> None:
    job = a_job(ending=Ending(at(2), Status.CANCELED))
    body = job_body(job, view(job, at(3)), shape=Shape.COLD, origin="http://x")
    assert body["metrics"] == {"predict_time": 3e-06, "total_time": 1.983}
    assert body["logs"] is None


def test_hot_shape_leaves_out_what_is_not_known_yet() -> None:
    job = a_job()
    body = job_body(job, view(job, at(5)), shape=Shape.HOT, origin="http://x")
    assert next(iter(body)) == "id"
    assert not {"started_at", "completed_at", "metrics", "source"} & body.keys()
    assert (body["output"], body["logs"], body["data_removed"]) == (None, "", False)


def test_cold_shape_says_null_for_what_is_not_known_yet() -> None:
    body = job_body(a_job(), view(a_job(), at(5)), shape=Shape.COLD, origin="http://x")
    assert (body["started_at"], body["completed_at"], body["logs"], body["metrics"]) == (None, None, None, {})


def test_aborted_and_metricless_failures_have_no_metrics_key() -> None:
    for job in (a_job(outcome=Status.ABORTED), a_job(outcome=Status.FAILED, has_metrics=False, error="E9243")):
        for shape in (Shape.HOT, Shape.COLD):
            assert "metrics" not in job_body(job, view(job, at(500)), shape=shape, origin="http://x")


def test_list_item_has_no_logs_and_a_training_no_data_removed() -> None:
    prediction = list_item(a_job(), view(a_job(), at(60)), origin="http://x")
    assert "logs" not in prediction
    assert prediction["data_removed"] is False
    training = list_item(a_job(kind=SimulatedKind.TRAINING), view(a_job(), at(60)), origin="http://x")
    assert "data_removed" not in training
    assert training["urls"] == {
        "cancel": "http://x/v1/trainings/qy2dts8twsrj20cjjnc87atzd0/cancel",
        "get": "http://x/v1/trainings/qy2dts8twsrj20cjjnc87atzd0",
        "web": "https://replicate.com/p/qy2dts8twsrj20cjjnc87atzd0",
    }


def test_times_have_as_many_digits_as_each_back_end_writes() -> None:
    assert hot_time(CREATED) == "2026-01-01T00:00:00Z"
    assert hot_time(CREATED + 360_785_140) == "2026-01-01T00:00:00.36078514Z"
    assert cold_time(CREATED + 360_785_140) == "2026-01-01T00:00:00.360785Z"


@pytest.mark.parametrize(
    "text", ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00.000000000Z"]
)
def test_times_of_queries_are_read_in_any_zone_and_precision(text: str) -> None:
    assert parse_time(text) == CREATED


def test_raw_controls_are_invalid_strict_json_with_the_log_intact() -> None:
    logs = 'a "quoted" \\ line\nEpoch 1/10, Steps:  1%|▏\r'
    raw = encode({"id": "x", "logs": logs}, raw_controls=True).decode()
    with pytest.raises(json.JSONDecodeError):
        json.loads(raw)
    assert json.loads(raw, strict=False)["logs"] == logs + "\x1b[A\r"


def test_fake_clock_only_moves_forward() -> None:
    clock = StandingClock()
    before = clock.now_ns()
    clock.jump(1.5)
    assert clock.now_ns() - before == 1_500_000_000
    with pytest.raises(ValueError, match="forward"):
        clock.jump(-1)
