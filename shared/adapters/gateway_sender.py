"""WebSocket pushes through API Gateway's management API."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from shared.domain.errors import ConnectionGone, SendFailed, SendThrottled

if TYPE_CHECKING:
    from types_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

TIMEOUT_SECONDS = 1
MAX_CONNECTIONS = 128
"""At least as many as `fan_out` has lanes; beyond the pool every send would open a connection of its own."""

_GONE = 410


class GatewaySender:
    """`ports.Sender`. One try a send: who waits longer than a second, or is throttled, is told so at once.

    Errors are judged by the HTTP status: AWS says GoneException, the local emulator only "410" (trap 9).
    """

    def __init__(self, callback_url: str) -> None:
        self._callback_url = callback_url

    @cached_property
    def _client(self) -> ApiGatewayManagementApiClient:
        config = Config(
            connect_timeout=TIMEOUT_SECONDS,
            read_timeout=TIMEOUT_SECONDS,
            retries={"total_max_attempts": 1},
            max_pool_connections=MAX_CONNECTIONS,
            tcp_keepalive=True,
        )
        return boto3.client("apigatewaymanagementapi", endpoint_url=self._callback_url, config=config)

    def send(self, connection_id: str, body: bytes) -> None:
        """Raises ConnectionGone, SendThrottled (429, 5xx) or SendFailed (1 s passed)."""
        try:
            self._client.post_to_connection(ConnectionId=connection_id, Data=body)
        except (ClientError, BotoCoreError) as error:
            raise _translated(error) from error

    def disconnect(self, connection_id: str) -> None:
        """End a connection. Raises as `send` does."""
        try:
            self._client.delete_connection(ConnectionId=connection_id)
        except (ClientError, BotoCoreError) as error:
            raise _translated(error) from error


def _translated(error: ClientError | BotoCoreError) -> ConnectionGone | SendFailed:
    if isinstance(error, ReadTimeoutError):
        return SendFailed("The connection did not take the message within a second.")
    if isinstance(error, ClientError):
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == _GONE:
            return ConnectionGone("The connection no longer exists.")
        return SendThrottled(f"The gateway refused the message with {status}.")
    return SendThrottled("The gateway could not be reached.")
