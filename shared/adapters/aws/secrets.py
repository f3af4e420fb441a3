"""Where tokens and keys are kept: a file, AWS's parameter store, or, before both, the environment."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.domain.errors import ConfigurationError, InvalidInputError, StoreUnavailableError
from shared.ports import SecretStore

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient

CACHE_SECONDS = 300.0
ABSENT_CACHE_SECONDS = 10.0
"""A secret that was missing is looked for soon again: somebody is about to store it."""

MAX_SECRET_BYTES = 4096

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}", re.ASCII)

Answer = TypeVar("Answer")


@cache
def ssm_client() -> SSMClient:
    """One client a process, made when it is first needed."""
    import boto3  # noqa: PLC0415 - paid for at the first secret

    return boto3.client("ssm", config=Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 3}))


class FileSecrets:
    """Secrets in one JSON file that its owner alone may read. Safe between threads and processes of one machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, name: str, *, fresh: bool = False) -> str | None:  # noqa: ARG002 - it is read anew each time
        return self._load().get(_checked_name(name))

    def put(self, name: str, value: str) -> None:
        """Raises InvalidInputError for an empty or too long value."""
        name, value = _checked_name(name), _checked_value(value)
        with self._only_writer():
            self._save({**self._load(), name: value})

    def delete(self, name: str) -> None:
        with self._only_writer():
            known = self._load()
            if known.pop(_checked_name(name), None) is not None:
                self._save(known)

    def location(self) -> str:
        return f"the file {self._path}"

    def _load(self) -> dict[str, str]:
        try:
            stored = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            # Left before the next error is raised: the decoder's own quotes the file.
            stored = None
        if isinstance(stored, dict) and all(isinstance(value, str) for value in stored.values()):
            return stored
        raise ConfigurationError(
            f"The secrets file {self._path} cannot be read as JSON of names and texts: repair it, or move it away and "
            "store the secrets again."
        )

    def _save(self, values: Mapping[str, str]) -> None:
        """Replace the file at once, so that no reader and no crash meets half of it."""
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(values, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    @contextmanager
    def _only_writer(self) -> Iterator[None]:
        """Raises StoreUnavailableError when the directory or file cannot be written."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._path.with_name(f".{self._path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)
        except OSError as error:
            raise StoreUnavailableError(
                f"The secrets file {self._path} cannot be written: {error.strerror or 'unknown fault'}."
            ) from None


class SsmSecrets:
    """Secrets as SecureString parameters below `prefix`, remembered for CACHE_SECONDS at most (T24).

    Raises StoreUnavailableError when the parameter store cannot be asked, ConfigurationError when it may not be.
    """

    def __init__(
        self,
        prefix: str,
        client: Callable[[], SSMClient] = ssm_client,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`monotonic` gives seconds for the cache."""
        self._prefix = "/" + prefix.strip("/")
        self._client = client
        self._monotonic = monotonic
        self._cache: dict[str, tuple[float, str | None]] = {}

    def get(self, name: str, *, fresh: bool = False) -> str | None:
        path = self._path(name)
        cached = self._cache.get(path)
        if cached is not None and not fresh and self._monotonic() < cached[0]:
            return cached[1]
        answer = _asked(lambda: self._client().get_parameter(Name=path, WithDecryption=True), path)
        value = answer["Parameter"].get("Value") if answer is not None else None
        self._remember(path, value)
        return value

    def put(self, name: str, value: str) -> None:
        """Other processes see the new value within CACHE_SECONDS. Raises InvalidInputError for an unusable value."""
        path, value = self._path(name), _checked_value(value)
        _asked(lambda: self._client().put_parameter(Name=path, Value=value, Type="SecureString", Overwrite=True), path)
        self._remember(path, value)

    def delete(self, name: str) -> None:
        path = self._path(name)
        _asked(lambda: self._client().delete_parameter(Name=path), path)
        self._remember(path, None)

    def location(self) -> str:
        return f"AWS Systems Manager Parameter Store, encrypted, below {self._prefix}/"

    def _path(self, name: str) -> str:
        return f"{self._prefix}/{_checked_name(name)}"

    def _remember(self, path: str, value: str | None) -> None:
        lasts = CACHE_SECONDS if value is not None else ABSENT_CACHE_SECONDS
        self._cache[path] = (self._monotonic() + lasts, value)


class EnvironmentFirstSecrets:
    """What the environment gives wins over what is stored; storing and deleting reach the stored ones only."""

    def __init__(
        self,
        inner: SecretStore,
        variables: Mapping[str, str],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`variables` names the variable of each secret that may have one; `environment` None: that of the process."""
        self._inner = inner
        self._environment = os.environ if environment is None else environment
        self._variables = variables

    def get(self, name: str, *, fresh: bool = False) -> str | None:
        return self._given(name) or self._inner.get(name, fresh=fresh)

    def put(self, name: str, value: str) -> None:
        self._inner.put(name, value)

    def delete(self, name: str) -> None:
        self._inner.delete(name)

    def location(self) -> str:
        given = [variable for name, variable in sorted(self._variables.items()) if self._given(name)]
        if not given:
            return self._inner.location()
        return f"the environment ({', '.join(given)}), which wins over {self._inner.location()}"

    def _given(self, name: str) -> str:
        variable = self._variables.get(name)
        return self._environment.get(variable, "").strip() if variable else ""


def _asked(request: Callable[[], Answer], path: str) -> Answer | None:
    """The answer, None when there is no such parameter. AWS's own sentences may quote a value and are left out."""
    try:
        return request()
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
    except BotoCoreError as error:
        code = type(error).__name__
    if code == "ParameterNotFound":
        return None
    if code.startswith("AccessDenied"):
        raise ConfigurationError(f"This function's role may not use the parameter {path}; add it to the role.")
    raise StoreUnavailableError(f"The parameter store did not serve {path} ({code}); please try again.")


def _checked_name(name: str) -> str:
    if _NAME.fullmatch(name) is None or name in {".", ".."}:
        raise InvalidInputError("A secret's name has 1 to 100 letters, digits, dots, hyphens or underscores.")
    return name


def _checked_value(value: str) -> str:
    if not value:
        raise InvalidInputError("A secret must not be empty; delete it instead.")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        size = MAX_SECRET_BYTES + 1
    if size > MAX_SECRET_BYTES:
        raise InvalidInputError(f"A secret is text of at most {MAX_SECRET_BYTES} bytes.")
    return value
