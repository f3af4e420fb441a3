"""What outlives a restart: the jobs' parameters, who was told what, the secret and the clock."""

import os
import tempfile
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from .jobs import SimulatedJob


class Told(BaseModel):
    """Which webhooks of a job went out."""

    start: bool = False
    output: bool = False
    completed: bool = False


class State(BaseModel):
    """The file's content."""

    webhook_secret: str
    clock_offset_ns: int = 0
    next_newcomer_ns: int | None = None
    jobs: list[SimulatedJob] = Field(default_factory=list)
    told: dict[str, Told] = Field(default_factory=dict)


def load_state(path: Path) -> State | None:
    """The stored state, or None if there is none. A file that can't be read is kept aside as `….broken`."""
    try:
        return State.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        path.replace(path.with_name(path.name + ".broken"))
        return None


def save_state(path: Path, state: State) -> None:
    """Replace the file as a whole, so that a crash leaves the old one; only its owner can read the secret in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".new")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(state.model_dump_json().encode())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
