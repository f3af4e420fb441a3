"""What clients send: bodies of creates, headers and uploads, checked as the provider checks them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import urlsplit

from .problems import bad_request, file_too_large, invalid_input

EVENTS = ("start", "output", "logs", "completed")
LARGEST_FILE = 100 * 1024 * 1024
SHORTEST_CANCEL_AFTER = 5
LONGEST_WAIT = 60

_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s?)?", re.ASCII)
_WAIT = re.compile(r"wait(?:=(\d{1,3}))?", re.ASCII)

Complaint = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Create:
    """A create's body after the checks."""

    version: str | None
    input: Mapping[str, object]
    webhook: str | None
    webhook_events: tuple[str, ...] | None
    destination: str | None


@dataclass(frozen=True, slots=True)
class Upload:
    name: str
    content_type: str
    content: bytes
    metadata: Mapping[str, object]


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


def read_create(raw: bytes, *required: str) -> Create:
    """A create's body; it is closed, so unknown keys are refused. `required`: which of version and destination."""
    body = read_json(raw)
    allowed = {"input", "webhook", "webhook_events_filter", "stream", *required}
    complaints: list[Complaint] = [
        ("required", "", f"{name} is required") for name in (*required, "input") if name not in body
    ]
    complaints += [
        ("additional_property_not_allowed", "", f"Additional property {name} is not allowed")
        for name in body
        if name not in allowed
    ]
    given = body.get("input", {})
    if not isinstance(given, dict):
        complaints.append(("invalid_type", "input", "Invalid type. Expected: object"))
    for name in required:
        if name in body and not isinstance(body[name], str):
            complaints.append(("invalid_type", name, "Invalid type. Expected: string"))
    webhook = body.get("webhook") or None
    if webhook is not None and not _is_web_address(webhook):
        complaints.append(("format", "webhook", "Does not match format 'uri'"))
    complaints += _event_complaints(body.get("webhook_events_filter"))
    if complaints:
        raise invalid_input(complaints)
    events = body.get("webhook_events_filter")
    return Create(
        version=_text(body.get("version")),
        input=given if isinstance(given, dict) else {},
        webhook=_text(webhook),
        webhook_events=tuple(str(event) for event in events) if isinstance(events, list) else None,
        destination=_text(body.get("destination")),
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


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def read_cancel_after(header: str | None) -> int | None:
    """`30`, `30s`, `5m`, `1h30m45s` in seconds; raises a 422 for other text or less than five seconds."""
    if header is None:
        return None
    parts = _DURATION.fullmatch(header.strip())
    hours, minutes, seconds = (int(part or 0) for part in parts.groups()) if parts else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if total < SHORTEST_CANCEL_AFTER:
        raise invalid_input([("invalid", "Cancel-After", "Cancel-After must be a duration of at least 5 seconds")])
    return total


def read_wait(header: str | None) -> int | None:
    """The seconds of `Prefer: wait` or `wait=n` (1 to 60), None if the client does not want to wait."""
    for preference in (header or "").split(","):
        wait = _WAIT.fullmatch(preference.strip())
        if wait:
            return min(LONGEST_WAIT, max(1, int(wait[1] or LONGEST_WAIT)))
    return None


def read_upload(content_type: str, raw: bytes) -> Upload:
    """The first file of a multipart body; raises a 400 if there is none and a 413 above 100 MB."""
    if len(raw) > LARGEST_FILE:
        raise file_too_large()
    message = BytesParser(policy=HTTP).parsebytes(
        b"content-type: " + content_type.encode("latin-1") + b"\r\n\r\n" + raw
    )
    upload: Upload | None = None
    metadata: Mapping[str, object] = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes):
            continue
        if name == "metadata":
            metadata = read_json(content)
        elif part.get_filename() and upload is None:
            upload = Upload(part.get_filename() or "file", part.get_content_type(), content, {})
    if upload is None:
        raise bad_request("Missing content")
    return Upload(upload.name, upload.content_type, upload.content, metadata)
