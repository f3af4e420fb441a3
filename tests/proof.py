"""How much a test proves: `make proof` sets PROOF and runs the full counts, `make test` a tenth of them."""

from __future__ import annotations

import os

IS_PROOF = bool(os.environ.get("PROOF"))


def scaled(full: int) -> int:
    return full if IS_PROOF else max(1, full // 10)
