"""Reads the numbers of a log: whole numbers with bounds, clocks, losses, rates."""

from __future__ import annotations

import math
import re

_DIGITS_LIMIT = 15
_UNITS = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000, "g": 1_000_000_000, "t": 1_000_000_000_000}
_LARGEST = 10**_DIGITS_LIMIT
_CLOCK = re.compile(r"(?:(\d{1,4}) days?,? ?)?(?:(\d{1,6}):)?(\d{1,6}):(\d{1,2})(?:\.\d{1,6})?", re.ASCII)
_WORDED = re.compile(
    r"(\d{1,9}(?:\.\d{1,6})?) ?(d|h|m|s)(?:ays?|ours?|rs?|in(?:ute)?s?|ec(?:ond)?s?)?(?![a-z])(?:,| and)?\s?", re.ASCII
)
_UNIT_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_FLOAT = r"[-+]?(?:\d{1,18}(?:\.\d{0,25})?|\.\d{1,25})(?:e[-+]?\d{1,3})?|[-+]?nan|[-+]?inf(?:inity)?"
_LOSS = re.compile(
    r"(?<![\w/])(?P<key>(?:[a-z]{1,16}[ _])?(?:[a-z]{1,16}[_/])?loss(?:_step|_epoch)?)"
    r"(?:'|\"|\*){0,3}\)?(?:\s{0,3}[:= ]|\s{1,30}\|)\s{0,3}[*'\"]{0,2}"
    rf"(?P<value>{_FLOAT})(?!\w)",
    re.IGNORECASE | re.ASCII,
)
_NOT_TRAINING_LOSS = re.compile(r"(?:^|[ _/])(?:val|eval|test|ave |moving|ema|disc|best)")
_LOSS_ORDER = (
    "step_loss",
    "loss",
    "train_loss",
    "train/loss",
    "train loss",
    "training loss",
    "training_loss",
    "avr_loss",
)
_LEARNING_RATE = re.compile(
    r"(?<![\w/])(?:learning[ _]rate|lr)(?:/[\w-]{1,20})?['\"]?\s{0,3}[:= ]\s{0,3}['\"\[]?"
    r"((?:\d{1,9}(?:\.\d{0,25})?|\.\d{1,25})(?:e[-+]?\d{1,3})?)",
    re.IGNORECASE | re.ASCII,
)
_LOGGED_RATE = re.compile(r"(s/it|s/step|(?:iter|it|steps?)/s)\)['\"]?\s?[:=]\s?(\d{1,9}(?:\.\d{1,9})?)", re.ASCII)
_TIME_LEFT = re.compile(
    r"(?<![\w/-])(?:eta|remaining(?:[ _]time)?|time[ _](?:left|remaining)|estimated time(?: to finish| remaining"
    r"| left)?)"
    r"['\"]?(?: \(time\))?\s{0,3}[:=]?\s{0,3}['\"]?(?=\d)",
    re.ASCII,
)
_LEFT_BEHIND = re.compile(
    r"(?<![\w.])(\d{1,6}:\d\d(?::\d\d)?|\d{1,6}(?:\.\d{1,6})? ?(?:hours?|h|minutes?|min|m|seconds?|sec|s)) (?:left"
    r"|remaining)\b",
    re.ASCII,
)
_LEFT_WORDS = ("eta", "remaining", "left", "estimated")
_CLOCK_AHEAD = re.compile(r"(?:\d{1,4} days?,? ?)?(?:\d{1,6}:)?\d{1,6}:\d{2}\b", re.ASCII)
_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s?(s/(?:it|step|batch)|(?:it|step|steps|batch|batches)/s)\b", re.ASCII)


def whole_number(text: str) -> int | None:
    """A count as logs write it (`1,548`); `None` beyond fifteen digits, which no real counter has."""
    digits = text.replace(",", "") if "," in text else text
    return int(digits) if 0 < len(digits) <= _DIGITS_LIMIT and digits.isascii() and digits.isdigit() else None


def scaled_number(text: str) -> int | None:
    """A count that may be written short: `1,548`, `1.5K`, `1e+04`."""
    whole = whole_number(text)
    if whole is not None:
        return whole
    unit = _UNITS.get(text[-1:].lower())
    value = finite(text[:-1] if unit else text)
    return round(value * (unit or 1)) if value is not None and 0 <= value <= _LARGEST else None


def finite(text: str) -> float | None:
    """The number, or `None` for NaN, infinity and what is none at all."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def finite_or_none(value: float | None) -> float | None:
    """The value unless it is NaN or infinite."""
    return value if value is not None and math.isfinite(value) else None


def seconds_of_clock(text: str) -> float | None:
    """Seconds of `1:23:45`, `09:34`, `1 day, 2:03:04` (tqdm) or `2h 7m 13s` (ms-swift)."""
    if clock := _CLOCK.search(text):
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return float(days * 86400 + hours * 3600 + minutes * 60 + seconds)
    parts = _WORDED.findall(text)
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts) if parts else None


def steps_a_second(text: str) -> float | None:
    """The rate that a bar shows, `1.31s/it` or `5.57it/s`, in steps a second; `None` if unknown or not of steps."""
    found = _RATE.search(text)
    value = finite(found[1]) if found else None
    if found is None or not value:
        return None
    return round(1 / value, 6) if found[2].startswith("s/") else value


def shows_loss(text: str) -> bool:
    """Whether the text shows a loss of the training itself, also one that is NaN."""
    return training_loss(text) is not None


def training_loss(text: str) -> float | None:
    """The training loss that the text shows (never one of validation): NaN if that is what it shows, `None` if none."""
    best: tuple[int, str] | None = None
    for found in _LOSS.finditer(text):
        key = found["key"].lower()
        if _NOT_TRAINING_LOSS.search(key):
            continue
        rank = _LOSS_ORDER.index(key) if key in _LOSS_ORDER else len(_LOSS_ORDER)
        if best is None or rank < best[0]:
            best = (rank, found["value"])
    return float(best[1]) if best else None


def learning_rate(text: str) -> float | None:
    """The learning rate that the text shows."""
    found = _LEARNING_RATE.search(text)
    return finite(found[1]) if found else None


def logged_rate(text: str) -> float | None:
    """The rate in a trainer's record: `'train_speed(iter/s)': 0.01`, in steps a second."""
    found = _LOGGED_RATE.search(text)
    value = finite(found[2]) if found else None
    if found is None or not value:
        return None
    return round(1 / value, 6) if found[1].startswith("s/") else value


def time_left(text: str) -> float | None:
    """The seconds left that a line in small letters tells: `eta: 1 day, 13:01:00`, `'remaining_time': '2h 7m 13s'`."""
    for word in _LEFT_WORDS:
        if word in text:
            break
    else:
        return None
    if found := _TIME_LEFT.search(text):
        return _duration_at(text, found.end())
    behind = _LEFT_BEHIND.search(text)
    return seconds_of_clock(behind[1]) if behind else None


def _duration_at(text: str, start: int) -> float | None:
    """The duration that begins there: a clock, or numbers each with its unit."""
    if clock := _CLOCK_AHEAD.match(text, start):
        return seconds_of_clock(clock[0])
    seconds, position = 0.0, start
    for _ in _UNIT_SECONDS:
        part = _WORDED.match(text, position)
        if part is None:
            break
        seconds += float(part[1]) * _UNIT_SECONDS[part[2]]
        position = part.end()
    return seconds if position > start else None
