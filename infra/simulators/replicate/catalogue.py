"""The models and versions that the simulated provider knows."""

import hashlib
import re
from dataclasses import dataclass

from .jobs import LogStyle

TRAINER_PROFILES = ("h100", "h100-x2", "h100-x4", "h100-x8", "l40s", "l40s-x2", "l40s-x4", "l40s-x8")
FLUX_TRAINER = "ostris/flux-dev-lora-trainer"
TRAINER_MODELS = tuple(f"simpletuner/advanced-trainer-{profile}" for profile in TRAINER_PROFILES)
MODELS = frozenset({*TRAINER_MODELS, FLUX_TRAINER, "stability-ai/sdxl"})
UNKNOWN_VERSION = "0" * 64
"""The one well-formed version that is refused as unknown."""

_VERSION_ID = re.compile(r"[0-9a-f]{64}")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_DAY = 86_400
_NEWEST_RELEASE = 1_764_547_200


@dataclass(frozen=True, slots=True)
class Version:
    """A released version of a model; `created_seconds` since 1970."""

    id: str
    created_seconds: int
    cog_version: str


def versions_of(model: str) -> list[Version]:
    """Three versions, newest first, the same in every run."""
    return [
        Version(
            id=hashlib.sha256(f"{model}:{age}".encode()).hexdigest(),
            created_seconds=_NEWEST_RELEASE - age * 30 * _DAY,
            cog_version="0.16.9",
        )
        for age in range(3)
    ]


def newest_version(model: str) -> str:
    return versions_of(model)[0].id


def is_model_name(text: str) -> bool:
    return _MODEL_NAME.fullmatch(text) is not None


def is_version_id(text: str) -> bool:
    return _VERSION_ID.fullmatch(text) is not None and text != UNKNOWN_VERSION


def model_of_version(version: str) -> str:
    """The model a bare version id belongs to; an id that was never released counts as the first trainer's."""
    for model in sorted(MODELS):
        if any(known.id == version for known in versions_of(model)):
            return model
    return TRAINER_MODELS[0]


def log_style_of(model: str) -> LogStyle:
    if model.startswith("simpletuner/"):
        return LogStyle.SIMPLETUNER
    return LogStyle.FLUX if "trainer" in model else LogStyle.INFERENCE
