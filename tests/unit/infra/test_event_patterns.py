from __future__ import annotations

from typing import Any

import pytest

from infra.local.triggers.event_patterns import matches

EVENT = {"eventName": "INSERT", "dynamodb": {"Keys": {"log": {"S": "main"}, "seq": {"N": "7"}}}}


@pytest.mark.parametrize(
    ("pattern", "is_match"),
    [
        ({}, True),
        ({"eventName": ["INSERT"]}, True),
        ({"eventName": ["MODIFY", "REMOVE"]}, False),
        ({"eventName": ["INSERT"], "dynamodb": {"Keys": {"log": {"S": ["main"]}}}}, True),
        ({"dynamodb": {"Keys": {"log": {"S": [{"prefix": "ma"}]}}}}, True),
        ({"dynamodb": {"Keys": {"log": {"S": [{"prefix": "other"}]}}}}, False),
        ({"dynamodb": {"OldImage": [{"exists": False}]}}, True),
        ({"dynamodb": {"OldImage": {"status": {"S": ["running"]}}}}, False),
        ({"dynamodb": {"Keys": {"seq": {"N": [{"anything-but": ["0"]}]}}}}, True),
        ({"dynamodb": {"Keys": {"seq": {"N": [{"anything-but": ["7"]}]}}}}, False),
    ],
)
def test_pattern_matches_as_eventbridge_does(pattern: dict[str, Any], is_match: bool) -> None:
    assert matches(pattern, EVENT) is is_match


@pytest.mark.parametrize("pattern", [{"eventName": [{"wildcard": "I*"}]}, {"eventName": "INSERT"}])
def test_unknown_comparison_is_refused_instead_of_guessed(pattern: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"comparison|list"):
        matches(pattern, EVENT)
