"""Calls a function through the Lambda port of serverless-offline, as a trigger on AWS would."""

from __future__ import annotations

from typing import Any

import httpx

SLACK_SECONDS = 5.0


class InvocationFailed(Exception):
    """The function did not answer, or answered with an error."""


class LambdaInvoker:
    """Synchronous invocations; safe to share between threads."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, trust_env=False, limits=httpx.Limits(max_connections=64))

    def invoke(self, function: str, event: dict[str, Any], timeout: float) -> Any:
        """The function's answer. `timeout` is the function's own, in seconds. Raises InvocationFailed."""
        try:
            response = self._client.post(
                f"/2015-03-31/functions/{function}/invocations", json=event, timeout=timeout + SLACK_SECONDS
            )
            answer = response.json() if response.content else None
        except (httpx.HTTPError, ValueError) as error:
            raise InvocationFailed(f"{function}: {type(error).__name__} {error}") from error
        if response.status_code != 200 or "x-amz-function-error" in response.headers:
            raise InvocationFailed(f"{function}: HTTP {response.status_code} {str(answer)[:500]}")
        if isinstance(answer, dict) and {"errorType", "errorMessage"} <= answer.keys():
            raise InvocationFailed(f"{function}: {answer['errorType']}: {answer['errorMessage']}")
        return answer


def failed_items(answer: Any, known: list[str]) -> list[str]:
    """The ids of `batchItemFailures`. Raises InvocationFailed for what AWS takes as a failure of the whole batch."""
    if not isinstance(answer, dict):
        return []
    failures = answer.get("batchItemFailures") or []
    identifiers = [failure.get("itemIdentifier") if isinstance(failure, dict) else None for failure in failures]
    if any(identifier not in known for identifier in identifiers):
        raise InvocationFailed(f"batchItemFailures names unknown items: {identifiers!r}")
    return [str(identifier) for identifier in identifiers]
