"""How a simulator is set up."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

DEFAULT_SPEED = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """Durations are in seconds. The defaults suit tests: empty, quiet, no file; the command line has its own."""

    speed: float = DEFAULT_SPEED
    """How much faster than the trainer's own time jobs run: 20 makes a training of 45 minutes last 2¼."""
    jobs: int = 0
    """How many jobs of history a simulator without state begins with."""
    new_job_every_seconds: float = 0.0
    """A new job starts by itself this often; 0: never."""
    keep_jobs: int = 10_000
    """Beyond this the oldest ended jobs are forgotten (404 from then on)."""
    retention_seconds: float = 3600.0
    """How long after the end of an API-made job its input, output and logs stay."""
    page_size: int = 100
    valid_tokens: frozenset[str] = frozenset()
    """Tokens that are accepted; empty: every non-empty one."""
    control_key: str | None = None
    """What `/_control` wants as bearer token; None: nothing."""
    webhook_secret: str | None = None
    """`whsec_…`; None: the one in the state file, else a random one."""
    webhook_retry_seconds: float = 60.0
    """How long after the first attempt a terminal webhook is tried again."""
    state_file: Path | None = None
    seed: int | None = None
    """Makes ids, history and chance repeatable; None: different each time."""


class OptionValues(TypedDict, total=False):
    """The same as keywords, for `running_simulator`."""

    speed: float
    jobs: int
    new_job_every_seconds: float
    keep_jobs: int
    retention_seconds: float
    page_size: int
    valid_tokens: frozenset[str]
    control_key: str | None
    webhook_secret: str | None
    webhook_retry_seconds: float
    state_file: Path | None
    seed: int | None
