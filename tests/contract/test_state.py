"""What every state store promises: versions that guard, expiry that needs no deletion, single use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from shared.domain.errors import StaleWrite
from shared.domain.stored import StateItem
from tests.contract.conftest import Stores


def test_a_value_comes_back_as_json(stores: Stores) -> None:
    value = {"text": "ü ✓", "number": 2.5, "whole": 10**15, "none": None, "list": [True, {"deep": []}]}
    version = stores.state.put("preference#polling", value, now=stores.clock.now())
    assert stores.state.get("preference#polling", now=stores.clock.now()) == StateItem(value, version)
    assert stores.state.get("preference#other", now=stores.clock.now()) is None


@pytest.mark.parametrize("value", [{"n": float("nan")}, {"n": float("inf")}])
def test_what_is_no_json_is_refused(stores: Stores, value: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="JSON"):
        stores.state.put("key", value, now=stores.clock.now())


def test_each_put_has_a_higher_version(stores: Stores) -> None:
    now = stores.clock.now()
    first = stores.state.put("place", {"n": 1}, now=now)
    second = stores.state.put("place", {"n": 2}, now=now)
    third = stores.state.put("place", {"n": 3}, now=now, if_version=second)
    assert first < second < third
    item = stores.state.get("place", now=now)
    assert item == StateItem({"n": 3}, third)


def test_a_put_over_another_version_is_stale_and_writes_nothing(stores: Stores) -> None:
    now = stores.clock.now()
    first = stores.state.put("lease", {"owner": "a"}, now=now)
    second = stores.state.put("lease", {"owner": "b"}, now=now, if_version=first)
    with pytest.raises(StaleWrite):
        stores.state.put("lease", {"owner": "a"}, now=now, if_version=first)
    with pytest.raises(StaleWrite):
        stores.state.put("lease", {"owner": "a"}, now=now, if_version=0)
    assert stores.state.get("lease", now=now) == StateItem({"owner": "b"}, second)


def test_a_version_of_what_never_was_is_stale(stores: Stores) -> None:
    with pytest.raises(StaleWrite):
        stores.state.put("lease", {}, now=stores.clock.now(), if_version=7)


def test_an_expired_item_counts_as_absent_though_it_still_lies_there(stores: Stores) -> None:
    now = stores.clock.now()
    first = stores.state.put("lease", {"owner": "a"}, now=now, expires_at=now + timedelta(seconds=10), if_version=0)
    with pytest.raises(StaleWrite):
        stores.state.put("lease", {"owner": "b"}, now=now + timedelta(seconds=9), if_version=0)
    late = now + timedelta(seconds=11)
    assert stores.state.get("lease", now=late) is None
    assert stores.state.get_many(["lease"], now=late) == {}
    assert stores.state.delete("other", now=late) is None
    with pytest.raises(StaleWrite):
        stores.state.put("lease", {"owner": "a"}, now=late, if_version=first)
    second = stores.state.put("lease", {"owner": "b"}, now=late, if_version=0)
    assert second > first


def test_an_expiry_holds_at_least_as_long_as_asked_and_less_than_a_second_longer(stores: Stores) -> None:
    now = stores.clock.now()
    until = now + timedelta(seconds=10)
    stores.state.put("lease", {}, now=now, expires_at=until)
    assert stores.state.get("lease", now=until - timedelta(microseconds=1)) is not None
    assert stores.state.get("lease", now=until + timedelta(seconds=1)) is None


def test_a_put_without_expiry_lifts_the_one_before(stores: Stores) -> None:
    now = stores.clock.now()
    stores.state.put("config", {}, now=now, expires_at=now + timedelta(seconds=1))
    stores.state.put("config", {}, now=now)
    assert stores.state.get("config", now=now + timedelta(days=999)) is not None


def test_many_are_read_at_once(stores: Stores) -> None:
    now = stores.clock.now()
    keys = [f"provider#{number}" for number in range(120)]
    for number, key in enumerate(keys):
        stores.state.put(key, {"n": number}, now=now)
    found = stores.state.get_many([*keys, keys[0], "missing"], now=now)
    assert {key: item.value["n"] for key, item in found.items()} == {key: number for number, key in enumerate(keys)}
    assert stores.state.get_many([], now=now) == {}


def test_a_deletion_hands_out_what_was_there_once(stores: Stores) -> None:
    now = stores.clock.now()
    version = stores.state.put("ticket#1", {"user": "ada"}, now=now, expires_at=now + timedelta(seconds=60))
    assert stores.state.delete("ticket#1", now=now) == StateItem({"user": "ada"}, version)
    assert stores.state.delete("ticket#1", now=now) is None


def test_a_deletion_of_an_expired_item_hands_out_nothing(stores: Stores) -> None:
    now = stores.clock.now()
    stores.state.put("ticket#1", {"user": "ada"}, now=now, expires_at=now + timedelta(seconds=60))
    assert stores.state.delete("ticket#1", now=now + timedelta(seconds=62)) is None


def test_a_guarded_deletion_spares_another_version(stores: Stores) -> None:
    now = stores.clock.now()
    first = stores.state.put("lease", {"owner": "a"}, now=now)
    second = stores.state.put("lease", {"owner": "b"}, now=now)
    with pytest.raises(StaleWrite):
        stores.state.delete("lease", now=now, if_version=first)
    with pytest.raises(StaleWrite):
        stores.state.delete("never-was", now=now, if_version=first)
    assert stores.state.delete("lease", now=now, if_version=second) is not None


def test_a_guard_from_before_a_deletion_never_fits_again(stores: Stores) -> None:
    """I27: a lease given back and taken anew is not the lease of the one who slept."""
    now = stores.clock.now()
    first = stores.state.put("lease", {"owner": "a"}, now=now, if_version=0)
    stores.state.delete("lease", now=now)
    stores.clock.advance(0.01)
    stores.state.put("lease", {"owner": "b"}, now=stores.clock.now(), if_version=0)
    with pytest.raises(StaleWrite):
        stores.state.put("lease", {"owner": "a"}, now=stores.clock.now(), if_version=first)


def test_of_eight_that_use_a_ticket_one_gets_it(stores: Stores) -> None:
    """T11."""
    now = stores.clock.now()
    stores.state.put("ticket#1", {}, now=now)
    with ThreadPoolExecutor(8) as pool:
        used = list(pool.map(lambda _: stores.state.delete("ticket#1", now=now), range(8)))
    assert sum(item is not None for item in used) == 1


@pytest.mark.parametrize("key", ["claim#replicate#x", "delivery#msg_1", "total#replicate#2026-01-01"])
def test_the_job_stores_own_items_are_out_of_reach(stores: Stores, key: str) -> None:
    now = stores.clock.now()
    with pytest.raises(ValueError, match="belong to the job store"):
        stores.state.put(key, {}, now=now)
    with pytest.raises(ValueError, match="belong to the job store"):
        stores.state.delete(key, now=now)
    with pytest.raises(ValueError, match="belong to the job store"):
        stores.state.get(key, now=now)
