"""What can be made to go wrong, where and how often."""

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class FaultKind(StrEnum):
    """The first group replaces an answer, the second breaks the connection, the third bends what is answered."""

    UNAUTHENTICATED = "401"
    NO_CREDIT = "402"
    NOT_FOUND = "404"
    INVALID = "422"
    THROTTLED_HEADER = "429"
    THROTTLED_BODY = "429_body"
    THROTTLED_TEXT = "429_text"
    SERVER_ERROR = "500"
    SERVER_ERROR_HTML = "500_html"
    HTML = "200_html"

    SLOW = "slow"
    TIMEOUT = "timeout"
    RESET = "reset"
    TRUNCATED = "truncated"
    ENDLESS = "endless"
    LOST_ANSWER = "lost_answer"

    PAGE_LOOP = "page_loop"
    NEXT_OFF_ORIGIN = "next_off_origin"
    NEXT_HTTP = "next_http"


BENDING = frozenset(
    {
        FaultKind.PAGE_LOOP,
        FaultKind.NEXT_OFF_ORIGIN,
        FaultKind.NEXT_HTTP,
    }
)


@dataclass(slots=True)
class SwitchedFault:
    """One thing going wrong. It strikes requests of `method` (any if None) whose path starts with `path`,
    each with `probability`, at most `remaining` times (without end if None)."""

    id: int
    kind: FaultKind
    path: str = "/v1/"
    method: str | None = None
    remaining: int | None = None
    probability: float = 1.0
    details: Mapping[str, object] = field(default_factory=dict)
    """seconds (429…, slow), url (next_off_origin)."""
    struck: int = 0

    @property
    def replaces(self) -> bool:
        """Whether the true answer is not given while this strikes."""
        return self.kind is not FaultKind.SLOW and self.kind not in BENDING

    def number(self, name: str, default: float) -> float:
        value = self.details.get(name, default)
        return float(value) if isinstance(value, int | float) else default

    def text(self, name: str, default: str) -> str:
        return str(self.details.get(name, default))


class FaultSwitches:
    """The faults that are switched on; safe to change from any thread while requests are served."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._rng = random.Random(seed)
        self._faults: list[SwitchedFault] = []
        self._next_id = 1

    def add(
        self,
        kind: FaultKind | str,
        *,
        path: str = "/v1/",
        method: str | None = None,
        count: int | None = None,
        probability: float = 1.0,
        **details: object,
    ) -> SwitchedFault:
        """Switch a fault on; raises ValueError for an unknown kind or a probability outside 0..1."""
        if not 0 <= probability <= 1:
            raise ValueError("probability must be between 0 and 1")
        with self._lock:
            fault = SwitchedFault(
                self._next_id, FaultKind(kind), path, method and method.upper(), count, probability, details
            )
            self._next_id += 1
            self._faults.append(fault)
            return fault

    def clear(self, fault_id: int | None = None) -> None:
        """Switch one fault off, or all."""
        with self._lock:
            self._faults = [fault for fault in self._faults if fault_id is not None and fault.id != fault_id]

    def active(self) -> list[SwitchedFault]:
        with self._lock:
            return [fault for fault in self._faults if fault.remaining != 0]

    def striking(self, method: str, path: str) -> list[SwitchedFault]:
        """The faults that strike this request, counted as struck; of those that replace the answer the oldest only."""
        with self._lock:
            hit: list[SwitchedFault] = []
            for fault in self._faults:
                replaced = any(earlier.replaces for earlier in hit)
                if (fault.replaces and replaced) or not self._strikes(fault, method, path):
                    continue
                fault.struck += 1
                if fault.remaining is not None:
                    fault.remaining -= 1
                hit.append(fault)
            return hit

    def _strikes(self, fault: SwitchedFault, method: str, path: str) -> bool:
        if fault.remaining == 0 or fault.method not in (None, method) or not path.startswith(fault.path):
            return False
        return fault.probability >= 1 or self._rng.random() < fault.probability
