"""Who may open a WebSocket: one use of one ticket, within a minute, from a listed page (T11, T12)."""

from __future__ import annotations

import threading

import pytest

from functions.socket import authorize, connect
from shared.config import AuthMode
from shared.domain.access import LOCAL_ADMIN, Principal, Role
from shared.services.access.authorize_connection import AuthorizeConnection
from shared.services.access.issue_ticket import IssueTicket
from shared.services.access.revoke_access import RevokeAccess
from shared.services.access.slow_guesses import TRIES_AT_ONCE
from shared.services.delivery.greet_connection import GreetConnection
from shared.services.delivery.open_connection import OpenConnection
from shared.wiring import use_wiring
from tests.delivery import Delivery
from tests.fakes import FakeClock

ALICE = Principal("alice", Role.OPERATOR, "k1")
ORIGIN = "https://jobs.example.com"


def closed(clock: FakeClock | None = None) -> Delivery:
    return Delivery(clock=clock, auth_mode=AuthMode.KEY, allowed_origins=(ORIGIN,))


def opened(world: Delivery, connection_id: str, principal: Principal) -> bool:
    return world.parts.use(OpenConnection).run(connection_id, principal, authorized_at=world.clock.now())


def asking(ticket: str, address: str = "192.0.2.7") -> dict[str, object]:
    """What the authorizer of a handshake with this ticket is called with."""
    return {
        "methodArn": "arn:test",
        "multiValueQueryStringParameters": {"ticket": [ticket]},
        "requestContext": {"identity": {"sourceIp": address}},
    }


def test_a_ticket_opens_one_connection_for_its_principal() -> None:
    world = closed()
    ticket = world.parts.use(IssueTicket).run(ALICE)

    assert world.parts.use(AuthorizeConnection).run(origins=(), ticket=ticket) == ALICE
    assert world.parts.use(AuthorizeConnection).run(origins=(), ticket=ticket) is None


def test_of_fifty_uses_at_once_exactly_one_wins() -> None:
    world = closed()
    ticket = world.parts.use(IssueTicket).run(ALICE)
    answers: list[Principal | None] = []
    start = threading.Barrier(50, timeout=20)

    def use() -> None:
        start.wait()
        answers.append(world.parts.use(AuthorizeConnection).run(origins=(), ticket=ticket))

    uses = [threading.Thread(target=use) for _ in range(50)]
    for one in uses:
        one.start()
    for one in uses:
        one.join()

    assert sorted(map(bool, answers)) == [False] * 49 + [True]


def test_an_expired_ticket_that_nobody_deleted_is_refused() -> None:
    clock = FakeClock()
    world = closed(clock)
    ticket = world.parts.use(IssueTicket).run(ALICE)
    clock.advance(61)

    assert world.parts.use(AuthorizeConnection).run(origins=(), ticket=ticket) is None


def test_a_ticket_holds_256_random_bits_and_is_stored_hashed() -> None:
    world = closed()
    tickets = {world.parts.use(IssueTicket).run(ALICE) for _ in range(50)}

    assert len(tickets) == 50
    assert all(len(ticket) >= 43 for ticket in tickets)
    stored = repr(world.stores.state_rows)
    assert not [ticket for ticket in tickets if ticket in stored]


def test_a_ticket_of_a_key_revoked_meanwhile_is_refused() -> None:
    world = closed()
    ticket = world.parts.use(IssueTicket).run(ALICE)
    world.parts.use(RevokeAccess).run(key_id="k1")

    assert world.parts.use(AuthorizeConnection).run(origins=(), ticket=ticket) is None


@pytest.mark.parametrize("ticket", [None, "", "wrong", "x" * 10_000, "\ud800", "ws-ticket#"])
def test_without_a_valid_ticket_nobody_gets_in(ticket: str | None) -> None:
    assert closed().parts.use(AuthorizeConnection).run(origins=(), ticket=ticket) is None


@pytest.mark.parametrize(
    "origins",
    [
        ("null",),
        ("https://evil.example.com",),
        (f"{ORIGIN}.evil.example",),
        (f"{ORIGIN}:8443",),
        ("http://jobs.example.com",),
        ("https://evil-jobs.example.com",),
        ("HTTPS://JOBS.EXAMPLE.COM",),
        (f"{ORIGIN}/",),
        ("",),
        (ORIGIN, "https://evil.example.com"),
        (ORIGIN, ORIGIN),
    ],
)
def test_an_origin_that_is_not_listed_whole_is_refused_with_a_good_ticket(origins: tuple[str, ...]) -> None:
    world = closed()
    ticket = world.parts.use(IssueTicket).run(ALICE)

    assert world.parts.use(AuthorizeConnection).run(origins=origins, ticket=ticket) is None
    assert world.parts.use(AuthorizeConnection).run(origins=(ORIGIN,), ticket=ticket) == ALICE


def test_the_deployments_own_page_may_connect() -> None:
    world = Delivery(public_base_url="https://own.example.com/prod")

    assert world.parts.use(AuthorizeConnection).run(origins=("https://own.example.com",), ticket=None) == LOCAL_ADMIN


def test_with_open_access_the_ticket_may_be_left_out_but_not_be_wrong() -> None:
    world = Delivery()
    authorizer = world.parts.use(AuthorizeConnection)
    ticket = world.parts.use(IssueTicket).run(LOCAL_ADMIN)

    assert authorizer.run(origins=(), ticket=None) == LOCAL_ADMIN
    assert authorizer.run(origins=(), ticket="wrong") is None
    assert authorizer.run(origins=(), ticket=ticket) == LOCAL_ADMIN
    assert authorizer.run(origins=(), ticket=ticket) is None


def test_a_principal_has_a_limited_number_of_sockets_silent_ones_too() -> None:
    """Else all could be opened first, and say hello afterwards."""
    world = Delivery(auth_mode=AuthMode.KEY, sockets_per_user=2)
    assert opened(world, "silent", ALICE)
    assert opened(world, "listening", ALICE)
    world.parts.use(GreetConnection).hello("listening", None)

    assert not opened(world, "third", ALICE)
    assert opened(world, "other", Principal("bob", Role.VIEWER))
    assert "third" not in world.stores.connection_rows
    world.stores.connections.remove("silent")
    assert opened(world, "fourth", ALICE)


def test_of_many_sockets_opened_at_once_never_more_than_the_limit_stay() -> None:
    world = Delivery(auth_mode=AuthMode.KEY, sockets_per_user=5)
    start = threading.Barrier(30, timeout=20)

    def use(number: int) -> None:
        start.wait()
        opened(world, f"c{number}", ALICE)

    uses = [threading.Thread(target=use, args=(number,)) for number in range(30)]
    for one in uses:
        one.start()
    for one in uses:
        one.join()

    assert len(world.stores.connection_rows) <= 5


def test_sockets_are_not_counted_where_everyone_is_the_same_user() -> None:
    world = Delivery(sockets_per_user=1)
    for name in ("a", "b", "c"):
        assert opened(world, name, LOCAL_ADMIN)


def test_access_revoked_between_authorizing_and_connecting_hears_nothing() -> None:
    """The list was asked before, and the open connections are ended before this one is among them (I24)."""
    clock = FakeClock()
    world = closed(clock)
    use_wiring(world.parts)
    try:
        ticket = world.parts.use(IssueTicket).run(ALICE)
        word = authorize.handler(asking(ticket), None)
        clock.advance(2)
        world.parts.use(RevokeAccess).run(key_id="k1")
        clock.advance(2)
        request = {"connectionId": "late", "authorizer": {"principalId": "alice", **word["context"]}}
        assert connect.handler({"requestContext": request}, None) == {"statusCode": 200}
    finally:
        use_wiring(None)
    world.publish()

    world.parts.use(GreetConnection).hello("late", f"{world.epoch}-0")

    assert world.heard("late") == []
    assert world.fake_sender.disconnected == ["late"]


def test_a_thousand_guessed_tickets_cost_twenty_writes_and_then_no_ticket_of_that_address_counts() -> None:
    clock = FakeClock()
    world = closed(clock)
    use_wiring(world.parts)

    def effect(ticket: str, address: str = "192.0.2.7") -> str:
        return str(authorize.handler(asking(ticket, address), None)["policyDocument"]["Statement"][0]["Effect"])

    try:
        right, elsewhere = world.parts.use(IssueTicket).run(ALICE), world.parts.use(IssueTicket).run(ALICE)
        world.stores.reset_usage()
        assert {effect(f"guess-{number}") for number in range(1_000)} == {"Deny"}
        assert world.stores.total_usage.calls == TRIES_AT_ONCE
        assert effect(right) == "Deny"
        assert effect(elsewhere, "192.0.2.8") == "Allow"
        clock.advance(1)
        assert effect(right) == "Allow"
    finally:
        use_wiring(None)
