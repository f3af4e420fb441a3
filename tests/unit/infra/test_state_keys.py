"""The roles' conditions on keys of the state table, and the keys that the code writes: one and the same."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from shared.domain import state_keys

ROOT = Path(__file__).resolve().parents[3]
ALLOWED = {
    "issueTickets": [state_keys.ticket("secret")],
    "redeemTickets": [state_keys.ticket("secret")],
    "readRevocations": [state_keys.REVOCATIONS],
    "holdStreamSlots": [
        state_keys.slot(state_keys.STREAM_HOLDS, 0),
        state_keys.slot(state_keys.streams_of_address("192.0.2.7"), 4),
    ],
    "keepPusherCursor": [state_keys.PUSHER_CURSOR],
}
"""What each conditioned statement is there for."""

EVERY_KEY = [
    state_keys.claim("p", "x"),
    state_keys.delivery("p#msg_1"),
    state_keys.api_key("k"),
    state_keys.session("s"),
    state_keys.ticket("t"),
    state_keys.provider_config("p"),
    state_keys.provider_hold("p"),
    state_keys.system_status("p"),
    state_keys.webhook_secret_asked("p"),
    state_keys.poll("p"),
    state_keys.slot(state_keys.streams_of_address("192.0.2.7"), 0),
    state_keys.slot(state_keys.STREAM_HOLDS, 0),
    state_keys.CURSOR_KEY,
    state_keys.POLLING_PREFERENCE,
    state_keys.PUSHER_CURSOR,
    state_keys.QUEUE_LIMITS,
    state_keys.REVOCATIONS,
    state_keys.SCHEDULE,
    state_keys.COMMITTER_LEASE,
]


def conditions() -> dict[str, list[str]]:
    """The key patterns of each statement of access.yml that has some."""
    text = (ROOT / "infra" / "access.yml").read_text()
    blocks = re.findall(r"^(\w+):\n((?:  .*\n)+)", text, re.MULTILINE)
    found = {name: re.search(r'LeadingKeys": \[([^]]*)\]', block) for name, block in blocks}
    return {name: [key.strip(' "') for key in match[1].split(",")] for name, match in found.items() if match}


def test_every_condition_is_known_here() -> None:
    assert set(conditions()) == set(ALLOWED)


@pytest.mark.parametrize("statement", ALLOWED)
def test_a_condition_lets_its_own_keys_pass_and_no_other(statement: str) -> None:
    patterns = conditions()[statement]
    for key in ALLOWED[statement]:
        assert any(fnmatchcase(key, pattern) for pattern in patterns), key
    own = {key.split("#")[0] for key in ALLOWED[statement]}
    others = [key for key in EVERY_KEY if key.split("#")[0] not in own]
    assert [key for key in others if any(fnmatchcase(key, pattern) for pattern in patterns)] == []
