"""How much a test proves: `make proof` sets PROOF and runs the full counts, `make test` a tenth of them, or less."""

from __future__ import annotations

import os

IS_PROOF = bool(os.environ.get("PROOF"))


def scaled(full: int, *, part: int = 10) -> int:
    return full if IS_PROOF else max(1, full // part)
