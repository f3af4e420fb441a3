"""What every sender promises the pusher: gone, slow and throttled are three things, and each costs one try."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from websockets.sync.client import ClientConnection, connect

from shared.domain.errors import ConnectionGone, SendFailed, SendThrottled
from shared.ports import Sender
from tests.fakes import FakeSender
from tests.gateway import Gateway

FIRST, SECOND = b'{"type":"events","events":[1]}', b'{"type":"events","events":[2]}'


@dataclass(frozen=True)
class Sockets:
    """A sender, and what a test may do to the connections behind it."""

    sender: Sender
    open: Callable[[], str]
    end: Callable[[str], object]
    hang: Callable[[str], object]
    throttle: Callable[[str], object]
    let_through: Callable[[str], object]
    heard: Callable[[str, int], list[bytes]]
    """So many messages of a connection, in order."""


@pytest.fixture(params=["fake", "gateway"])
def sockets(request: pytest.FixtureRequest) -> Iterator[Sockets]:
    if request.param == "fake":
        yield fake_sockets()
        return
    with Gateway().running() as gateway, contextlib.ExitStack() as clients:
        yield gateway_sockets(gateway, clients)
        gateway.hanging.clear()


def fake_sockets() -> Sockets:
    sender = FakeSender()
    names = iter(f"c{number}=" for number in range(10))
    return Sockets(
        sender=sender,
        open=lambda: next(names),
        end=sender.gone.add,
        hang=lambda one: sender.failing.update({one: 1}),
        throttle=sender.throttled.add,
        let_through=sender.throttled.discard,
        heard=lambda one, count: sender.sent[one][:count],
    )


def gateway_sockets(gateway: Gateway, clients: contextlib.ExitStack) -> Sockets:
    opened: dict[str, ClientConnection] = {}

    def open_one() -> str:
        client = clients.enter_context(connect(gateway.url.replace("http", "ws", 1), proxy=None, close_timeout=1))
        until(lambda: len(gateway.connection_ids) > len(opened))
        [name] = gateway.connection_ids - opened.keys()
        opened[name] = client
        return name

    def end(name: str) -> None:
        opened[name].close()
        until(lambda: name not in gateway.connection_ids)

    return Sockets(
        sender=gateway.world.parts.sender,
        open=open_one,
        end=end,
        hang=gateway.hanging.add,
        throttle=gateway.throttled.add,
        let_through=gateway.throttled.discard,
        heard=lambda one, count: [str(opened[one].recv(timeout=10)).encode() for _ in range(count)],
    )


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_messages_reach_their_connection_whole_and_in_order(sockets: Sockets) -> None:
    one, other = sockets.open(), sockets.open()
    for name, body in ((one, FIRST), (other, SECOND), (one, SECOND)):
        sockets.sender.send(name, body)

    assert sockets.heard(one, 2) == [FIRST, SECOND]
    assert sockets.heard(other, 1) == [SECOND]


def test_a_connection_that_has_ended_is_gone(sockets: Sockets) -> None:
    name = sockets.open()
    sockets.end(name)

    with pytest.raises(ConnectionGone):
        sockets.sender.send(name, FIRST)
    with pytest.raises(ConnectionGone):
        sockets.sender.disconnect(name)


def test_a_connection_that_was_ended_is_gone_and_the_others_are_not(sockets: Sockets) -> None:
    ended, other = sockets.open(), sockets.open()
    sockets.sender.disconnect(ended)

    with pytest.raises(ConnectionGone):
        sockets.sender.send(ended, FIRST)
    sockets.sender.send(other, FIRST)
    assert sockets.heard(other, 1) == [FIRST]


def test_a_connection_that_takes_nothing_fails_and_is_not_called_throttled(sockets: Sockets) -> None:
    slow, other = sockets.open(), sockets.open()
    sockets.hang(slow)

    with pytest.raises(SendFailed) as failed:
        sockets.sender.send(slow, FIRST)

    assert not isinstance(failed.value, SendThrottled)
    sockets.sender.send(other, FIRST)
    assert sockets.heard(other, 1) == [FIRST]


def test_a_throttled_message_is_lost_and_its_connection_is_not(sockets: Sockets) -> None:
    name = sockets.open()
    sockets.throttle(name)
    with pytest.raises(SendThrottled):
        sockets.sender.send(name, FIRST)
    with pytest.raises(SendThrottled):
        sockets.sender.disconnect(name)

    sockets.let_through(name)
    sockets.sender.send(name, SECOND)

    assert sockets.heard(name, 1) == [SECOND]
