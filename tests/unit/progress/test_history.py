"""The loss curve: read from a whole log, thinned as it grows, the same whichever way it was gathered."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.progress import extend_history, history_pace, loss_history
from shared.progress.progress import HistoryPoint


def bar(step: int, loss: float, clock: str = "01:00", total: int = 2000) -> str:
    return f"steps:  {100 * step // total:2d}%|██▌   | {step}/{total} [{clock}<30:00,  1.20s/it, avr_loss={loss}]"


def straight(count: int) -> list[HistoryPoint]:
    return [HistoryPoint(float(step), step, 1 / step) for step in range(1, count + 1)]


def test_every_bar_with_a_loss_is_a_point_at_the_bars_own_clock() -> None:
    log = "\n".join([bar(1, 0.5, "00:02"), bar(2, 0.4, "00:04"), bar(3, 0.3, "1:00:06")])

    assert loss_history(log) == (HistoryPoint(2, 1, 0.5), HistoryPoint(4, 2, 0.4), HistoryPoint(3606, 3, 0.3))


def test_a_record_takes_step_and_clock_of_the_bar_before_it() -> None:
    log = "  1%|      | 10/1000 [00:20<30:00,  2.0s/it]\n{'loss': 0.9, 'learning_rate': 1e-05, 'epoch': 0.01}\n"

    assert loss_history(log) == (HistoryPoint(20, 10, 0.9),)


def test_text_steps_without_a_clock_are_points_without_a_time() -> None:
    log = "Step 1500/5000 - loss: 0.0234\nSaving checkpoint\nStep 1510/5000 - loss: 0.0230"

    assert loss_history(log) == (HistoryPoint(None, 1500, 0.0234), HistoryPoint(None, 1510, 0.023))


def test_records_without_any_step_are_numbered() -> None:
    log = "{'loss': 0.9, 'epoch': 0.1}\n{'loss': 0.8, 'epoch': 0.2}"

    assert [(point.step, point.loss) for point in loss_history(log)] == [(1, 0.9), (2, 0.8)]


def test_losses_of_validation_and_losses_that_are_no_numbers_are_no_points() -> None:
    log = "\n".join(
        [
            bar(1, 0.5),
            "validation steps: 100%|████| 16/16 [00:11<00:00,  1.43it/s, val_epoch_avg_loss=0.0899]",
            "{'eval_loss': 0.7, 'eval_runtime': 5.1}",
            "steps:   1%|█  | 20/2000 [01:10<30:00,  1.20s/it, avr_loss=nan]",
        ]
    )

    assert [point.step for point in loss_history(log)] == [1]


def test_a_clock_that_starts_anew_goes_on_where_it_was() -> None:
    log = "\n".join([bar(500, 0.5, "10:00"), bar(510, 0.4, "00:12"), bar(520, 0.4, "00:24")])

    assert [point.t for point in loss_history(log)] == [600, 612, 624]


def test_steps_that_start_anew_in_each_epoch_count_on() -> None:
    def epoch_bar(epoch: int, step: int, clock: str) -> str:
        return f"Epoch {epoch}/3:  50%|██▌   | {step}/10 [{clock}<00:10,  1.0it/s, loss=0.5]"

    log = "\n".join([epoch_bar(1, 5, "00:05"), epoch_bar(1, 10, "00:10"), epoch_bar(2, 5, "00:05")])

    assert [(point.t, point.step) for point in loss_history(log)] == [(5, 5), (10, 10), (15, 15)]


def test_a_run_resumed_at_an_earlier_checkpoint_overwrites_the_steps_it_repeats() -> None:
    log = "\n".join([bar(500, 0.5), bar(510, 0.4), bar(500, 0.3), bar(510, 0.2)])

    assert [(point.step, point.loss) for point in loss_history(log)] == [(500, 0.3), (510, 0.2)]


@pytest.mark.parametrize("count", [499, 500, 501, 999, 5000, 50_000])
def test_a_long_curve_keeps_first_and_last_and_even_spacing(count: int) -> None:
    curve = extend_history((), straight(count), 500)

    assert min(count, 245) <= len(curve) <= 500
    assert (curve[0].step, curve[-1].step) == (1, count)
    gaps = {following.step - this.step for this, following in pairwise(curve[1:-1])}
    assert len(gaps) == 1


def test_a_curve_that_grew_point_by_point_is_the_one_read_at_once() -> None:
    grown: tuple[HistoryPoint, ...] = ()
    for point in straight(3000):
        grown = extend_history(grown, [point], 100)

    assert grown == extend_history((), straight(3000), 100)


@given(
    steps=st.lists(st.integers(0, 10_000), max_size=200),
    cut=st.integers(0, 200),
    limit=st.integers(0, 60),
)
def test_any_curve_stays_within_its_limit_in_order_and_with_its_ends(steps: list[int], cut: int, limit: int) -> None:
    points = [HistoryPoint(None, step, 0.1) for step in steps]

    curve = extend_history(extend_history((), points[:cut], limit), points[cut:], limit)

    assert len(curve) <= limit
    assert all(this.step < following.step for this, following in pairwise(curve))
    if steps and limit >= 2:
        assert (curve[0].step, curve[-1].step) == (min(steps), max(steps))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_any_text_has_a_history(log: str) -> None:
    assert len(loss_history(log * 3)) <= 500


@pytest.mark.parametrize(
    ("points", "pace"),
    [
        ([], None),
        ([HistoryPoint(1, 1, 0.5)], None),
        ([HistoryPoint(None, 1, 0.5), HistoryPoint(None, 2, 0.5)], None),
        ([HistoryPoint(10, 1, 0.5), HistoryPoint(10, 2, 0.5)], None),
        ([HistoryPoint(10, 100, 0.5), HistoryPoint(20, 150, 0.5)], 5.0),
    ],
)
def test_the_pace_is_that_of_the_newest_timed_points(points: list[HistoryPoint], pace: float | None) -> None:
    assert history_pace(points) == pace
