"""docs/openapi.json is what the code answers, and the contract's tables name the same fields."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from infra.openapi import FILE, described
from tests.docs.pages import page, rows, ticked

_REQUEST = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (/\S*)")
_FIELDS = re.compile(r"[a-z_]+(?:\[\])?(?:\{[^}]*\})?(?:, [a-z_]+(?:\[\])?(?:\{[^}]*\})*)*")
DOCUMENT: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))


def promised() -> Iterator[tuple[str, str, str]]:
    """(method, path, answer) of each request in the contract's tables whose answer names fields."""
    for cells in rows(page("contract.md")):
        for token in ticked(cells[0]):
            request = _REQUEST.fullmatch(token)
            if request and len(cells) > 2 and request[2] in DOCUMENT["paths"]:
                yield request[1], request[2], cells[2]


def properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an object or of the objects in it, references and nullables followed."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return properties(DOCUMENT["components"]["schemas"][name])
    for inner in (*schema.get("anyOf", ()), schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict) and (found := properties(inner)):
            return found
    return dict(schema.get("properties", {}))


def answer_of(method: str, path: str) -> dict[str, Any]:
    content = DOCUMENT["paths"][path][method.lower()]["responses"]["200"].get("content", {})
    return properties(content.get("application/json", {}).get("schema", {}))


def test_the_committed_document_is_what_the_code_answers() -> None:
    assert FILE.read_text(encoding="utf-8") == described(), "write it anew: make openapi"


@pytest.mark.parametrize(("method", "path", "told"), sorted(promised()), ids=lambda value: str(value).partition("`")[0])
def test_an_answer_has_the_fields_that_the_contract_names(method: str, path: str, told: str) -> None:
    fields = answer_of(method, path)
    if not fields or told.startswith("the same"):
        return
    words = set(re.findall(r"[a-z_]+", " ".join(ticked(told))))
    assert [name for name in fields if name not in words] == [], "not in the contract"
    for token in ticked(told):
        if _FIELDS.fullmatch(token) and token.split(",")[0].split("[")[0].split("{")[0] in fields:
            check_names(token, fields)


def check_names(token: str, fields: Mapping[str, Any]) -> None:
    """`a, b[]{c, d}`: a and b are fields, c and d fields of b's objects."""
    for name, inner in re.findall(r"([a-z_]+)(?:\[\])?(?:\{([a-z_, ]*)\})?", re.sub(r"\{job_id: \{", "{", token)):
        assert name in fields or not fields, f"{name} is promised but not answered"
        inside = properties(fields.get(name, {}))
        for one in (part.strip() for part in inner.split(",") if part.strip()):
            assert one in inside, f"{name} holds no {one}"


def test_every_request_has_a_typed_answer() -> None:
    untyped = {
        f"{method.upper()} {path}"
        for path, methods in DOCUMENT["paths"].items()
        for method, what in methods.items()
        if "application/json" in what["responses"]["200"].get("content", {}) and not answer_of(method, path)
    }
    assert untyped == set()
