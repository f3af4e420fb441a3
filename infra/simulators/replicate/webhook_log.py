"""What the webhook sender did, and what can be made to go wrong with its deliveries."""

import threading
from collections import deque
from dataclasses import dataclass

_KEPT = 5_000


@dataclass(slots=True)
class WebhookFaults:
    """Switches for deliveries; only webhooks of `events` are touched (all if empty)."""

    duplicates: int = 0
    """How many more times each delivery is sent, with the same webhook-id."""
    reorder: bool = False
    """Hold everything back until after `completed`, then send it newest first."""
    delay_seconds: float = 0.0
    drop_next: int = 0
    drop_probability: float = 0.0
    two_signatures: bool = False
    """Put a signature made with another secret before the true one."""
    bad_signature: bool = False
    events: tuple[str, ...] = ()

    def touches(self, event: str) -> bool:
        return not self.events or event in self.events


@dataclass(frozen=True, slots=True)
class WebhookAttempt:
    """One attempt; `status` is 0 when there was no answer, `dropped` when it was not even tried."""

    at: float
    job_id: str
    event: str
    webhook_id: str
    attempt: int
    status: int
    dropped: bool = False


class WebhookAttempts:
    """The last attempts, oldest first; safe to read from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[WebhookAttempt] = deque(maxlen=_KEPT)

    def add(self, attempt: WebhookAttempt) -> None:
        with self._lock:
            self._entries.append(attempt)

    def entries(self) -> list[WebhookAttempt]:
        with self._lock:
            return list(self._entries)

    def reset(self) -> None:
        with self._lock:
            self._entries.clear()
