"""A log is untrusted: whatever it holds, reading it raises nothing, stays on the scale and shows nothing hidden."""

from __future__ import annotations

import math
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.progress import clean_text, loss_history, read_progress, shorten_line
from shared.progress.progress import Progress, Stage

ANY_CHARACTER = st.characters(categories=None, exclude_categories=())
PIECES = st.sampled_from(
    [
        "step ", "Steps: ", "epoch ", "Epoch 3/10, ", "1500/5000", " 25%|██▌   | ", "500/2000 ", "[10:00<30:00, ",
        "1.2s/it, ", "loss=0.5", "loss: nan", "lr=1e-4", "]", "\r", "\n", "\x1b[31m", "\x1b]0;title\x07", "\x08\x08",
        "#015", "#033[A", "^M ", "Validating", "Saving checkpoint", "warming up", "loading ", "{'loss': ", "'epoch': ",
        "Traceback (most recent call last):", "9" * 400, "-", "0/0", "100%", "|", "it [", "\u202e", "\u2066", "\ud800",
        "\x00", "━━━━", "[===>..]", "of ", "Total optimization steps = ", "v_num=1", "smooth loss=0.1", "epoch: ",
        "eval_loss", ",", ".", "e5", "inf",
    ]
)  # fmt: skip
HOSTILE = st.lists(PIECES | st.text(ANY_CHARACTER, max_size=8), max_size=60).map("".join)
STAGES = st.none() | st.sampled_from(Stage)
NUMBERS = st.none() | st.integers(0, 10**9)
PREVIOUS = st.builds(
    Progress,
    stage=STAGES,
    percent=st.none() | st.floats(0, 100),
    step=NUMBERS,
    total_steps=NUMBERS,
    total_epochs=NUMBERS,
)
SHOWABLE = re.compile(
    r"[\t\x20-\x7e\xa0-\xac\xae-\u061b\u061d-\u180d\u180f-\u200a\u2010-\u2027\u202f-\u205f\u2070-\ud7ff\ue000-\ufefe"
    r"\uff00-\ufff8\ufffc-\U000dffff\U000e0080-\U0010ffff]*"
)


def assert_is_sound(progress: Progress) -> None:
    assert progress.percent is None or 0 <= progress.percent <= 100
    numbers = (progress.loss, progress.learning_rate, progress.eta_seconds, progress.steps_per_second, progress.epoch)
    assert all(number is None or math.isfinite(number) for number in numbers)
    assert progress.eta_seconds is None or progress.eta_seconds >= 0
    assert progress.steps_per_second is None or progress.steps_per_second > 0
    assert progress.last_log is None or len(progress.last_log) <= 80
    assert progress.last_log is None or SHOWABLE.fullmatch(progress.last_log)


@settings(max_examples=1500, deadline=None)
@given(log=HOSTILE, previous=st.none() | PREVIOUS)
@example(log="step 1/2 \ud800", previous=None)
@example(log="Steps: 50%|  | 5/0 [00:00<00:00, 0.00s/it, loss=1e999]", previous=None)
def test_any_log_after_any_reading_gives_a_sound_progress(log: str, previous: Progress | None) -> None:
    assert_is_sound(read_progress(log, previous))


@settings(max_examples=300, deadline=None)
@given(st.lists(HOSTILE, max_size=6))
def test_readings_in_a_row_stay_sound_and_the_same_log_is_read_the_same(logs: list[str]) -> None:
    progress = None
    for log in logs:
        progress = read_progress(log, progress)
        assert_is_sound(progress)
        assert read_progress(log, progress).percent == progress.percent or progress.percent is None


@settings(max_examples=500, deadline=None)
@given(st.text(ANY_CHARACTER) | HOSTILE)
def test_cleaned_text_holds_nothing_hidden(text: str) -> None:
    cleaned = clean_text(text)

    assert all(SHOWABLE.fullmatch(line) for line in cleaned.split("\n"))
    assert len(cleaned) <= len(text)


@settings(max_examples=300, deadline=None)
@given(st.text(ANY_CHARACTER) | HOSTILE, st.integers(4, 200))
def test_a_shortened_line_is_one_line_within_its_limit(text: str, limit: int) -> None:
    line = shorten_line(text, limit)

    assert len(line) <= limit
    assert "\n" not in line


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain\ttext\nnext", "plain\ttext\nnext"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;https://evil.example\x07link\x1b]8;;\x07", "link"),
        ("a\x1b]0;unclosed title\nb", "a\nb"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\x00\x07\x7f\x85b", "ab"),
        ("user\u202egnp.exe\u2066x\u2069", "usergnp.exex"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("lone \ud800 half", "lone \ufffd half"),
        ("one#015two#033[A", "one\ntwo"),
        ("██▌ 学習 é", "██▌ 学習 é"),
    ],
)
def test_escapes_controls_and_bidi_marks_are_taken_out(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


MEGABYTE = 1_000_000
GIANTS = {
    "one line": "a",
    "digits": "1",
    "spaces": " ",
    "line ends": "\n",
    "carriage returns": "\r",
    "escapes": "\x1b[",
    "open titles": "\x1b]",
    "surrogates": "\ud800",
    "bidi": "\u202e",
    "percent bars": "%|",
    "started bars": "1%|",
    "bars without a break": "steps:  1%|█   | 1/100 [00:01<00:02, 1.0s/it, loss=0.1]",
    "counters": "step 1/2\n",
    "counters without a break": "step 1/2 ",
    "every word": "step 1/2 loss: 1 checkpoint warmup validat load\n",
    "epochs": "epoch ",
    "losses": "loss ",
    "brackets": "[ ",
    "keras": "1/1 [=",
    "long text": "2024-01-23 21:10:16 [INFO] (validation) Precomputing the prompt embed for validations of text.\n",
    "tracebacks": 'Traceback (most recent call last):\n  File "a.py", line 1\n    step()\n',
    "commas": "step 1,",
    "from a checkpoint": "from checkpoint ",
}


@pytest.mark.parametrize("piece", [pytest.param(piece, id=name) for name, piece in GIANTS.items()])
def test_a_megabyte_of_anything_is_read_soundly_and_in_time(piece: str) -> None:
    log = (piece * (MEGABYTE // len(piece) + 1))[:MEGABYTE]

    started = time.process_time()
    progress = read_progress(log)
    seconds = time.process_time() - started

    assert_is_sound(progress)
    assert seconds < 0.25, "five times what the quiet machine needs at most"


@pytest.mark.parametrize("piece", [pytest.param(piece, id=name) for name, piece in GIANTS.items()])
def test_the_history_of_a_megabyte_takes_time_in_proportion(piece: str) -> None:
    log = (piece * (MEGABYTE // len(piece) + 1))[:MEGABYTE]

    started = time.process_time()
    points = loss_history(log)
    seconds = time.process_time() - started

    assert len(points) <= 500
    assert seconds < 10
