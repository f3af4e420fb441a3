"""What was asked of the simulator, so that tests can count a client's calls."""

import re
import threading
from collections import Counter, deque
from dataclasses import dataclass

_KEPT = 20_000
_TEMPLATES = tuple(
    (re.compile(pattern), template)
    for pattern, template in (
        (r"/v1/predictions/[^/]+/cancel", "/v1/predictions/{id}/cancel"),
        (r"/v1/predictions/[^/]+", "/v1/predictions/{id}"),
        (r"/v1/trainings/[^/]+/cancel", "/v1/trainings/{id}/cancel"),
        (r"/v1/trainings/[^/]+", "/v1/trainings/{id}"),
        (r"/v1/models/[^/]+/[^/]+/versions", "/v1/models/{owner}/{name}/versions"),
    )
)


def template_of(path: str) -> str:
    """`/v1/predictions/{id}` for any id; a path without a variable part is its own template."""
    for pattern, template in _TEMPLATES:
        if pattern.fullmatch(path):
            return template
    return path


@dataclass(slots=True)
class Request:
    """One request; `at` is the simulator's time in seconds, `status` 0 while or if there was no answer."""

    at: float
    method: str
    path: str
    query: str
    template: str
    status: int = 0


class RequestLog:
    """Counts and keeps the last requests; safe to read from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[Request] = deque(maxlen=_KEPT)
        self._counts: Counter[str] = Counter()
        self._in_flight = 0
        self._max_in_flight = 0

    def began(self, request: Request) -> None:
        with self._lock:
            self._entries.append(request)
            self._counts[f"{request.method} {request.template}"] += 1
            self._in_flight += 1
            self._max_in_flight = max(self._max_in_flight, self._in_flight)

    def ended(self) -> None:
        with self._lock:
            self._in_flight -= 1

    @property
    def total(self) -> int:
        """How many requests came since the start or the last reset."""
        with self._lock:
            return self._counts.total()

    @property
    def max_in_flight(self) -> int:
        """How many were open at once, at most."""
        with self._lock:
            return self._max_in_flight

    @property
    def entries(self) -> list[Request]:
        """The requests themselves, oldest first (the last 20,000)."""
        with self._lock:
            return list(self._entries)

    def counts(self) -> dict[str, int]:
        """`{"GET /v1/predictions/{id}": 3, …}`."""
        with self._lock:
            return dict(self._counts)

    def count(self, method: str, template: str) -> int:
        """How often `method` was asked of a path template such as `/v1/predictions/{id}`."""
        with self._lock:
            return self._counts[f"{method} {template}"]

    def reset(self) -> None:
        with self._lock:
            self._entries.clear()
            self._counts.clear()
            self._max_in_flight = self._in_flight
