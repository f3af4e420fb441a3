"""An observation as a queue message of at most 4 kB: verified, without its log (DESIGN, idea 3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import TypeAdapter, ValidationError

from shared.domain.errors import InvalidRequestError
from shared.domain.observation import Observation


@dataclass(frozen=True, slots=True)
class ObservationMessage:
    observation: Observation
    mark: str | None = None


_MESSAGE = TypeAdapter(ObservationMessage)


def encode_observation(observation: Observation, mark: str | None = None) -> str:
    trimmed = replace(observation, logs=None, error=(observation.error or "")[:500] or None)
    return _MESSAGE.dump_json(ObservationMessage(trimmed, mark)).decode()


def decode_observation(text: str) -> ObservationMessage:
    """Raises InvalidRequestError on anything that `encode_observation` did not write (a poison record)."""
    try:
        return _MESSAGE.validate_json(text)
    except ValidationError:
        raise InvalidRequestError("This queue message is not an observation.") from None
