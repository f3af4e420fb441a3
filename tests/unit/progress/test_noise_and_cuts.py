"""What was told is found behind noise, and a line that is not yet whole says nothing that it may take back."""

from __future__ import annotations

import pytest

from shared.progress import read_progress
from shared.progress.progress import Stage

COUNTERS = {
    "Step 100/5000 - loss: 0.1": 2.0,
    "STEP 100/5000 LOSS 0.1": 2.0,
    "steps:   2%|▏ | 100/5000 [00:10<08:00, 1.2it/s]": 2.0,
    "Epoch [1/1] Batch [10/50] Loss: 4.6": 20.0,
    "Iter(train) [ 50/1000]  lr: 1e-4  loss: 0.3": 5.0,
    "[1/3][20/100] Loss_D: 0.3": 6.7,
    "Epoch 3/10": 30.0,
}
NOISE = ["GPU 0: 80C {} W", "noise", "", "retry {}", "Training on cuda:{}"]
TALK = "[warn] step skipped"


@pytest.mark.parametrize(
    ("noise", "lines"), [(TALK, 1_500), *((noise, lines) for noise in NOISE for lines in (799, 2_000, 30_000))]
)
@pytest.mark.parametrize(("counter", "percent"), COUNTERS.items())
def test_a_counter_behind_noise_is_found_at_the_first_look(
    counter: str, percent: float, lines: int, noise: str
) -> None:
    log = "\n".join([counter, *(noise.format(number) for number in range(lines))]) + "\n"

    progress = read_progress(log)

    assert (progress.stage, progress.percent) == (Stage.TRAINING, percent)


def test_a_total_announced_behind_noise_is_known() -> None:
    banner = "***** Running training *****\n  Total optimization steps = 1,000\n"

    noise = "noise\n" * 900
    log = f"{banner}{noise} 30%|███       | 300/1000 [01:00<02:20,  5.0it/s]\n"

    assert read_progress(log).percent == 30.0


WHOLE = "steps:  25%|██▌       | 500/2000 [10:00<30:00,  1.20s/it, avr_loss=0.09]"


@pytest.mark.parametrize(
    ("log", "percent", "epochs"),
    [
        ("Epoch 9/200: x\nEpoch 10/2", 4.5, 200),
        ("Epoch 9/200: x\nEpoch 1", 4.5, 200),
        ("Epoch 9 of 200: x\nEpoch 10 of 20", 4.5, 200),
        ("Step 90/2000 loss 0.4\nStep 100/20", 4.5, None),
        ("Step 90/2000 loss 0.4\nStep 1", 4.5, None),
        (f"{WHOLE}\nsteps:  25%|██▌       | 501/20", 25.0, None),
        (f"{WHOLE}\rsteps:  25%|██▌       | 50", 25.0, None),
        ("Epoch [9/200] Batch [100/180] Loss: 4.6495\nEpoch [9/200] Batch [110/1", 4.3, 200),
        ("Epoch [9/200] Batch [90/180] Loss: 4.6495\nEpoch [9/2", 4.2, 200),
    ],
)
def test_a_half_written_line_is_not_read_as_whole(log: str, percent: float, epochs: int | None) -> None:
    progress = read_progress(log)

    assert (progress.percent, progress.total_epochs) == (percent, epochs)


def test_a_half_written_total_is_not_remembered() -> None:
    before = read_progress("Epoch 9/200: x\nEpoch 10/2")

    assert read_progress("Epoch 10/200: y\n", before).percent == 5.0


def test_a_half_written_line_after_an_earlier_reading_is_not_read_as_whole() -> None:
    before = read_progress("Step 90/2000 loss 0.4\n")

    assert read_progress("Step 100/20", before).percent == 4.5


@pytest.mark.parametrize("half", ["4", "4.6", "4.649", "4.6495e-"])
def test_a_half_written_loss_gives_way_to_the_one_before(half: str) -> None:
    assert read_progress(f"step 1/9 loss: 4.6495\nstep 2/9 loss: {half}").loss == 4.6495


@pytest.mark.parametrize("end", ["", "\n", "\r"])
def test_a_whole_last_line_is_read_with_and_without_its_end(end: str) -> None:
    progress = read_progress(f"Step 90/2000 loss 0.41\nStep 100/2000 loss 0.39{end}")

    assert (progress.percent, progress.loss) == (5.0, 0.39)
