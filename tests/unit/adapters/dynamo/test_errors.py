"""Which words of the store mean what to the services; none of its faults is left unmapped."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from shared.adapters.dynamo.errors import CONDITION_FAILED, translated
from shared.domain.errors import StoreUnavailableError


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "secret table arn"}}, "PutItem")


@pytest.mark.parametrize(
    "code",
    [
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
        "InternalServerError",
        "ServiceUnavailable",
        "TransactionInProgressException",
        "TransactionConflictException",
        "ResourceNotFoundException",
        "AccessDeniedException",
        "UnrecognizedClientException",
        "",
    ],
)
def test_a_store_that_does_not_serve_us_is_unavailable(code: str) -> None:
    with pytest.raises(StoreUnavailableError) as caught, translated():
        raise client_error(code)
    assert "secret" not in caught.value.detail


@pytest.mark.parametrize(
    "error",
    [
        ConnectTimeoutError(endpoint_url="https://x"),
        ReadTimeoutError(endpoint_url="https://x"),
        EndpointConnectionError(endpoint_url="https://x"),
        NoCredentialsError(),
    ],
)
def test_a_store_out_of_reach_is_unavailable(error: BotoCoreError) -> None:
    with pytest.raises(StoreUnavailableError), translated():
        raise error


@pytest.mark.parametrize("code", [CONDITION_FAILED, "TransactionCanceledException", "ValidationException"])
def test_guards_and_our_own_mistakes_pass_through(code: str) -> None:
    with pytest.raises(ClientError), translated():
        raise client_error(code)
