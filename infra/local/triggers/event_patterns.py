"""EventBridge-style patterns, as far as an event source mapping's `filterPatterns` of ours use them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Every key of the pattern must match. Raises ValueError for a comparison that is not known here."""
    return all(_matches_key(expected, event.get(key), key in event) for key, expected in pattern.items())


def _matches_key(expected: Any, value: Any, exists: bool) -> bool:
    if isinstance(expected, Mapping):
        return isinstance(value, Mapping) and matches(expected, value)
    if not isinstance(expected, list):
        raise ValueError(f"a pattern's leaf must be a list, not {expected!r}")
    return any(_matches_rule(rule, value, exists) for rule in expected)


def _matches_rule(rule: Any, value: Any, exists: bool) -> bool:
    match rule:
        case {"exists": bool(wanted)}:
            return exists is wanted
        case {"prefix": str(prefix)}:
            return isinstance(value, str) and value.startswith(prefix)
        case {"anything-but": list(unwanted)}:
            return exists and value not in unwanted
        case Mapping():
            raise ValueError(f"the local relay does not know the comparison {rule!r}")
        case _:
            return exists and value == rule
