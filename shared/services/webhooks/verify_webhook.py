"""The Standard Webhooks signature, judged over the raw bytes before anything of them is believed (I32)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.errors import SigningKeyUnavailableError, WebhookRejected

TOLERANCE_SECONDS = 300
MIN_KEY_BYTES = 24
"""T3: a shorter secret, and above all an empty one, is no secret."""

_SECRET_PREFIX = "whsec_"  # noqa: S105 - what every such secret begins with
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_TIMESTAMP = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)
_SIGNATURES = re.compile(r"v[0-9]{1,2}[a-z]?,[A-Za-z0-9+/=]{1,200}(?: v[0-9]{1,2}[a-z]?,[A-Za-z0-9+/=]{1,200}){0,15}")


@dataclass(frozen=True, slots=True)
class SignedHeaders:
    """Headers whose form and time are right; whether their sender is, only the signature can tell."""

    webhook_id: str
    timestamp: str
    signatures: tuple[bytes, ...]


def checked_headers(headers: Mapping[str, str], now: datetime) -> SignedHeaders:
    """What `webhook-id`, `webhook-timestamp` and `webhook-signature` tell.

    Raises WebhookRejected unless all three are well-formed and the time is within ± TOLERANCE_SECONDS. Headers sent
    twice arrive joined by a comma and fit no pattern (T4).
    """
    webhook_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    signature = headers.get("webhook-signature", "")
    if _ID.fullmatch(webhook_id) is None:
        raise WebhookRejected("id")
    if _TIMESTAMP.fullmatch(timestamp) is None:
        raise WebhookRejected("timestamp")
    if _SIGNATURES.fullmatch(signature) is None:
        raise WebhookRejected("signature form")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
        raise WebhookRejected("time")
    given = (part.encode("ascii") for part in signature.split(" "))
    return SignedHeaders(webhook_id, timestamp, tuple(part[3:] for part in given if part.startswith(b"v1,")))


def is_signed(headers: SignedHeaders, body: bytes, keys: Sequence[bytes]) -> bool:
    """Whether one of the signatures is one of the keys'. Compared as encoded bytes, so that no bit of it may differ."""
    content = b".".join((headers.webhook_id.encode("ascii"), headers.timestamp.encode("ascii"), body))
    expected = [base64.b64encode(hmac.digest(key, content, hashlib.sha256)) for key in keys]
    matches = [hmac.compare_digest(given, ours) for given in headers.signatures for ours in expected]
    return any(matches)


def signing_key(secret: str) -> bytes:
    """The key in a `whsec_…` secret. Raises SigningKeyUnavailableError when it is malformed or too short."""
    try:
        key = base64.b64decode(secret.strip().removeprefix(_SECRET_PREFIX).encode("ascii"), validate=True)
    except ValueError:
        key = b""
    if len(key) < MIN_KEY_BYTES:
        raise SigningKeyUnavailableError("The webhook signing secret is malformed or too short to be trusted.")
    return key
