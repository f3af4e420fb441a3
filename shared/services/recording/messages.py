"""An observation as a queue message of at most 4 kB (docs/design.md, idea 3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import TypeAdapter, ValidationError

from shared.domain.errors import InvalidRequestError
from shared.domain.job import MAX_ERROR_LENGTH
from shared.domain.observation import Observation, shortened


@dataclass(frozen=True, slots=True)
class ObservationMessage:
    """An observation with the webhook id that brought it and the job that it was asked for, where there are any."""

    observation: Observation
    delivery_id: str | None = None
    job_id: str | None = None


_MESSAGE = TypeAdapter(ObservationMessage)


MAX_MESSAGE_BYTES = 4096


def encode_observation(observation: Observation, delivery_id: str | None = None, job_id: str | None = None) -> str:
    """The error is cut as the job's is, and further where its characters take six bytes each."""
    for error_bytes in (MAX_ERROR_LENGTH, MAX_ERROR_LENGTH // 5):
        trimmed = replace(observation, error=shortened(observation.error, error_bytes))
        encoded = _MESSAGE.dump_json(ObservationMessage(trimmed, delivery_id, job_id))
        if len(encoded) <= MAX_MESSAGE_BYTES:
            break
    return encoded.decode()


def decode_observation(text: str) -> ObservationMessage:
    """Raises InvalidRequestError on anything that `encode_observation` did not write (a poison record)."""
    try:
        return _MESSAGE.validate_json(text)
    except ValidationError:
        raise InvalidRequestError("This queue message is not an observation.") from None
