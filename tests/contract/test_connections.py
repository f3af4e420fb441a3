"""What every registry of WebSocket clients promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from shared.domain.connection import Connection
from tests.contract.conftest import Stores


def a_connection(stores: Stores, connection_id: str = "Cz1a2b3c=", **fields: object) -> Connection:
    expires_at = (stores.clock.now() + timedelta(hours=2)).replace(microsecond=0)
    return replace(Connection(connection_id, "ada", "key-1", expires_at), **fields)  # type: ignore[arg-type]


def listed(stores: Stores) -> list[Connection]:
    return list(stores.connections.all(now=stores.clock.now()))


def stored(stores: Stores, connection_id: str) -> Connection | None:
    counted = stores.connections.count_message(connection_id, now=stores.clock.now())
    return counted[0] if counted else None


def test_a_connection_comes_back_as_it_was_added(stores: Stores) -> None:
    fresh = a_connection(stores, key_id=None)
    greeted = a_connection(stores, "greeted=", cursor=7, epoch="abc", failures=2)
    stores.connections.add(fresh)
    stores.connections.add(greeted)
    assert stored(stores, fresh.connection_id) == fresh
    assert stored(stores, greeted.connection_id) == greeted
    assert stored(stores, "unknown=") is None


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
    assert stored(stores, connection.connection_id) == replace(connection, cursor=5, failures=1)


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
    assert stored(stores, connection.connection_id) is None


def test_all_of_many_are_listed(stores: Stores) -> None:
    for number in range(130):
        stores.connections.add(a_connection(stores, f"c{number:03d}=", cursor=number, epoch="abc"))
    assert sorted(one.connection_id for one in listed(stores)) == [f"c{number:03d}=" for number in range(130)]


def test_messages_are_counted_by_connection_and_second(stores: Stores) -> None:
    loud, quiet = a_connection(stores), a_connection(stores, "quiet=", cursor=3, epoch="abc")
    for connection in (loud, quiet):
        stores.connections.add(connection)

    def count(connection: Connection) -> tuple[Connection, int] | None:
        return stores.connections.count_message(connection.connection_id, now=stores.clock.now())

    assert [count(loud) for _ in range(3)] == [(loud, 1), (loud, 2), (loud, 3)]
    assert count(quiet) == (quiet, 1)
    stores.clock.advance(1)
    assert count(loud) == (loud, 1)
    stores.clock.advance(-1)
    assert count(loud) == (loud, 2)


def test_a_message_neither_moves_a_cursor_nor_hinders_its_moving(stores: Stores) -> None:
    connection = a_connection(stores, cursor=1, epoch="abc", failures=2)
    stores.connections.add(connection)
    assert stored(stores, connection.connection_id) == connection
    assert stores.connections.advance(connection, cursor=2, epoch="abc")
    assert stores.connections.count_message(connection.connection_id, now=stores.clock.now()) == (
        replace(connection, cursor=2, failures=0),
        2,
    )


def test_of_an_expired_or_removed_connection_nothing_is_heard_and_no_row_appears(stores: Stores) -> None:
    connection = a_connection(stores, cursor=1, epoch="abc")
    stores.connections.add(connection)
    stores.clock.advance(timedelta(hours=2, seconds=1).total_seconds())
    assert stored(stores, connection.connection_id) is None
    stores.connections.remove(connection.connection_id)
    assert stored(stores, connection.connection_id) is None
    assert stores.connections.count_of_user("ada", now=stores.clock.now() - timedelta(hours=1)) == 0


def test_the_connections_of_a_user_are_counted_with_the_silent_but_not_the_expired_ones(stores: Stores) -> None:
    stores.connections.add(a_connection(stores, "silent="))
    stores.connections.add(a_connection(stores, "listening=", cursor=1, epoch="abc"))
    stores.connections.add(a_connection(stores, "theirs=", user_id="bob"))
    stores.connections.add(a_connection(stores, "old=", expires_at=stores.clock.now().replace(microsecond=0)))
    assert stores.connections.count_of_user("ada", now=stores.clock.now()) == 2
