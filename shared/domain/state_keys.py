"""Every key of the state table, in one place: the roles in infra/access.yml are conditions on their beginnings."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta

CLAIM_PREFIX = "claim#"
DELIVERY_PREFIX = "delivery#"
TOTAL_PREFIX = "total#"
JOB_STORE_PREFIXES = (CLAIM_PREFIX, DELIVERY_PREFIX, TOTAL_PREFIX)
"""Written by the job store alone, in the transactions of changes."""

CURSOR_KEY = "signing-key#cursor"
POLLING_PREFERENCE = "preference#polling"
PUSHER_CURSOR = "pusher"
QUEUE_LIMITS = "queue#limits"
REVOCATIONS = "revocations"
SCHEDULE = "schedule#start_ticks"
STREAM_HOLDS = "sse-held"
COMMITTER_LEASE = "lease#committer"


_LONGEST_LIVES = {
    "lease#": timedelta(minutes=5),
    "session#": timedelta(hours=12),
    "ws-ticket#": timedelta(seconds=60),
    "provider-hold#": timedelta(minutes=17),
    "system-status#": timedelta(seconds=60),
    "webhook-secret#": timedelta(seconds=60),
    "sse-held#": timedelta(seconds=30),
    "sse-ip#": timedelta(seconds=30),
}
"""How long what keeps others away, or lets somebody in, lasts at the most. A list of revocations lets nobody in."""


def longest_life(key: str) -> timedelta | None:
    """None: for what is kept for good, or loses nothing by lasting longer."""
    return next((life for prefix, life in _LONGEST_LIVES.items() if key.startswith(prefix)), None)


def claim(provider: str, external_id: str) -> str:
    return f"{CLAIM_PREFIX}{provider}#{external_id}"


def delivery(provider_and_id: str) -> str:
    """Of a webhook that has had its effect; its id is the provider's own (I33)."""
    return f"{DELIVERY_PREFIX}{provider_and_id}"


def total(provider: str, day: date) -> str:
    return f"{TOTAL_PREFIX}{provider}#{day.isoformat()}"


def api_key(key_id: str) -> str:
    """Its value holds `hash`, `user_id`, `role`."""
    return f"api-key#{key_id}"


def session(token: str) -> str:
    """Stored hashed, so that who reads the table cannot use what is in it; so is a ticket."""
    return f"session#{_hashed(token)}"


def ticket(secret: str) -> str:
    return f"ws-ticket#{_hashed(secret)}"


def provider_config(provider: str) -> str:
    return f"provider-config#{provider}"


def provider_hold(provider: str) -> str:
    """Until when no function may ask a provider that has answered 429."""
    return f"provider-hold#{provider}"


def system_status(provider: str) -> str:
    return f"system-status#{provider}"


def webhook_secret_asked(provider: str) -> str:
    return f"webhook-secret#{provider}"


def poll(provider: str) -> str:
    return f"poll#{provider}"


def streams_of_address(network: str) -> str:
    return f"sse-ip#{network}"


def slot(name: str, number: int) -> str:
    """One of the counted slots below a name."""
    return f"{name}#{number}"


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
