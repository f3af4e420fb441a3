"""The folder that outlives a stack: one stack at a time has it, and only its owner can read it."""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local.stack.environment import secrets_file
from infra.local.stack.settings import StackSettings


class DataDirInUseError(Exception):
    """Another stack works on the same data; the message says what to do."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"The data directory {folder} is already in use: stop the stack that works on it, "
            "or choose another directory, for example `make run DATA_DIR=.data-2`."
        )


@contextmanager
def prepared_data_dir(settings: StackSettings) -> Iterator[None]:
    """Holds the folder, with all that a stack expects in it. Raises DataDirInUseError.

    The lock is the process's: whoever kills it frees the folder.
    """
    folder = settings.data_dir
    (folder / "dynamodb").mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataDirInUseError(folder) from None
        (folder / "logs").mkdir(exist_ok=True)
        _make_private(secrets_file(settings), "{}\n")
        _make_private(settings.key_file, f"LOCAL{secrets.token_hex(16)}\n")
        yield


def _make_private(path: Path, content: str) -> None:
    """Writes what is not there, or is empty since its writing was broken off."""
    if not path.exists() or not path.stat().st_size:
        scratch = path.with_suffix(".new")
        scratch.touch(mode=0o600)
        scratch.write_text(content, encoding="utf-8")
        scratch.replace(path)
    path.chmod(0o600)
