"""A log is untrusted: whatever it holds, reading it raises nothing, stays on the scale and shows nothing hidden."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.domain import text
from shared.domain.text import clean_text, shorten_line, shown_text
from shared.progress import bars, counters, history, loss_history, numbers, read_progress, reader, rules, shapes
from shared.progress.bars import find_bar
from shared.progress.progress import Progress, Stage
from tests.bench.bench_progress_parser import SHAPES

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
    r"[\t\x20-\x7e\xa0-\xac\xae-\u061b\u061d-\u180d\u180f-\u200a\u200c\u200d\u2010-\u2027\u202f-\u205f\u2070-\ud7ff\ue000-\ufefe"
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
    for cleaned in (clean_text(text), shown_text(text)):
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
        ("👩\u200d👩\u200d👧 می\u200cخواهم", "👩\u200d👩\u200d👧 می\u200cخواهم"),
    ],
)
def test_escapes_controls_and_bidi_marks_are_taken_out(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nnext", "plain\ttext\nnext"),
        ("  1%|  \r 50%|█ \r100%|██\nend", "100%|██\nend"),
        ("  1%|  \r 50%|█ \r", " 50%|█"),
        (" 50%|█ \r          \r\nend", " 50%|█\nend"),
        ("one\r\ntwo\r\r\nthree", "one\ntwo\nthree"),
        ("\r\n\r\n", "\n\n"),
        ("bar 1\n\rbar 2\x1b[A\rbar 1 again", "bar 1\nbar 1 again"),
        ("  1%#015 50%#015100%", "100%"),
        ("^M  4%| 1/9^M  8%| 2/9", "  8%| 2/9"),
        ("loss: 0.1\b2", "loss: 0.2"),
        ("\b\b\bx", "x"),
        ("working |\b/\b-\bdone", "working done"),
        ("\x1b[2K\r\x1b[31mred\x1b[0m", "red"),
    ],
)
def test_a_redrawn_line_is_shown_in_its_last_state(text: str, shown: str) -> None:
    assert shown_text(text) == shown


@given(st.lists(HOSTILE, max_size=6))
def test_text_shown_line_by_line_is_the_text_shown_at_once(pieces: list[str]) -> None:
    lines = [piece.replace("\n", " ").replace("\x1b", " ") for piece in pieces]

    assert "\n".join(shown_text(line) for line in lines) == shown_text("\n".join(lines))


@pytest.mark.parametrize("log", [pytest.param(log, id=name) for name, log in SHAPES.items()])
def test_a_megabyte_of_anything_is_read_soundly(log: str) -> None:
    assert_is_sound(read_progress(log))


class Counted:
    """Counts what passes through a function: how often, and how many characters."""

    def __init__(self, function: Callable[[str], object]) -> None:
        self._function = function
        self.calls = 0
        self.characters = 0

    def __call__(self, text: str) -> object:
        self.calls += 1
        self.characters += len(text)
        return self._function(text)


@pytest.mark.parametrize("log", [pytest.param(log, id=name) for name, log in SHAPES.items()])
def test_of_a_megabyte_only_so_much_is_looked_at_closely(log: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Counted(find_bar)
    monkeypatch.setattr(reader, "find_bar", looked)

    read_progress(log)

    assert looked.calls <= 600
    assert looked.characters <= 65_536 + 200 * 1_536


@pytest.mark.parametrize("log", [pytest.param(log, id=name) for name, log in SHAPES.items()])
def test_the_history_looks_at_each_line_once(log: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Counted(find_bar)
    monkeypatch.setattr(history, "find_bar", looked)
    log = log[:300_000]

    points = loss_history(log)

    assert len(points) <= 500
    assert looked.calls <= clean_text(log).count("\n") + 1
    assert looked.characters <= len(log)


PATTERNS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": pattern
    for module in (bars, counters, history, numbers, reader, rules, shapes, text)
    for name, pattern in [
        *((name, found) for name, found in vars(module).items() if isinstance(found, re.Pattern)),
        *((name, rule.pattern) for name, rule in vars(module).items() if isinstance(rule, rules.Rule)),
        *((f"{name}.unless", rule.unless) for name, rule in vars(module).items() if isinstance(rule, rules.Rule)),
        *((f"{name}.still", rule.still) for name, rule in vars(module).items() if isinstance(rule, rules.Rule)),
    ]
    if pattern is not None
}


@pytest.mark.parametrize("pattern", [pytest.param(pattern, id=name) for name, pattern in PATTERNS.items()])
def test_no_pattern_repeats_without_end_what_itself_repeats(pattern: re.Pattern[str]) -> None:
    parsed = importlib.import_module("re._parser").parse(pattern.pattern, pattern.flags & ~re.UNICODE)

    assert most_repeats(parsed) <= 2_048 or most_repeats(parsed) == UNENDING


UNENDING = 1_000_000


def most_repeats(node: Any) -> int:
    """The most often that one part of a parsed pattern can be repeated, by all repetitions around it together."""
    most = 1
    for operation, argument in node:
        inner = max((most_repeats(part) for part in parts_of(argument)), default=1)
        if str(operation) in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            inner *= min(int(argument[1]), UNENDING)
        most = max(most, inner)
    return most


def parts_of(argument: Any) -> Iterator[Any]:
    """The patterns within an operation's argument."""
    if type(argument).__name__ == "SubPattern":
        yield argument
    elif isinstance(argument, list | tuple):
        for part in argument:
            yield from parts_of(part)


@pytest.mark.parametrize(("pattern", "most"), [(r"a{2}b{3}", 3), (r"(?:a{1,4} ){5}", 20), (r"\w+", UNENDING)])
def test_the_repetitions_of_a_pattern_are_counted(pattern: str, most: int) -> None:
    parse = importlib.import_module("re._parser").parse

    assert most_repeats(parse(pattern)) == most
    assert most_repeats(parse(rf"(?:(?:{pattern}) )*")) > UNENDING
