"""What clients send, checked as the provider checks it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from .problems import bad_request, invalid_input

EVENTS = ("start", "output", "logs", "completed")
CREATE_KEYS = frozenset({"version", "input", "webhook", "webhook_events_filter", "stream"})

Complaint = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Create:
    """A create's body after the checks."""

    version: str
    input: Mapping[str, object]
    webhook: str | None
    webhook_events: tuple[str, ...] | None


def read_json(raw: bytes) -> dict[str, object]:
    """The body as an object; raises a 400 for anything else."""
    try:
        body = json.loads(raw)
        json.dumps(body, allow_nan=False, ensure_ascii=False).encode()  # no NaN, no half of a surrogate pair
    except (ValueError, RecursionError) as error:
        raise bad_request("The request body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise bad_request("The request body must be a JSON object.")
    return body


def read_create(raw: bytes) -> Create:
    """A create's body; it is closed, so unknown keys are refused."""
    body = read_json(raw)
    complaints: list[Complaint] = [
        ("required", "", f"{name} is required") for name in ("version", "input") if name not in body
    ]
    complaints += [
        ("additional_property_not_allowed", "", f"Additional property {name} is not allowed")
        for name in body
        if name not in CREATE_KEYS
    ]
    given, version = body.get("input", {}), body.get("version", "")
    if not isinstance(given, dict):
        complaints.append(("invalid_type", "input", "Invalid type. Expected: object"))
    if not isinstance(version, str):
        complaints.append(("invalid_type", "version", "Invalid type. Expected: string"))
    webhook = body.get("webhook") or None
    if webhook is not None and not _is_web_address(webhook):
        complaints.append(("format", "webhook", "Does not match format 'uri'"))
    events = body.get("webhook_events_filter")
    complaints += _event_complaints(events)
    if complaints:
        raise invalid_input(complaints)
    return Create(
        version=str(version),
        input=given if isinstance(given, dict) else {},
        webhook=None if webhook is None else str(webhook),
        webhook_events=tuple(str(event) for event in events) if isinstance(events, list) else None,
    )


def _event_complaints(events: object) -> list[Complaint]:
    if events is None:
        return []
    field = "webhook_events_filter"
    if not isinstance(events, list):
        return [("invalid_type", field, "Invalid type. Expected: array")]
    choice = ", ".join(f'"{event}"' for event in EVENTS)
    return [
        ("enum", f"{field}.{index}", f"{field}.{index} must be one of the following: {choice}")
        for index, event in enumerate(events)
        if event not in EVENTS
    ]


def _is_web_address(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
