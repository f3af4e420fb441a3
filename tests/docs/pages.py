"""The docs as tests read them: pages, sections, table rows, names in backticks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
CODE_FOLDERS = ("functions", "shared", "infra", "tests")
CODE_SUFFIXES = {".py", ".yml", ".js", ".html", ".css", ".sh"}
NOT_THERE_YET = "Not there yet"
NOT_HELD_YET = "Not held yet"

_TICKED = re.compile(r"`([^`\n]+)`")


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def pages() -> dict[str, str]:
    """Every page by its path from the root, README and CHANGELOG among them."""
    paths = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def code() -> dict[str, str]:
    """Every file of ours that may name an entry of the docs, by its path from the root."""
    paths = [ROOT / "serverless.yml", ROOT / "Makefile"]
    for folder in CODE_FOLDERS:
        paths += sorted(path for path in (ROOT / folder).rglob("*") if path.suffix in CODE_SUFFIXES)
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def before(text: str, heading: str) -> str:
    """What stands above a heading."""
    return re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)[0]


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next of the same or a higher level; empty without it."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,2}} |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[2] if found else ""


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", text, re.MULTILINE)


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each table row, heads and rulers left out."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        is_head = number + 1 < len(lines) and lines[number + 1].startswith("|---")
        if line.startswith("|") and not line.startswith("|---") and not is_head:
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def ticked(text: str) -> set[str]:
    """Everything in backticks, on one line each."""
    return set(_TICKED.findall(text))
