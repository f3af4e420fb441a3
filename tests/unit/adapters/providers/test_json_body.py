"""The one reader of providers' JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.providers.json_body import moment, read_json, read_object
from shared.adapters.providers.replicate.profile import PROFILE
from shared.domain.errors import ProviderAnswerInvalidError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T11:59:08Z", datetime(2026, 3, 1, 11, 59, 8, tzinfo=UTC)),
        ("2026-03-01T11:59:08.3Z", datetime(2026, 3, 1, 11, 59, 8, 300_000, tzinfo=UTC)),
        ("2026-03-01T11:59:08.360785149Z", datetime(2026, 3, 1, 11, 59, 8, 360_785, tzinfo=UTC)),
        ("2026-03-01T11:59:08.3607851491234Z", datetime(2026, 3, 1, 11, 59, 8, 360_785, tzinfo=UTC)),
        ("2026-03-01T11:59:08.36", datetime(2026, 3, 1, 11, 59, 8, 360_000, tzinfo=UTC)),
        ("2026-03-01T13:59:08+02:00", datetime(2026, 3, 1, 11, 59, 8, tzinfo=UTC)),
        ("2026-03-01T09:29:08-0230", datetime(2026, 3, 1, 11, 59, 8, tzinfo=UTC)),
        ("2022-04-26T20:00:84.583803Z", datetime(2022, 4, 26, 20, 1, 24, 583_803, tzinfo=UTC)),
        ("2026-02-30T00:00:00Z", None),
        ("2026-03-01T24:00:00Z", None),
        ("0001-01-01T00:00:00+23:00", None),
        ("9999-12-31T23:59:59-23:00", None),
        ("٢٠٢٦-03-01T00:00:00Z", None),
        ("2026-03-01", None),
        ("", None),
        (1_772_366_348, None),
        (None, None),
        ("2026-03-01T11:59:08." + "1" * 5000 + "Z", None),
    ],
)
def test_times_of_every_form_are_read_or_left_out(text: object, expected: datetime | None) -> None:
    assert moment(text) == expected


@settings(deadline=None)
@given(st.one_of(st.text(), st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?", fullmatch=True)))
def test_no_text_crashes_the_reading_of_times(text: str) -> None:
    told = moment(text)
    assert told is None or told.tzinfo is UTC


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<!DOCTYPE html><html></html>",
        b'{"id":"abc","status":"start',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff\xfe\x00",
        b'{"a":01}',
    ],
)
def test_what_is_not_json_is_an_invalid_answer_without_its_text(raw: bytes) -> None:
    with pytest.raises(ProviderAnswerInvalidError) as raised:
        read_json(raw, PROFILE)
    assert raised.value.__context__ is None


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"text"', b"3"])
def test_json_that_is_no_object_is_an_invalid_answer(raw: bytes) -> None:
    with pytest.raises(ProviderAnswerInvalidError):
        read_object(raw, PROFILE)


def test_a_5000_digit_number_costs_nothing_and_says_nothing() -> None:
    body = read_object(b'{"seed":' + b"9" * 5_000_000 + b',"id":"abc"}', PROFILE)
    assert (body["seed"], body["id"]) == (None, "abc")


PUSHED = [
    b'{"a": NaN}',
    b'{"a": -Infinity}',
    b'{"a": ' + b"9" * 41 + b"}",
    b'{"a": 1, "a": 2}',
    b'{"model": 1, "a": 1, "model": 2, "a": 1}',
    b'{"a": "\xff"}',
    b'{"a":' * 40 + b"1" + b"}" * 40,
    b"[" * 33 + b"]" * 33,
]


@pytest.mark.parametrize("raw", PUSHED)
def test_a_pushed_body_holds_nothing_that_two_readers_could_understand_differently(raw: bytes) -> None:
    """T5"""
    with pytest.raises(ProviderAnswerInvalidError):
        read_json(raw, PROFILE, is_pushed=True)
    read_json(raw, PROFILE)


def test_what_a_provider_is_known_to_repeat_may_stand_twice_in_a_pushed_body() -> None:
    assert read_object(b'{"model": "a", "model": "b"}', PROFILE, is_pushed=True) == {"model": "b"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(JSON)
def test_answers_and_pushed_bodies_are_read_alike(value: object) -> None:
    raw = json.dumps(value).encode()
    assert read_json(raw, PROFILE) == read_json(raw, PROFILE, is_pushed=True) == value
