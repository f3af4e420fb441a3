"""What the page's types say of an answer is what docs/openapi.json says of it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from infra.openapi import FILE
from tests.docs.pages import ROOT

SCHEMAS: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))["components"]["schemas"]
ANSWERS = {
    "BriefProgress": "ProgressBrief",
    "CostLimit": "CostLimitStatus",
    "Job": "JobObject",
    "JobDetails": "JobDetails",
    "JobPage": "JobPage",
    "LogPiece": "LogAnswer",
    "LossPoint": "HistoryPointObject",
    "Metrics": "MetricsAnswer",
    "PollingStatus": "PollingStatus",
    "Progress": "JobProgress",
    "Provider": "ProviderObject",
    "ProviderAccount": "TokenCheck",
    "SyncResult": "SyncAnswer",
    "TokenAnswer": "TokenForgotten",
    "Transition": "TransitionObject",
    "WebhookProbe": "WebhookTested",
    "Who": "SignedIn",
}
NO_ANSWERS = {
    *("JobMetadata", "ProviderConfig", "ProviderChanges", "Properties"),
    *("EventBase", "StatusChanged", "JobUpdated", "JobGone", "JobDeleted"),
}
_INTERFACE = re.compile(r"interface (\w+)(?: extends \w+)? \{(.*?)^\}", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(r"^  (\w+)(\??): (.+);$", re.MULTILINE)


def interfaces() -> dict[str, dict[str, tuple[bool, bool]]]:
    """(may be left out, may be null) of each field of each interface."""
    text = (ROOT / "shared" / "web" / "types.d.ts").read_text(encoding="utf-8")
    return {
        name: {field: (bool(optional), kind.endswith("| null")) for field, optional, kind in _FIELD.findall(body)}
        for name, body in _INTERFACE.findall(text)
    }


def test_every_type_of_the_page_is_held_to_an_answer_or_is_known_to_be_none() -> None:
    assert set(interfaces()) == set(ANSWERS) | NO_ANSWERS


@pytest.mark.parametrize("name", ANSWERS)
def test_the_page_reads_only_what_is_answered_and_expects_null_where_it_may_come(name: str) -> None:
    schema = SCHEMAS[ANSWERS[name]]
    for field, (is_optional, is_nullable) in interfaces()[name].items():
        answered = schema["properties"].get(field)
        assert answered is not None, f"{field} is not answered"
        assert is_optional == (field not in schema["required"]), field
        assert is_nullable == ({"type": "null"} in answered.get("anyOf", [])), field
