"""What everyone who asks for a secret relies on, on the fake, the file and the parameter store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from shared.adapters.aws.secrets import EnvironmentFirstSecrets, FileSecrets, SsmSecrets
from shared.ports import SecretStore
from tests.fakes.doubles import FakeSecrets

NAME = "replicate_api_token"
CANARY = "r8_this-value-must-stay-inside"


@dataclass(frozen=True)
class Secrets:
    """A store, and the same secrets as another process sees them, which remembers nothing."""

    store: SecretStore
    elsewhere: Callable[[], SecretStore]


@pytest.fixture(params=["fake", "file", "environment first", "ssm"])
def secrets(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Secrets]:
    if request.param == "fake":
        fake = FakeSecrets()

        def another() -> FakeSecrets:
            other = FakeSecrets()
            other.values = fake.values
            return other

        yield Secrets(fake, another)
    elif request.param == "ssm":
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        with mock_aws():
            client = boto3.client("ssm", region_name="us-east-1")
            yield Secrets(SsmSecrets("/x", lambda: client), lambda: SsmSecrets("/x", lambda: client))
    else:
        path = tmp_path / "secrets.json"

        def of_file() -> SecretStore:
            inner = FileSecrets(path)
            return inner if request.param == "file" else EnvironmentFirstSecrets(inner, {})

        yield Secrets(of_file(), of_file)


def test_a_secret_that_was_never_stored_is_none(secrets: Secrets) -> None:
    assert secrets.store.get(NAME) is None
    assert secrets.store.get(NAME, fresh=True) is None


def test_what_is_stored_is_known_at_once_and_exactly(secrets: Secrets) -> None:
    for value in (CANARY, "two words", "ü…", "x" * 4000):
        secrets.store.put(NAME, value)
        assert secrets.store.get(NAME) == value
        assert secrets.elsewhere().get(NAME) == value


def test_a_fresh_look_sees_what_another_process_has_stored(secrets: Secrets) -> None:
    secrets.store.put(NAME, "first")
    assert secrets.store.get(NAME) == "first"
    secrets.elsewhere().put(NAME, "second")
    assert secrets.store.get(NAME, fresh=True) == "second"
    assert secrets.store.get(NAME) == "second"


def test_a_deleted_secret_is_gone_for_everyone(secrets: Secrets) -> None:
    secrets.store.put(NAME, CANARY)
    secrets.store.put("other", "stays")
    secrets.store.delete(NAME)
    assert secrets.store.get(NAME) is None
    assert secrets.elsewhere().get(NAME) is None
    assert secrets.store.get("other") == "stays"


def test_deleting_what_is_not_there_is_no_error(secrets: Secrets) -> None:
    secrets.store.delete(NAME)
    assert secrets.store.get(NAME) is None


def test_neither_the_place_nor_the_store_itself_tells_a_value(secrets: Secrets) -> None:
    secrets.store.put(NAME, CANARY)
    assert secrets.store.location()
    assert CANARY not in f"{secrets.store.location()} {secrets.store!r} {secrets.store}"
