"""A provider's public status page (incident.io's summary): one bounded GET, no redirect, no credentials."""

from __future__ import annotations

import json
from collections.abc import Mapping

import httpx

from shared.domain.errors import ProviderAnswerInvalidError, ProviderUnavailableError

MAX_BYTES = 1_000_000
SECONDS = 5.0


class StatusPage:
    """Reads `url`, an address of ours and never one from an answer."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url
        self._transport = transport

    def summary(self) -> Mapping[str, object]:
        """Raises ProviderUnavailableError, ProviderAnswerInvalidError."""
        try:
            with (
                httpx.Client(transport=self._transport, timeout=SECONDS, follow_redirects=False) as client,
                client.stream("GET", self._url, headers={"Accept": "application/json"}) as answer,
            ):
                if answer.status_code != 200:
                    raise ProviderUnavailableError(f"The status page answers with HTTP {answer.status_code}.")
                content = b""
                for chunk in answer.iter_bytes():
                    content += chunk
                    if len(content) > MAX_BYTES:
                        raise ProviderAnswerInvalidError("The status page's answer is too large.")
        except httpx.HTTPError:
            raise ProviderUnavailableError("The status page could not be reached.") from None
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise ProviderAnswerInvalidError("The status page did not answer with its summary.")
        return body
