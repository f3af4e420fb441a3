"""A function whose clock was ahead keeps nobody away: what it stamped counts as over for all whose clock is right."""

from __future__ import annotations

import ast
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from shared.domain import state_keys
from shared.domain.connection import CONNECTION_LIFE, Connection
from shared.domain.errors import StaleWrite
from shared.domain.expiry import ALLOWED_SKEW, is_running, latest_credible
from tests.contract.conftest import Stores
from tests.unit.infra.test_state_keys import EVERY_KEY

ROOT = Path(__file__).resolve().parents[2]
AHEAD = [timedelta(minutes=1), timedelta(days=400)]
LASTING = {"claim", "delivery"}
"""Written by the job store: that they last longer keeps nobody away."""
FOR_GOOD = {
    state_keys.api_key("k"),
    state_keys.provider_config("p"),
    state_keys.poll("p"),
    state_keys.CURSOR_KEY,
    state_keys.POLLING_PREFERENCE,
    state_keys.PUSHER_CURSOR,
    state_keys.QUEUE_LIMITS,
    state_keys.SCHEDULE,
    state_keys.REVOCATIONS,
}
"""Without an expiry; but for the revocations, which let nobody in when they are gone."""
EXPIRING = [key for key in EVERY_KEY if key not in FOR_GOOD and key.partition("#")[0] not in LASTING]


@pytest.mark.parametrize("key", EXPIRING)
@pytest.mark.parametrize("ahead", AHEAD)
def test_what_a_clock_ahead_has_stamped_is_absent_and_free_to_be_taken(
    stores: Stores, key: str, ahead: timedelta
) -> None:
    life = state_keys.longest_life(key)
    assert life is not None, "a new kind that expires needs its longest life in shared/domain/state_keys.py"
    now = stores.clock.now()
    wrong = now + ahead
    version = stores.state.put(key, {"by": "ahead"}, now=wrong, expires_at=wrong + life, if_version=0)
    assert stores.state.get(key, now=now) is None
    assert stores.state.get_many([key], now=now) == {}
    with pytest.raises(StaleWrite):
        stores.state.put(key, {}, now=now, if_version=version)
    stores.state.put(key, {"by": "right"}, now=now, expires_at=now + life, if_version=0)
    item = stores.state.get(key, now=now)
    assert item is not None
    assert item.value == {"by": "right"}
    assert stores.state.delete(key, now=now, if_version=item.version) is not None


@pytest.mark.parametrize("key", EXPIRING)
def test_clocks_that_differ_a_little_break_nothing(stores: Stores, key: str) -> None:
    life = state_keys.longest_life(key)
    assert life is not None
    now = stores.clock.now()
    wrong = now + ALLOWED_SKEW - timedelta(seconds=1)
    version = stores.state.put(key, {}, now=wrong, expires_at=wrong + life, if_version=0)
    assert stores.state.get(key, now=now) is not None
    with pytest.raises(StaleWrite):
        stores.state.put(key, {}, now=now, if_version=0)
    stores.state.put(key, {}, now=now, expires_at=now + life, if_version=version)


@pytest.mark.parametrize("key", EXPIRING)
def test_nothing_is_stored_for_longer_than_its_kind_may_last(stores: Stores, key: str) -> None:
    now = stores.clock.now()
    life = state_keys.longest_life(key)
    assert life is not None
    with pytest.raises(ValueError, match="at the most"):
        stores.state.put(key, {}, now=now, expires_at=now + life + timedelta(seconds=1))


@pytest.mark.parametrize("ahead", AHEAD)
def test_a_lease_of_a_text_from_a_clock_ahead_is_free(stores: Stores, ahead: timedelta) -> None:
    now, life = stores.clock.now(), timedelta(seconds=20)
    wrong = now + ahead
    assert stores.texts.acquire("job", "log", now=wrong, until=wrong + life)
    assert stores.texts.acquire("job", "log", now=now, until=now + life)
    assert not stores.texts.acquire("job", "log", now=now, until=now + life)


@pytest.mark.parametrize("ahead", AHEAD)
def test_a_connection_from_a_clock_ahead_takes_no_place_and_its_messages_are_counted_anew(
    stores: Stores, ahead: timedelta
) -> None:
    now = stores.clock.now()
    stores.connections.add(Connection("ahead", "user", None, expires_at=now + ahead + CONNECTION_LIFE))
    stores.connections.add(Connection("right", "user", None, expires_at=now + CONNECTION_LIFE))
    assert stores.connections.count_of_user("user", now=now) == 1
    assert stores.connections.count_message("ahead", now=now) is None
    for _ in range(11):
        assert stores.connections.count_message("right", now=now + timedelta(hours=1)) is not None
        counted = stores.connections.count_message("right", now=now)
        assert counted is not None
        assert counted[1] == 1


def test_the_rule_itself() -> None:
    now, life = datetime(2026, 3, 1).astimezone(), timedelta(seconds=20)
    assert not is_running(None, now, life=life)
    assert not is_running(now, now, life=life)
    assert is_running(now + life, now, life=life)
    assert is_running(latest_credible(now, life), now, life=life)
    assert not is_running(latest_credible(now, life) + timedelta(seconds=1), now, life=life)


def test_every_use_of_an_expiry_is_of_a_kind_that_is_known_here() -> None:
    """Whoever stamps with an expiry does it through one of these; a new place must be looked at."""
    known = {
        "shared/services/leases.py",
        "shared/services/update_state.py",
        "shared/services/access/issue_ticket.py",
        "shared/services/access/sign_in.py",
        "shared/services/delivery/open_connection.py",
        "shared/services/providers/read_system_status.py",
        "shared/adapters/guarded_provider.py",
        "shared/adapters/dynamo/connections.py",
    }
    found = set()
    for folder in ("services", "adapters"):
        for path in (ROOT / "shared" / folder).rglob("*.py"):
            calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
            if any(keyword.arg == "expires_at" for call in calls for keyword in call.keywords):
                found.add(path.relative_to(ROOT).as_posix())
    assert found == known
