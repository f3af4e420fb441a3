"""What the queue `observations` carries: a report of at most 4 kB, or a request (docs/design.md, idea 3)."""

from __future__ import annotations

from dataclasses import replace

from pydantic import TypeAdapter, ValidationError

from shared.domain.change_request import ChangeRequest
from shared.domain.errors import InvalidRequestError
from shared.domain.job import MAX_ERROR_LENGTH
from shared.domain.observation import Report, shortened

Message = Report | ChangeRequest

_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)

MAX_MESSAGE_BYTES = 4096


def encode_message(message: Message) -> str:
    """The error of an observation is cut as the job's is, and further where its characters take six bytes each."""
    encoded = _MESSAGE.dump_json(message)
    if isinstance(message, Report):
        for error_bytes in (MAX_ERROR_LENGTH, MAX_ERROR_LENGTH // 5):
            error = shortened(message.observation.error, error_bytes)
            trimmed = replace(message, observation=replace(message.observation, error=error))
            encoded = _MESSAGE.dump_json(trimmed)
            if len(encoded) <= MAX_MESSAGE_BYTES:
                break
    return encoded.decode()


def decode_message(text: str) -> Message:
    """Raises InvalidRequestError on anything that `encode_message` did not write (a poison record)."""
    try:
        return _MESSAGE.validate_json(text)
    except ValidationError:
        raise InvalidRequestError("This queue message is neither a report nor a request.") from None
