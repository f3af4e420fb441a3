"""What the pool and its workers say to each other: JSON behind four bytes with its length."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from typing import Any, Self

LENGTH = struct.Struct("!I")
LARGEST_MESSAGE = 64_000_000


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """A function as `serverless.yml` declares it; the time-out in seconds, the memory in MB.

    At most so many workers of it run at once. Who is `patient` leaves the processor to functions that somebody waits
    for; on AWS each has its own.
    """

    name: str
    handler: str
    timeout: float
    memory: int
    most_workers: int
    patient: bool = False

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        return cls(**json.loads(data))


def framed(message: Any) -> bytes:
    """Raises TypeError or ValueError for what JSON can't say."""
    data = json.dumps(message, allow_nan=False).encode()
    return LENGTH.pack(len(data)) + data
