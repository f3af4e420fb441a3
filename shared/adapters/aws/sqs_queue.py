"""Messages to be worked on later, on SQS."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from shared.adapters.dynamo.errors import translated
from shared.domain.errors import StoreUnavailableError

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import (
        ChangeMessageVisibilityBatchRequestEntryTypeDef,
        SendMessageBatchRequestEntryTypeDef,
    )

MESSAGES_A_REQUEST = 10
BYTES_A_REQUEST = 1_000_000
"""SQS takes 1 MiB in all messages of a request."""


@cache
def sqs_client() -> SQSClient:
    """One client a process, made when it is first needed."""
    import boto3  # noqa: PLC0415 - paid for by functions that use the queue
    from botocore.config import Config  # noqa: PLC0415 - as above

    config = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
    return boto3.client("sqs", config=config)


LONGEST_POSTPONED_SECONDS = 43_000
"""SQS counts its 12 hours from the receipt on, not from the request."""


class SqsWorkQueue:
    def __init__(self, url: str, *, client: Callable[[], SQSClient] = sqs_client) -> None:
        self._url = url
        self._client = client

    def send(self, messages: Sequence[str], *, delay_seconds: int = 0) -> None:
        """Every message is durably kept on return. Raises StoreUnavailableError when one could not be."""
        for batch in _batches(messages):
            entries: list[SendMessageBatchRequestEntryTypeDef] = [
                {"Id": str(place), "MessageBody": message, "DelaySeconds": delay_seconds}
                for place, message in enumerate(batch)
            ]
            failed = self._send(entries)
            if failed:
                failed = self._send([entry for entry in entries if entry["Id"] in failed])
            if failed:
                raise StoreUnavailableError(f"The queue refused {len(failed)} messages.")

    def postpone(self, receipts: Sequence[str], seconds: float) -> None:
        hidden = min(math.ceil(seconds), LONGEST_POSTPONED_SECONDS)
        failed = 0
        for start in range(0, len(receipts), MESSAGES_A_REQUEST):
            chunk = receipts[start : start + MESSAGES_A_REQUEST]
            entries: list[ChangeMessageVisibilityBatchRequestEntryTypeDef] = [
                {"Id": str(place), "ReceiptHandle": receipt, "VisibilityTimeout": hidden}
                for place, receipt in enumerate(chunk)
            ]
            with translated():
                answer = self._client().change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
            failed += len(answer.get("Failed", ()))
        if failed:
            raise StoreUnavailableError(f"The queue did not postpone {failed} messages.")

    def _send(self, entries: Sequence[SendMessageBatchRequestEntryTypeDef]) -> set[str]:
        """The ids of the messages that were refused."""
        with translated():
            answer = self._client().send_message_batch(QueueUrl=self._url, Entries=entries)
        return {refusal["Id"] for refusal in answer.get("Failed", ())}


def _batches(messages: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for message in messages:
        length = len(message.encode())
        if batch and (len(batch) == MESSAGES_A_REQUEST or size + length > BYTES_A_REQUEST):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += length
    if batch:
        yield batch
