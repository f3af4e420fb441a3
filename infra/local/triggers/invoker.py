"""How a trigger calls a function, and what it makes of the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Invoke = Callable[[str, dict[str, Any]], Any]
"""Calls a function by its name in `serverless.yml` and waits for its answer. Raises InvocationFailed."""


class InvocationFailed(Exception):
    """The function did not answer, or answered with an error."""


def failed_items(answer: Any, known: list[str]) -> list[str]:
    """The ids of `batchItemFailures`. Raises InvocationFailed for what AWS takes as a failure of the whole batch."""
    if not isinstance(answer, dict):
        return []
    failures = answer.get("batchItemFailures") or []
    identifiers = [failure.get("itemIdentifier") if isinstance(failure, dict) else None for failure in failures]
    if any(identifier not in known for identifier in identifiers):
        raise InvocationFailed(f"batchItemFailures names unknown items: {identifiers!r}")
    return [str(identifier) for identifier in identifiers]
