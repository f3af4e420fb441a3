"""Who guesses keys is slowed down, learns nothing, and is nobody else's trouble (T15)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from functions.http import list_jobs, sign_in
from functions.http._access import SESSION_COOKIE
from functions.http._app import add_routes, build_app
from shared.config import AuthMode
from shared.domain import state_keys
from shared.services.access.authenticate import ADMIN_KEY_SECRET, hash_key
from shared.services.access.slow_guesses import NETWORKS_KEPT, TRIES_A_SECOND, TRIES_AT_ONCE, SlowGuesses
from tests.proof import scaled
from tests.system import System, a_system

ADMIN_KEY = "an-admin-key-of-this-test-0123456789"
STORED_KEY = "stk_viewer0001_" + "v" * 32
JOBS = "/api/cloud/jobs"
LOGIN = "/api/auth/login"


@pytest.fixture
def system() -> Iterator[System]:
    with a_system(auth_mode=AuthMode.KEY) as system:
        system.secrets.put(ADMIN_KEY_SECRET, ADMIN_KEY)
        stored = {"hash": hash_key(STORED_KEY), "user_id": "vera", "role": "viewer"}
        system.stores.state.put(state_keys.api_key("viewer0001"), stored, now=system.clock.now())
        yield system


def at(address: str) -> TestClient:
    """A client of this network address."""
    app = build_app(list_jobs.router)
    add_routes(app, sign_in.router, access=False)
    return TestClient(app, raise_server_exceptions=False, client=(address, 50_000))


def send(client: TestClient, way: int, key: str) -> Any:
    """The answer to a key, by one of the three ways that it can come."""
    match way % 3:
        case 0:
            return client.get(JOBS, headers={"X-API-Key": key})
        case 1:
            return client.get(JOBS, headers={"Authorization": f"Bearer {key}"})
        case _:
            return client.post(LOGIN, json={"key": key})


def guess(client: TestClient, number: int) -> Any:
    return send(client, number, f"stk_viewer0001_{number:032d}")


def use_up(client: TestClient) -> None:
    assert {guess(client, number).status_code for number in range(TRIES_AT_ONCE)} == {401}


def test_of_a_thousand_guesses_twenty_are_looked_at(system: System) -> None:
    client = at("192.0.2.7")
    system.stores.reset_usage()
    count = scaled(1_000)
    answers = [guess(client, number) for number in range(count)]
    assert Counter(answer.status_code for answer in answers) == {401: TRIES_AT_ONCE, 429: count - TRIES_AT_ONCE}
    assert system.stores.total_usage.requests == TRIES_AT_ONCE
    assert answers[-1].headers["Retry-After"] == "1"
    assert answers[-1].json()["error"] == "too_many_wrong_keys"


@pytest.mark.parametrize("key", [ADMIN_KEY, STORED_KEY])
def test_a_right_key_gets_the_very_answer_of_a_wrong_one_until_a_try_has_come_back(system: System, key: str) -> None:
    client = at("192.0.2.7")
    use_up(client)
    system.stores.reset_usage()
    for way in range(3):
        right, wrong = send(client, way, key), send(client, way, "wrong")
        assert right.status_code == 429
        assert (right.content, right.headers["Retry-After"]) == (wrong.content, wrong.headers["Retry-After"])
        assert SESSION_COOKIE not in right.cookies
    assert system.stores.total_usage.requests == 0
    system.clock.advance(1 / TRIES_A_SECOND)
    assert client.get(JOBS, headers={"X-API-Key": key}).status_code == 200
    assert client.post(LOGIN, json={"key": key}).status_code == 200


def test_guesses_go_on_at_the_pace_at_which_tries_come_back(system: System) -> None:
    client = at("192.0.2.7")
    use_up(client)
    system.clock.advance(10 / TRIES_A_SECOND)
    assert Counter(guess(client, number).status_code for number in range(30)) == {401: 10, 429: 20}
    system.clock.advance(1_000_000)
    assert Counter(guess(client, number).status_code for number in range(30)) == {401: TRIES_AT_ONCE, 429: 10}


def test_nobody_else_suffers_by_it(system: System) -> None:
    client = at("192.0.2.7")
    signed_in = at("192.0.2.7")
    assert signed_in.post(LOGIN, json={"key": STORED_KEY}).status_code == 200
    use_up(client)
    assert guess(client, 0).status_code == 429
    assert signed_in.get(JOBS).status_code == 200
    assert client.get(JOBS).status_code == 401
    assert client.post(LOGIN).status_code == 401
    assert at("192.0.2.8").get(JOBS, headers={"X-API-Key": ADMIN_KEY}).status_code == 200


def test_a_customers_whole_ipv6_network_is_one_guesser(system: System) -> None:
    for number in range(TRIES_AT_ONCE):
        assert guess(at(f"2001:db8:1:2::{number:x}"), number).status_code == 401
    assert guess(at("2001:db8:1:2:ffff::1"), 0).status_code == 429
    assert guess(at("2001:db8:1:3::1"), 0).status_code == 401


def test_a_forged_header_gives_no_new_tries(system: System) -> None:
    client = at("192.0.2.7")
    use_up(client)
    forged = {"X-API-Key": "wrong", "X-Forwarded-For": "198.51.100.1", "Forwarded": "for=198.51.100.1"}
    assert client.get(JOBS, headers=forged).status_code == 429


def test_guessed_sessions_count_too(system: System) -> None:
    client = at("192.0.2.7")
    answers = [
        client.get(JOBS, headers={"Cookie": f"{SESSION_COOKIE}={number:043d}"}).status_code for number in range(30)
    ]
    assert Counter(answers) == {401: TRIES_AT_ONCE, 429: 10}
    assert client.get(JOBS, headers={"X-API-Key": ADMIN_KEY}).status_code == 429


def test_right_keys_and_missing_ones_cost_no_try(system: System) -> None:
    client = at("192.0.2.7")
    for _ in range(2 * TRIES_AT_ONCE):
        assert client.get(JOBS, headers={"X-API-Key": STORED_KEY}).status_code == 200
        assert client.get(JOBS).status_code == 401
    use_up(client)


def test_only_those_who_failed_last_are_remembered(system: System) -> None:
    guesses = system.wiring.use(SlowGuesses)
    for _ in range(TRIES_AT_ONCE):
        guesses.count_failure("192.0.2.7")
    assert guesses.is_guesser("192.0.2.7")
    for number in range(NETWORKS_KEPT):
        guesses.count_failure(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert not guesses.is_guesser("192.0.2.7")
    assert len(guesses._failed) == NETWORKS_KEPT


def test_with_no_keys_at_all_nothing_is_refused() -> None:
    with a_system(auth_mode=AuthMode.NONE):
        client = at("192.0.2.7")
        for number in range(3 * TRIES_AT_ONCE):
            assert guess(client, number).status_code == 200
