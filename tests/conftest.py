"""What every test gets: no way to a real account, and, for those that ask, one running stack or database a session."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from infra.local.stack.environment import aws_environment
from infra.local.stack.settings import read_settings
from tests.local.stack import RunningStack, in_memory_dynamodb

# Addresses where nothing listens: a test that forgets its fake fails at once instead of reaching an account.
_NOWHERE = {
    "HTTP_PORT": "1",
    "WS_PORT": "2",
    "LAMBDA_PORT": "3",
    "DYNAMODB_PORT": "4",
    "SIMULATOR_PORT": "6",
}
_DUMMY = aws_environment(read_settings(_NOWHERE), "local")
os.environ.update({key: value for key, value in _DUMMY.items() if not key.startswith("AWS_ENDPOINT_URL")})
for _name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "REPLICATE_API_TOKEN", "REPLICATE_API_BASE_URL"):
    os.environ.pop(_name, None)

# A busy machine is no failure, and `make test` tries the same examples every time; `make proof` looks for new ones.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize="PROOF" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first, so that two workers, who take a file each, end together."""
    items.sort(key=lambda item: item.path.name != "test_page.py")


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The whole local stack on free ports with empty data, shared by the session's tests, and quicker than usual."""
    quick = {"SSE_HOLD_SECONDS": "8", "PROGRESS_MAX_AGE_SECONDS": "1", "SIMPLETUNER_JOB_POLL_INTERVAL": "10"}
    with RunningStack(tmp_path_factory.mktemp("stack"), environment=quick) as stack:
        stack.start()
        yield stack


@pytest.fixture(scope="session")
def dynamodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """DynamoDB Local in memory, without tables; `infra.local.stack.tables.create_tables` makes them under a prefix."""
    with in_memory_dynamodb(tmp_path_factory.mktemp("dynamodb")) as url:
        yield url
