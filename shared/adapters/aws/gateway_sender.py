"""WebSocket pushes through API Gateway's management API."""

from __future__ import annotations

from urllib.parse import quote

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ConnectionClosedError, NoCredentialsError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

from shared.domain.errors import ConnectionGone, SendFailed, SendThrottled

TIMEOUT_SECONDS = 1
MAX_CONNECTIONS = 128
"""At least as many as DeliverEvents sends at once; beyond the pool every send would open a connection of its own."""

_GONE = 410


class GatewaySender:
    """`ports.Sender`. One try a send: who waits longer than a second, or is throttled, is told so at once.

    Requests are signed and sent with botocore's own parts, but not by its client, which spends twice the processor time
    on each, and a change to 1,000 sockets is 1,000 requests. Answers are judged by the HTTP status alone: AWS says
    GoneException, the local emulator only "410" (AWS-9).
    """

    def __init__(self, callback_url: str) -> None:
        self._connections_url = f"{callback_url.rstrip('/')}/@connections/"
        self._session = boto3.Session()
        self._http = URLLib3Session(timeout=TIMEOUT_SECONDS, max_pool_connections=MAX_CONNECTIONS)

    def send(self, connection_id: str, body: bytes) -> None:
        """Raises ConnectionGone, SendThrottled (refused for another reason, not reached) or SendFailed (1 s passed)."""
        self._request("POST", connection_id, body)

    def disconnect(self, connection_id: str) -> None:
        """End a connection. Raises as `send` does."""
        self._request("DELETE", connection_id, b"")

    def _request(self, method: str, connection_id: str, body: bytes) -> None:
        try:
            status = self._answer(method, connection_id, body)
        except ReadTimeoutError as error:
            raise SendFailed("The connection did not take the message within a second.") from error
        except BotoCoreError as error:
            raise SendThrottled(f"The gateway could not be reached: {type(error).__name__}.") from error
        if status == _GONE:
            raise ConnectionGone("The connection no longer exists.")
        if status >= 300:
            raise SendThrottled(f"The gateway refused the request with {status}.")

    def _answer(self, method: str, connection_id: str, body: bytes) -> int:
        """The status. A kept connection that the gateway has closed meanwhile is no answer yet: then on a new one."""
        request = AWSRequest(method, self._connections_url + quote(connection_id, safe=""), data=body)
        credentials = self._session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        SigV4Auth(credentials, "execute-api", self._session.region_name).add_auth(request)
        prepared = request.prepare()
        try:
            return int(self._http.send(prepared).status_code)
        except ConnectionClosedError:
            return int(self._http.send(prepared).status_code)
