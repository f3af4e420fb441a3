"""What code and pages point to exists: numbered entries, pages, sections, files, links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, NOT_HELD_YET, ROOT, before, code, headings, page, pages, rows, section, ticked

PAGES_OF_ENTRIES = ("invariants.md", "aws.md", "providers/replicate.md")

_ENTRY = re.compile(r"(?:I|T|AWS-|REP-)[1-9]\d?")
_REFERENCE = re.compile(r"(?<![\w.-])(?:I|T|AWS-|REP-)[1-9]\d?(?![\w:.]\w|[\w:])")
_PAGE = re.compile(r"(?<![\w/.-])(docs/[\w/.-]+\.md)(?:, (?:\"([^\"]+)\"|idea (\d+)))?")
_FOREIGN = re.compile(r"\b[Tt]raps? \d|§ ?\d|\b(?:DESIGN|CONTRACT|INVARIANTS|AWS-FACTS)\b")
_FILE = re.compile(r"(?:functions|shared|infra|tests|docs)/[\w./-]*")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def entries(name: str) -> list[str]:
    """The numbers that a page defines, in its order."""
    return [cells[0] for cells in rows(before(page(name), NOT_HELD_YET)) if _ENTRY.fullmatch(cells[0])]


def known_entries() -> list[str]:
    return [entry for name in PAGES_OF_ENTRIES for entry in entries(name)]


def test_every_entry_is_defined_once() -> None:
    assert sorted(known_entries()) == sorted(set(known_entries()))


def test_every_number_that_code_or_a_page_names_is_an_entry() -> None:
    known = set(known_entries())
    unknown = {
        f"{path}: {reference}"
        for path, text in {**code(), **pages()}.items()
        for reference in _REFERENCE.findall(text)
        if reference not in known
    }
    assert not unknown


def test_every_page_section_and_idea_that_code_names_exists() -> None:
    missing = []
    for path, text in code().items():
        for target, name, idea in _PAGE.findall(text):
            if not (ROOT / target).is_file():
                missing.append(f"{path}: {target}")
                continue
            there = (ROOT / target).read_text(encoding="utf-8")
            if name and not (name in headings(there) or f"**{name}" in there):
                missing.append(f"{path}: {target}, {name}")
            if idea and f"\n{idea}. **" not in section(there, "Five ideas"):
                missing.append(f"{path}: {target}, idea {idea}")
    assert not missing


def test_no_reference_leads_out_of_the_repository() -> None:
    here = str(Path(__file__).relative_to(ROOT))
    found = {f"{path}: {match}" for path, text in code().items() if path != here for match in _FOREIGN.findall(text)}
    assert not found


@pytest.mark.parametrize("name", sorted(pages()))
def test_every_file_that_a_page_names_is_there(name: str) -> None:
    named = {match[0] for text in ticked(pages()[name]) if (match := _FILE.fullmatch(text))}
    assert not [path for path in sorted(named) if not (ROOT / path).exists()]


@pytest.mark.parametrize("name", sorted(pages()))
def test_every_link_of_a_page_leads_somewhere(name: str) -> None:
    place = (ROOT / name).parent
    broken = []
    for link in _LINK.findall(pages()[name]):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        path = (place / target) if target else ROOT / name
        if not path.exists() or (anchor and anchor not in _anchors(path)):
            broken.append(link)
    assert not broken


def _anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    text = path.read_text(encoding="utf-8")
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings(text)}


def test_the_house_has_the_rooms_that_the_design_shows() -> None:
    house = section(page("design.md"), "The house")
    rooms = {path.parent.name for path in (ROOT / "shared" / "services").glob("*/__init__.py")}
    assert {name for name in rooms if f"\n    {name}/" not in house} == set()
    assert not [path for path in DOCS.glob("*.md") if path.name != "design.md" and path.name not in page("design.md")]
