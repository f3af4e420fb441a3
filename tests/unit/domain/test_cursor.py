"""Cursors: what is served from where, and what is reset (I15, I20)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.cursor import Cursor, resolve_cursor
from shared.domain.event import EventId, LogHead

HEAD = LogHead("e1", seq=50, first_kept=11)
NOW = EventId("e1", 100)

BAD_CURSORS: dict[str, object] = {
    "ahead of the head": "e1-101",
    "far ahead": "e1-999999999999999999",
    "of another epoch": "e0-100",
    "negative": "e1--4",
    "not a number": "e1-abc",
    "a number of other digits": "e1-\u0661\u0662",
    "over 128 characters": "e1-" + "9" * 200,
    "without an epoch": "100",
    "with a line break": "e1-40\nid: e1-1",
    "trimmed away": "e1-19",
    "before the beginning": "e1-0",
    "with a leading zero": "e1-040",
    "not text": 40,
    "a list": ["e1-40"],
    "true": True,
}


@pytest.mark.parametrize("last_id", BAD_CURSORS.values(), ids=BAD_CURSORS)
def test_cursor_that_cannot_be_served_is_reset_to_now(last_id: object) -> None:
    assert resolve_cursor(last_id, HEAD) == Cursor(NOW, is_reset=True)


@pytest.mark.parametrize("last_id", [None, ""])
def test_no_cursor_begins_now_without_a_reset(last_id: object) -> None:
    assert resolve_cursor(last_id, HEAD) == Cursor(NOW)


def test_cursor_between_the_two_frames_of_a_change_reads_that_change_again() -> None:
    cursor = resolve_cursor("e1-41", HEAD)

    assert cursor == Cursor(EventId("e1", 41))
    assert cursor.seq == 20


def test_cursor_at_the_last_trimmed_change_misses_nothing() -> None:
    assert resolve_cursor("e1-20", HEAD) == Cursor(EventId("e1", 20))


def test_cursor_at_a_head_whose_log_is_all_trimmed_is_served() -> None:
    assert resolve_cursor("e1-100", LogHead("e1", seq=50, first_kept=51)) == Cursor(NOW)


@given(last_id=st.one_of(st.none(), st.text(max_size=200), st.integers(), st.builds("e1-{}".format, st.integers())))
def test_any_id_gives_a_position_within_what_is_kept(last_id: object) -> None:
    cursor = resolve_cursor(last_id, HEAD)

    assert HEAD.first_kept - 1 <= cursor.seq <= HEAD.seq
    assert cursor.position.epoch == HEAD.epoch
