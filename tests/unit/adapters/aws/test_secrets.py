"""Where secrets are kept: they come back, stay private, and are quoted by nothing."""

from __future__ import annotations

import base64
import json
import os
import stat
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from shared.adapters.aws.secrets import (
    ABSENT_CACHE_SECONDS,
    CACHE_SECONDS,
    EnvironmentFirstSecrets,
    FileSecrets,
    SsmSecrets,
)
from shared.domain.errors import CloudJobsError, ConfigurationError, InvalidInputError, StoreUnavailableError
from shared.ports import SecretStore
from tests.fakes.clock import FakeClock
from tests.fakes.doubles import FakeSecrets

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient

CANARY = "r8_canary0123456789"
VARIABLES = {"replicate_api_token": "REPLICATE_API_TOKEN"}
TOKEN = "replicate_api_token"


@pytest.fixture(scope="module")
def parameter_store() -> Iterator[SSMClient]:
    with pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "testing")
        environment.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        with mock_aws():
            yield boto3.client("ssm")


@pytest.fixture
def ssm(parameter_store: SSMClient) -> SSMClient:
    """A parameter store without parameters."""
    stored = parameter_store.describe_parameters()["Parameters"]
    for parameter in stored:
        parameter_store.delete_parameter(Name=parameter["Name"])
    return parameter_store


@pytest.fixture(params=["file", "ssm"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SecretStore:
    if request.param == "file":
        return FileSecrets(tmp_path / "data" / "secrets.json")
    ssm: SSMClient = request.getfixturevalue("ssm")
    return SsmSecrets("/simpletuner/test", lambda: ssm)


def test_a_stored_secret_comes_back_and_can_be_replaced_and_deleted(store: SecretStore) -> None:
    assert store.get(TOKEN) is None
    store.put(TOKEN, "first")
    store.put("other", "ünïcode\nlines")
    store.put(TOKEN, "second")
    assert (store.get(TOKEN), store.get("other")) == ("second", "ünïcode\nlines")
    store.delete(TOKEN)
    store.delete(TOKEN)
    assert (store.get(TOKEN), store.get("other")) == (None, "ünïcode\nlines")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a b", "a" * 101, "a\x00", "ü"])
def test_a_name_that_could_lead_elsewhere_is_refused(store: SecretStore, name: str) -> None:
    with pytest.raises(InvalidInputError):
        store.get(name)
    with pytest.raises(InvalidInputError):
        store.put(name, "value")
    with pytest.raises(InvalidInputError):
        store.delete(name)


@pytest.mark.parametrize("value", ["", "x" * 4097, "\ud800"])
def test_a_value_that_cannot_be_kept_is_refused_without_being_quoted(store: SecretStore, value: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        store.put(TOKEN, value)
    assert "xxx" not in raised.value.detail


def test_a_fresh_look_sees_what_another_process_has_stored(ssm: SSMClient, tmp_path: Path) -> None:
    ours, theirs = (SsmSecrets("/simpletuner/test", lambda: ssm) for _ in range(2))
    ours.put(TOKEN, "old")
    theirs.put(TOKEN, "new")
    assert (ours.get(TOKEN), ours.get(TOKEN, fresh=True), ours.get(TOKEN)) == ("old", "new", "new")
    FileSecrets(tmp_path / "secrets.json").put(TOKEN, "new")
    assert (
        EnvironmentFirstSecrets(FileSecrets(tmp_path / "secrets.json"), VARIABLES, {}).get(TOKEN, fresh=True) == "new"
    )


def test_values_are_in_no_repr(store: SecretStore) -> None:
    store.put(TOKEN, CANARY)
    wrapped = EnvironmentFirstSecrets(store, VARIABLES, {"REPLICATE_API_TOKEN": CANARY})
    assert store.get(TOKEN) == CANARY
    assert CANARY not in repr(store) + repr(wrapped) + store.location() + wrapped.location()


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secrets.json"
    old_mask = os.umask(0)
    try:
        FileSecrets(path).put(TOKEN, CANARY)
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_closed_by_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text('{"kept": "value"}')
    path.chmod(0o644)
    FileSecrets(path).put(TOKEN, CANARY)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {"kept": "value", TOKEN: CANARY}


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secrets.json"
    secrets = FileSecrets(path)
    secrets.put(TOKEN, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailableError, match="No space left"):
        secrets.put(TOKEN, "new")
    assert secrets.get(TOKEN) == "old"
    assert [file.name for file in tmp_path.iterdir() if CANARY in file.read_text()] == []
    assert sorted(file.name for file in tmp_path.iterdir()) == [".secrets.json.lock", "secrets.json"]


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailableError, match="cannot be written"):
        FileSecrets(tmp_path / "file" / "secrets.json").put(TOKEN, CANARY)


@pytest.mark.parametrize("content", ["", "{", f'{{"{TOKEN}": "{CANARY}",', '["x"]', f'{{"{CANARY}": 1}}', "\udcff"])
def test_a_damaged_file_is_a_configuration_error_that_quotes_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secrets.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigurationError) as read:
        FileSecrets(path).get(TOKEN)
    with pytest.raises(ConfigurationError) as written:
        FileSecrets(path).put(TOKEN, "x")
    for raised in (read.value, written.value):
        assert CANARY not in "".join(traceback.format_exception(raised))
        assert raised.__context__ is None
    assert path.read_bytes() == content.encode("utf-8", "surrogateescape")


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"

    def put_many(writer: int) -> None:
        for number in range(20):
            FileSecrets(path).put(f"writer{writer}.{number}", "value")

    writers = [threading.Thread(target=put_many, args=(writer,)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert len(json.loads(path.read_text())) == 80


def test_parameters_are_encrypted_and_below_the_prefix(ssm: SSMClient) -> None:
    SsmSecrets("simpletuner/test/", lambda: ssm).put(TOKEN, CANARY)
    parameter = ssm.get_parameter(Name=f"/simpletuner/test/{TOKEN}")["Parameter"]
    assert parameter["Type"] == "SecureString"
    assert parameter["Value"] != CANARY


class CountingSsm:
    """A parameter store that counts reads and fails as told."""

    def __init__(self) -> None:
        self.reads = 0
        self.values: dict[str, str] = {}
        self.error: Exception | None = None

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> dict[str, dict[str, str]]:  # noqa: N803 - AWS's names
        self.reads += 1
        if self.error is not None:
            raise self.error
        if Name not in self.values:
            raise aws_error("ParameterNotFound")
        return {"Parameter": {"Value": self.values[Name]}}

    def put_parameter(self, *, Name: str, Value: str, **_: object) -> None:  # noqa: N803 - AWS's names
        if self.error is not None:
            raise self.error
        self.values[Name] = Value


def aws_error(code: str, message: str = "told") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "GetParameter")


@pytest.fixture
def counting() -> CountingSsm:
    return CountingSsm()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cached(counting: CountingSsm, clock: FakeClock) -> SsmSecrets:
    return SsmSecrets("/p", lambda: counting, monotonic=clock.monotonic)  # type: ignore[arg-type,return-value]


def test_a_parameter_is_remembered_for_five_minutes_at_most(
    cached: SsmSecrets, counting: CountingSsm, clock: FakeClock
) -> None:
    counting.values[f"/p/{TOKEN}"] = "old"
    assert cached.get(TOKEN) == "old"
    counting.values[f"/p/{TOKEN}"] = "new"
    clock.advance(CACHE_SECONDS - 1)
    assert cached.get(TOKEN) == "old"
    clock.advance(1)
    assert cached.get(TOKEN) == "new"
    assert counting.reads == 2
    assert CACHE_SECONDS <= 300


def test_a_missing_parameter_is_looked_for_soon_again(
    cached: SsmSecrets, counting: CountingSsm, clock: FakeClock
) -> None:
    for _ in range(5):
        assert cached.get(TOKEN) is None
    assert counting.reads == 1
    counting.values[f"/p/{TOKEN}"] = "stored elsewhere"
    clock.advance(ABSENT_CACHE_SECONDS)
    assert cached.get(TOKEN) == "stored elsewhere"


def test_what_this_process_stored_it_knows_at_once(cached: SsmSecrets, counting: CountingSsm) -> None:
    assert cached.get(TOKEN) is None
    cached.put(TOKEN, "new")
    assert cached.get(TOKEN) == "new"
    assert counting.reads == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (aws_error("ThrottlingException"), StoreUnavailableError),
        (aws_error("InternalServerError"), StoreUnavailableError),
        (aws_error("ValidationException", f"Value '{CANARY}' failed to satisfy constraint"), StoreUnavailableError),
        (aws_error("AccessDeniedException"), ConfigurationError),
        (EndpointConnectionError(endpoint_url="https://ssm.example"), StoreUnavailableError),
    ],
)
def test_a_fault_of_the_parameter_store_is_ours_and_never_quotes_a_value(
    cached: SsmSecrets, counting: CountingSsm, error: Exception, expected: type[CloudJobsError]
) -> None:
    counting.error = error
    with pytest.raises(expected) as read:
        cached.get(TOKEN)
    with pytest.raises(expected) as written:
        cached.put(TOKEN, CANARY)
    for raised in (read.value, written.value):
        told = "".join(traceback.format_exception(raised))
        assert CANARY not in told
        assert base64.b64encode(CANARY.encode()).decode() not in told


def test_a_fault_is_not_remembered(cached: SsmSecrets, counting: CountingSsm) -> None:
    counting.error = aws_error("ThrottlingException")
    with pytest.raises(StoreUnavailableError):
        cached.get(TOKEN)
    counting.error = None
    counting.values[f"/p/{TOKEN}"] = "there"
    assert cached.get(TOKEN) == "there"


def test_a_token_of_the_environment_wins_over_a_stored_one() -> None:
    stored = FakeSecrets(**{TOKEN: "stored"})
    secrets = EnvironmentFirstSecrets(stored, VARIABLES, {"REPLICATE_API_TOKEN": " given\n"})
    assert secrets.get(TOKEN) == "given"
    assert secrets.location() == "the environment (REPLICATE_API_TOKEN), which wins over the memory of this test"


@pytest.mark.parametrize("environment", [{}, {"REPLICATE_API_TOKEN": ""}, {"REPLICATE_API_TOKEN": "  "}])
def test_without_one_in_the_environment_the_stored_token_counts(environment: dict[str, str]) -> None:
    secrets = EnvironmentFirstSecrets(FakeSecrets(**{TOKEN: "stored"}), VARIABLES, environment)
    assert (secrets.get(TOKEN), secrets.location()) == ("stored", "the memory of this test")


def test_storing_and_deleting_reach_the_stored_secrets() -> None:
    stored = FakeSecrets()
    secrets = EnvironmentFirstSecrets(stored, VARIABLES, {"REPLICATE_API_TOKEN": "given"})
    secrets.put(TOKEN, "new")
    assert stored.values == {TOKEN: "new"}
    secrets.delete(TOKEN)
    assert (stored.values, secrets.get(TOKEN)) == ({}, "given")


def test_other_variables_of_the_environment_are_no_secrets() -> None:
    secrets = EnvironmentFirstSecrets(
        FakeSecrets(), VARIABLES, {"PATH": "/bin", "OTHER": "x", "REPLICATE_API_TOKEN": "given"}
    )
    assert (secrets.get("path"), secrets.get("PATH"), secrets.get("other")) == (None, None, None)
