"""docs/openapi.json, from the code: `python -m infra.openapi` writes it; with `--check` it says whether it is true."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from functions.http._whole_app import whole_app

FILE = Path(__file__).resolve().parents[1] / "docs" / "openapi.json"


def described() -> str:
    """The document as it is committed: every request of the API with its parameters and answers."""
    return json.dumps(whole_app().openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    told = described()
    if "--check" not in sys.argv[1:]:
        FILE.write_text(told, encoding="utf-8")
        return 0
    if FILE.exists() and FILE.read_text(encoding="utf-8") == told:
        return 0
    print(f"{FILE.name} does not say what the code answers; write it anew: make openapi", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
