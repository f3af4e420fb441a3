"""The provider's error answers (application/problem+json, bodies end with a newline)."""

import json
from dataclasses import dataclass, field


@dataclass(eq=False)
class ErrorAnswer(Exception):
    """An error answer, raised where it is found and written by the server."""

    status: int
    body: dict[str, object]
    headers: dict[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        return json.dumps(self.body, separators=(",", ":")).encode() + b"\n"


def unauthenticated(token_was_sent: bool) -> ErrorAnswer:
    what = "a valid authentication token" if token_was_sent else "an authentication token"
    return ErrorAnswer(401, {"title": "Unauthenticated", "detail": f"You did not pass {what}", "status": 401})


def insufficient_credit() -> ErrorAnswer:
    detail = (
        "You have insufficient credit to run this model. Go to https://replicate.com/account/billing#billing to "
        "purchase credit. Once you purchase credit, please wait a few minutes before trying again."
    )
    return ErrorAnswer(402, {"title": "Insufficient credit", "detail": detail, "status": 402})


def not_found() -> ErrorAnswer:
    return ErrorAnswer(404, {"detail": "The requested resource could not be found.", "status": 404})


def invalid_cursor() -> ErrorAnswer:
    return ErrorAnswer(404, {"detail": "Invalid cursor"})


def bad_request(detail: str) -> ErrorAnswer:
    return ErrorAnswer(400, {"detail": detail, "status": 400})


def invalid_version() -> ErrorAnswer:
    detail = "The specified version does not exist (or perhaps you don't have permission to use it?)"
    return ErrorAnswer(422, {"title": "Invalid version or not permitted", "detail": detail, "status": 422})


def invalid_input(fields: list[tuple[str, str, str]]) -> ErrorAnswer:
    """`fields`: (type, field, description) of each complaint."""
    lines = [f"- {field}: {text}\n" if field else f"- {text}\n" for _, field, text in fields]
    return ErrorAnswer(
        422,
        {
            "detail": "".join(lines),
            "status": 422,
            "title": "Input validation failed",
            "invalid_fields": [{"type": kind, "field": field, "description": text} for kind, field, text in fields],
        },
    )


def throttled_with_header(seconds: int) -> ErrorAnswer:
    detail = f"Request was throttled. Your rate limit resets in ~{seconds}s."
    return ErrorAnswer(429, {"detail": detail, "status": 429}, {"retry-after": str(seconds)})


def throttled_in_body(seconds: int) -> ErrorAnswer:
    detail = (
        "Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per minute with a "
        f"burst of 1 requests while you have less than $5.0 in credit. Your rate limit resets in ~{seconds}s."
    )
    return ErrorAnswer(429, {"detail": detail, "status": 429, "retry_after": seconds})


def throttled_in_text(seconds: int) -> ErrorAnswer:
    return ErrorAnswer(429, {"detail": f"Request was throttled. Your rate limit resets in ~{seconds}s."})


def internal_error() -> ErrorAnswer:
    return ErrorAnswer(500, {"detail": "Internal server error"})
