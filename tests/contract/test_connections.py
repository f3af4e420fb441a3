"""What every registry of WebSocket clients promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from shared.ports import Connection
from tests.contract.conftest import Stores


def a_connection(stores: Stores, connection_id: str = "Cz1a2b3c=", **fields: object) -> Connection:
    expires_at = (stores.clock.now() + timedelta(hours=2)).replace(microsecond=0)
    return replace(Connection(connection_id, "ada", "key-1", expires_at), **fields)  # type: ignore[arg-type]


def listed(stores: Stores) -> list[Connection]:
    return list(stores.connections.all(now=stores.clock.now()))


def test_a_connection_comes_back_as_it_was_added(stores: Stores) -> None:
    fresh = a_connection(stores, key_id=None)
    greeted = a_connection(stores, "greeted=", cursor=7, epoch="abc", failures=2)
    stores.connections.add(fresh)
    stores.connections.add(greeted)
    assert stores.connections.get(fresh.connection_id) == fresh
    assert stores.connections.get(greeted.connection_id) == greeted
    assert stores.connections.get("unknown=") is None


def test_only_connections_that_said_hello_are_listed(stores: Stores) -> None:
    silent = a_connection(stores)
    stores.connections.add(silent)
    assert listed(stores) == []
    assert stores.connections.advance(silent, cursor=0, epoch="abc")
    assert listed(stores) == [replace(silent, cursor=0, epoch="abc")]


def test_expired_connections_are_not_listed_though_they_still_lie_there(stores: Stores) -> None:
    stores.connections.add(a_connection(stores, cursor=1, epoch="abc"))
    stores.clock.advance(timedelta(hours=2, seconds=1).total_seconds())
    assert listed(stores) == []


def test_a_cursor_moves_only_from_where_it_was_thought_to_stand(stores: Stores) -> None:
    connection = a_connection(stores, cursor=1, epoch="abc")
    stores.connections.add(connection)
    assert stores.connections.advance(connection, cursor=5, epoch="abc", failures=1)
    assert not stores.connections.advance(connection, cursor=3, epoch="abc")
    assert not stores.connections.advance(replace(connection, cursor=5, epoch="old"), cursor=6, epoch="abc")
    assert not stores.connections.advance(replace(connection, cursor=None, epoch=None), cursor=6, epoch="abc")
    assert stores.connections.get(connection.connection_id) == replace(connection, cursor=5, failures=1)


def test_a_cursor_goes_on_in_a_new_epoch(stores: Stores) -> None:
    connection = a_connection(stores, cursor=9, epoch="old")
    stores.connections.add(connection)
    assert stores.connections.advance(connection, cursor=0, epoch="new")
    assert listed(stores) == [replace(connection, cursor=0, epoch="new")]


def test_a_removed_connection_never_comes_back_by_a_late_push(stores: Stores) -> None:
    connection = a_connection(stores)
    stores.connections.add(connection)
    stores.connections.remove(connection.connection_id)
    stores.connections.remove(connection.connection_id)
    assert not stores.connections.advance(connection, cursor=1, epoch="abc")
    assert stores.connections.get(connection.connection_id) is None


def test_all_of_many_are_listed(stores: Stores) -> None:
    for number in range(130):
        stores.connections.add(a_connection(stores, f"c{number:03d}=", cursor=number, epoch="abc"))
    assert sorted(one.connection_id for one in listed(stores)) == [f"c{number:03d}=" for number in range(130)]
