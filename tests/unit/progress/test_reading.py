"""The documented rules, the recorded examples, and what a later reading keeps of an earlier one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.domain.text import shorten_line
from shared.progress import pace_eta, read_progress
from shared.progress.progress import Progress, Stage

EXAMPLES = Path(__file__).parents[4] / "shared" / "logs"
STEP_BAR = "steps:  25%|██▌       | 500/2000 [10:00<30:00,  1.20s/it, avr_loss=0.09, lr=0.0001]"


def examples() -> list[Any]:
    found = sorted(EXAMPLES.glob("*.json"))
    if not found:
        return [pytest.param(None, marks=pytest.mark.skip(reason="the recorded logs are not beside this repository"))]
    return [pytest.param(path, id=path.stem) for path in found]


@pytest.mark.parametrize("path", examples())
def test_a_recorded_log_is_read_as_a_user_would(path: Path) -> None:
    example = json.loads(path.read_text(encoding="utf-8"))
    expected = example["expected"]

    progress = read_progress(example["log"])

    accepted = [(answer["stage"], answer["progress"]) for answer in (expected, *expected.get("also_acceptable", []))]
    assert any(progress.stage == stage and near(progress.percent, percent) for stage, percent in accepted), progress
    told = {"loss": progress.loss, "lr": progress.learning_rate, "eta_seconds": progress.eta_seconds}
    assert {key: value for key, value in told.items() if key in expected} == {
        key: None if expected[key] == "nan" else pytest.approx(expected[key]) for key in told if key in expected
    }


def near(percent: float | None, expected: float | None) -> bool:
    return percent == expected if percent is None or expected is None else abs(percent - expected) <= 0.1


@pytest.mark.parametrize(
    ("log", "stage", "percent"),
    [
        ("step 1500/5000", Stage.TRAINING, 30.0),
        ("epoch 3/10", Stage.TRAINING, 30.0),
        ("Step 1500/5000 - loss: 0.0234", Stage.TRAINING, 30.0),
        ("STEP 1,500 / 5,000", Stage.TRAINING, 30.0),
        ("preprocessing", Stage.PREPROCESSING, None),
        ("Loading the base model", Stage.PREPROCESSING, None),
        ("Preprocessing images 14/20", Stage.PREPROCESSING, None),
        ("warming up", Stage.WARMUP, None),
        ("Starting warmup", Stage.WARMUP, None),
        ("Warmup phase", Stage.WARMUP, None),
        ("Warmup step 5/100", Stage.WARMUP, None),
        ("Running validation", Stage.VALIDATION, None),
        ("Validating", Stage.VALIDATION, None),
        ("Validation", Stage.VALIDATION, None),
        ("Saving checkpoint", Stage.SAVING_CHECKPOINT, None),
        ("Checkpoint saved", Stage.SAVING_CHECKPOINT, None),
        ("checkpoint", Stage.SAVING_CHECKPOINT, None),
        ("training step", Stage.TRAINING, None),
        ("Starting epoch", Stage.TRAINING, None),
        ("Epoch finished", Stage.TRAINING, None),
        ("Validated 5 prompts", Stage.VALIDATION, None),
        ("validating", Stage.VALIDATION, None),
        ("Hello", None, None),
        ("", None, None),
        ("\n\n", None, None),
    ],
)
def test_the_words_and_patterns_of_the_seed_name_stage_and_percent(
    log: str, stage: Stage | None, percent: float | None
) -> None:
    progress = read_progress(log)

    assert (progress.stage, progress.percent) == (stage, percent)


@pytest.mark.parametrize(
    "line",
    [
        "disable_validation: False",
        "num_validation_images = 4",
        "  num validation images * repeats / 学習画像の数×繰り返し回数: 4",
        "gradient_checkpointing=True",
        "lr_warmup_steps: 100",
        "'warmup_steps': 100,",
        "token_warmup_step=0",
        "--validation_prompt 'a cat' --checkpointing_steps 500",
        "save_every_n_steps: 250",
        "save_steps: 50/100",
        "use_checkpoint=False",
        "eval_steps: 500",
        "UserWarning: torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly",
    ],
)
def test_a_setting_is_no_activity(line: str) -> None:
    assert replace(read_progress(line), last_log=None) == Progress()


@pytest.mark.parametrize(
    ("line", "percent"),
    [
        ("step 0/0", None),
        ("step 5/0", None),
        ("epoch 0/0", None),
        ("step 6000/5000", 100.0),
        ("step 99999/1", 100.0),
        ("step 0/5000", 0.0),
        (f"step {'9' * 5000}/5000", None),
        (f"step 5/{'9' * 5000}", None),
        ("steps: 900%|██| 9/1 [00:01<00:01, 1.0it/s]", 100.0),
        ("steps:   0%|  | 0/0 [00:00<?, ?it/s]", None),
        ("step ٣/١٠", None),
        ("step 5/100000000000", 0.0),
    ],
)
def test_impossible_counters_never_leave_the_scale(line: str, percent: float | None) -> None:
    assert read_progress(line).percent == percent


@pytest.mark.parametrize("loss", ["nan", "inf", "-inf", "1e999"])
def test_a_loss_that_is_no_number_is_not_told_and_hides_the_older_one(loss: str) -> None:
    log = f"{STEP_BAR}\nsteps:  26%|██▌       | 520/2000 [10:10<30:00,  1.20s/it, avr_loss={loss}]"

    assert read_progress(log).loss is None


def test_a_bar_tells_everything_it_shows() -> None:
    progress = read_progress(f"epoch 3/12\n{STEP_BAR}")

    assert progress == Progress(
        stage=Stage.TRAINING,
        last_log="steps:  25%|██▌       | 500/2000 [10:00<30:00,  1.20s/it, avr_loss=0.09, lr=0...",
        percent=25.0,
        step=500,
        total_steps=2000,
        epoch=3,
        total_epochs=12,
        loss=0.09,
        learning_rate=0.0001,
        eta_seconds=1800,
        steps_per_second=0.833333,
    )


def test_without_a_time_left_the_rate_of_the_bar_gives_it() -> None:
    progress = read_progress("steps:  25%|██▌       | 500/2000 [10:00<?,  2.00it/s, loss=0.09]")

    assert (progress.eta_seconds, progress.steps_per_second) == (750, 2)


def test_the_newest_segment_of_a_carriage_return_line_is_the_last_line() -> None:
    assert read_progress("step 1/9\rstep 2/9\rstep 3/9").last_log == "step 3/9"


def test_a_message_glued_to_a_bar_is_newer_than_the_bar() -> None:
    progress = read_progress(f"{STEP_BAR}2026-01-01 - INFO - Saving current state to out/checkpoint-500")

    assert (progress.stage, progress.percent) == (Stage.SAVING_CHECKPOINT, 25.0)


def test_a_long_traceback_does_not_lose_the_percent_even_when_nothing_earlier_was_read() -> None:
    frame = '  File "/app/train.py", line 10, in step\n    return self.validate(loading=checkpoint)\n'
    log = f"{STEP_BAR}\nTraceback (most recent call last):\n{frame * 8500}RuntimeError: out of memory"

    progress = read_progress(log)

    assert len(log) > 700_000
    assert (progress.stage, progress.percent, progress.total_steps) == (Stage.TRAINING, 25.0, 2000)


def test_counters_found_further_back_are_newer_than_the_previous_reading() -> None:
    before = read_progress("steps:  20%|██▌       | 400/2000 [08:00<32:00,  1.20s/it, avr_loss=0.09]")
    log = f"{STEP_BAR}\nSaving checkpoint\n{'nothing to see here ' * 5000}"

    progress = read_progress(log, before)

    assert (progress.stage, progress.percent) == (Stage.TRAINING, 25.0)


def test_numbers_that_scrolled_by_are_kept_from_the_previous_reading() -> None:
    before = read_progress(STEP_BAR)

    after = read_progress("Traceback (most recent call last):\n  File 'a'\nValueError: no", before)

    assert after == replace(before, last_log="ValueError: no")


def test_loading_after_training_began_does_not_go_back_to_preprocessing() -> None:
    before = read_progress(STEP_BAR)

    assert read_progress("Loading validation pipeline\nLoading weights: 1/2", before).stage is Stage.TRAINING


def test_a_bare_bar_counts_against_the_total_that_the_previous_reading_knew() -> None:
    before = read_progress("***** Running training *****\n  Total optimization steps = 1,000")

    assert read_progress(" 30%|███       | 300/1000 [01:00<02:20,  5.0it/s]", before).percent == 30.0
    assert read_progress(" 30%|███       | 3/10 [00:01<00:02,  5.0it/s]", before).stage is Stage.VALIDATION


def test_an_empty_log_keeps_the_previous_reading_whole() -> None:
    before = read_progress(STEP_BAR)

    assert read_progress("", before) == before


def test_a_restarted_run_begins_anew() -> None:
    before = read_progress("steps:  90%|█████████ | 1800/2000 [10:00<01:00,  1.20s/it, avr_loss=0.09]")

    assert read_progress(STEP_BAR, before).percent == 25.0


def test_an_epoch_line_alone_never_takes_percent_back() -> None:
    before = read_progress(STEP_BAR)

    assert read_progress("epoch 3/12", before).percent == 25.0
    assert read_progress("epoch 7/12", before).percent == 50.0


@pytest.mark.parametrize(
    ("header", "first", "second", "percent"),
    [
        (
            "Epoch 3/10",
            " 45/100 [========>........] - ETA: 5s - loss: 0.45",
            " 60/100 [==========>......] - ETA: 4s - loss: 0.44",
            26.0,
        ),
        (
            "epoch:  20%|██        | 2/10 [02:00<08:00, 60.0s/it]",
            "step:  50%|█████     | 20/40 [00:30<00:30,  1.5s/it, loss=0.2, smooth loss=0.2]",
            "step:  75%|███████   | 30/40 [00:45<00:15,  1.5s/it, loss=0.2, smooth loss=0.2]",
            27.5,
        ),
        (
            "Start Epoch 96 ...",
            " 10%|#         |500/5000[05:14<46:00, 1.66it/s]",
            " 12%|#         |600/5000[06:14<45:00, 1.66it/s]",
            None,
        ),
    ],
)
def test_a_bar_of_one_epoch_stays_one_when_the_line_that_told_so_scrolled_by(
    header: str, first: str, second: str, percent: float | None
) -> None:
    before = read_progress(f"{header}\n{first}")

    assert read_progress(second, before).percent == percent


def test_records_alone_never_make_a_later_bar_one_of_an_epoch() -> None:
    before = read_progress("{'loss': 0.9, 'learning_rate': 2e-05, 'epoch': 0.52}")

    assert read_progress(" 53%|█████     | 530/1000 [09:00<08:00,  1.0s/it]", before).percent == 53.0


def test_a_bare_bar_taken_for_the_training_gives_way_to_the_preparation_told_later() -> None:
    log = " 14%|█▍        | 8/57 [00:12<01:12,  1.5s/it]"
    before = read_progress(log)
    later = read_progress(f"{log}\nINFO caching the outputs of the text encoder", before)

    assert before.stage is Stage.TRAINING
    assert (later.stage, later.percent) == (Stage.PREPROCESSING, None)


def test_a_word_of_validation_in_the_preparation_never_holds_back_the_stage() -> None:
    before = read_progress("INFO --- validate the model that was given ---")

    assert before.stage is Stage.VALIDATION
    assert read_progress("INFO Loading the weights", before).stage is Stage.PREPROCESSING


@pytest.mark.parametrize(
    ("line", "step"), [("step:1K loss:0.1", 1_000), ("step:1.5K loss:0.1", 1_500), ("step 1e+04 loss 1", 10_000)]
)
def test_a_step_that_is_written_short_is_read_in_full(line: str, step: int) -> None:
    assert read_progress(line).step == step


@pytest.mark.parametrize(
    ("line", "percent"),
    [
        ("step: 1.5k/10k | loss: 0.2", 15.0),
        ("Step 1.2K / 1M, loss 0.1", 0.1),
        ("iter 1e3/1e4 loss 0.2", 10.0),
        ("step 500/2k loss 1", 25.0),
        ("step 1500/5000k", 0.0),
    ],
)
def test_a_pair_that_is_written_short_is_read_in_full(line: str, percent: float) -> None:
    assert read_progress(line).percent == percent


def test_a_line_to_show_is_cut_to_eighty_characters() -> None:
    assert shorten_line("x" * 80) == "x" * 80
    assert shorten_line("x" * 81) == "x" * 77 + "..."
    assert shorten_line("  \x1b[31mred\x1b[0m\t ") == "red"


@pytest.mark.parametrize(
    ("step", "total", "seen", "seconds", "eta"),
    [
        (300, 1000, 200, 50, 350.0),
        (200, 1000, 200, 50, None),
        (100, 1000, 200, 50, None),
        (300, None, 200, 50, None),
        (None, 1000, 200, 50, None),
        (300, 1000, None, 50, None),
        (300, 1000, 200, 0, None),
        (1200, 1000, 200, 50, 0.0),
    ],
)
def test_the_measured_pace_tells_the_time_left(
    step: int | None, total: int | None, seen: int | None, seconds: float, eta: float | None
) -> None:
    assert pace_eta(step=step, total_steps=total, seen_step=seen, seconds_between=seconds) == eta
