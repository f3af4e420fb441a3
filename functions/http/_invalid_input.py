"""What is wrong with a request, as one sentence that says what to send instead (a list crashes SimpleTuner's CLI)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INVALID_JSON = "The body is not valid JSON; correct it and send it again."

_EXPECTED: Mapping[str, str] = {
    "missing": "is missing; send it",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of at most a few digits",
    "int_type": "must be a whole number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "string_too_long": "may have at most {max_length} characters",
    "too_long": "may have at most {max_length} characters",
    "dict_type": "must be a JSON object, sent as application/json",
    "list_type": "must be a JSON array, sent as application/json",
    "model_attributes_type": "must be a JSON object, sent as application/json",
}
"""By pydantic's type of error, with what it knows of the bounds."""


def sentence_of(error: Mapping[str, Any]) -> str:
    """One error of pydantic in our words; its own where we have none. Nothing of what was sent is repeated."""
    if error["type"] == "json_invalid":
        return INVALID_JSON
    where = ".".join(str(part) for part in error["loc"][1:])
    subject = f"The parameter {where}" if where else "The body"
    expected = _EXPECTED.get(error["type"])
    if expected is None:
        return f"{subject} is wrong: {error['msg']}."
    return f"{subject} {expected.format_map(error.get('ctx', {}))}."
