"""The Replicate adapter over real sockets: the simulator in all its moods, and servers that never come to an end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest

from infra.simulators.replicate import FaultKind, RunningSimulator, Shape, running_simulator
from shared.adapters.clock import SystemClock
from shared.adapters.http.bounded import HttpLimits
from shared.adapters.providers.api import Connection
from shared.adapters.providers.replicate.profile import KINDS, PREDICTION
from shared.adapters.providers.replicate.provider import ReplicateProvider
from shared.domain.account import Account
from shared.domain.errors import (
    ProviderAnswerInvalidError,
    ProviderError,
    ProviderJobNotFoundError,
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderTokenRejectedError,
    ProviderUnavailableError,
)
from shared.domain.job import JobStatus
from shared.domain.observation import Observation

TOKEN = "r8_local"
SHORT = HttpLimits(connect_seconds=1, read_seconds=1, call_seconds=2.5, body_bytes=2_000_000)


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    with running_simulator(valid_tokens=frozenset({TOKEN})) as running:
        yield running


def provider_at(base_url: str, *, token: str = TOKEN, limits: HttpLimits = SHORT) -> ReplicateProvider:
    connection = Connection(base_url=base_url, token=lambda: token, clock=SystemClock(), limits=limits)
    return ReplicateProvider(connection)


@pytest.fixture
def replicate(simulator: RunningSimulator) -> ReplicateProvider:
    return provider_at(simulator.base_url)


def all_pages(provider: ReplicateProvider, kind: str, since: datetime | None = None) -> list[Observation]:
    seen: list[Observation] = []
    place = None
    for _ in range(20):
        page = provider.list_page(kind, page=place, active_since=since)
        seen += page.observations
        place = page.next_page
        if place is None:
            return seen
    raise AssertionError("the list has no end")


def test_the_account_and_the_webhook_secret_are_read(simulator: RunningSimulator, replicate: ReplicateProvider) -> None:
    assert replicate.account() == Account("local-simulator", replicate.account().name)
    assert replicate.webhook_secret() == simulator.control.webhook_secret


def test_a_wrong_token_is_rejected(simulator: RunningSimulator) -> None:
    with pytest.raises(ProviderTokenRejectedError):
        provider_at(simulator.base_url, token="r8_wrong").account()


@pytest.mark.parametrize("shape", [Shape.HOT, Shape.COLD])
@pytest.mark.parametrize("kind", KINDS)
def test_a_job_is_seen_through_its_life_in_both_shapes(
    simulator: RunningSimulator, replicate: ReplicateProvider, kind: str, shape: Shape
) -> None:
    control = simulator.control
    job_id = control.create_job(kind=kind, boot_seconds=60, run_seconds=600, shape=shape)
    assert replicate.get(job_id, kind).observation.status is JobStatus.QUEUED
    control.jump(120)
    look = replicate.get(job_id, kind, with_log=True)
    assert look.observation.status is JobStatus.RUNNING
    assert look.observation.started_at is not None
    assert look.log_tail
    control.jump(700)
    look = replicate.get(job_id, kind, with_log=True)
    ended = look.observation
    assert ended.status is JobStatus.COMPLETED
    assert ended.billed_seconds == pytest.approx(600, abs=1)
    assert ended.output_url is not None
    full = replicate.full_log(job_id, kind)
    assert full is not None
    assert look.log_tail is not None
    assert full.endswith(look.log_tail)


def test_a_failed_and_an_aborted_job_end_without_measures(
    simulator: RunningSimulator, replicate: ReplicateProvider
) -> None:
    failed = simulator.control.create_job(
        age_seconds=90, boot_seconds=5, run_seconds=20, outcome="failed", error="CUDA out of memory", has_metrics=False
    )
    aborted = simulator.control.create_job(age_seconds=90, boot_seconds=600, cancel_after_seconds=10)
    seen = replicate.get(failed, PREDICTION).observation
    assert (seen.status, seen.error, seen.billed_seconds) == (JobStatus.FAILED, "CUDA out of memory", None)
    seen = replicate.get(aborted, PREDICTION).observation
    assert (seen.status, seen.provider_status) == (JobStatus.CANCELLED, "aborted")


def test_removed_data_is_told_as_nothing(simulator: RunningSimulator, replicate: ReplicateProvider) -> None:
    job_id = simulator.control.create_job(age_seconds=7200, boot_seconds=5, run_seconds=20)
    look = replicate.get(job_id, PREDICTION, with_log=True)
    seen = look.observation
    assert (seen.status, look.log_tail, seen.output_url) == (JobStatus.COMPLETED, None, None)
    assert seen.billed_seconds is not None
    assert replicate.full_log(job_id, PREDICTION) is None


@pytest.mark.parametrize("kind", KINDS)
def test_every_job_stands_once_in_the_pages_of_its_list(
    simulator: RunningSimulator, replicate: ReplicateProvider, kind: str
) -> None:
    ids = {simulator.control.create_job(kind=kind, age_seconds=number) for number in range(250)}
    simulator.control.create_job(kind=next(other for other in KINDS if other != kind))
    seen = all_pages(replicate, kind)
    assert len(seen) == 250
    assert {job.external_id for job in seen} == ids
    assert {job.kind for job in seen} == {kind}


def test_a_list_can_begin_at_a_moment(simulator: RunningSimulator, replicate: ReplicateProvider) -> None:
    new = simulator.control.create_job(age_seconds=10)
    simulator.control.create_job(age_seconds=5000)
    since = datetime.now(UTC) - timedelta(seconds=1000)
    assert [job.external_id for job in all_pages(replicate, PREDICTION, since)] == [new]


def test_an_http_next_is_followed_at_our_own_address(simulator: RunningSimulator, replicate: ReplicateProvider) -> None:
    for number in range(120):
        simulator.control.create_job(age_seconds=number)
    simulator.control.add_fault(FaultKind.NEXT_HTTP)
    assert len(all_pages(replicate, PREDICTION)) == 120


def test_a_next_to_another_origin_is_never_asked(simulator: RunningSimulator, replicate: ReplicateProvider) -> None:
    for number in range(120):
        simulator.control.create_job(age_seconds=number)
    with listening(lambda _connection: None) as (address, connections):
        simulator.control.add_fault(FaultKind.NEXT_OFF_ORIGIN, url=f"{address}/v1/predictions?cursor=x")
        with pytest.raises(ProviderAnswerInvalidError):
            replicate.list_page(PREDICTION)
        assert connections == []


def test_a_page_loop_repeats_its_place_so_that_the_reader_can_see_it(
    simulator: RunningSimulator, replicate: ReplicateProvider
) -> None:
    for number in range(120):
        simulator.control.create_job(age_seconds=number)
    simulator.control.add_fault(FaultKind.PAGE_LOOP)
    places = [replicate.list_page(PREDICTION).next_page]
    for _ in range(3):
        places.append(replicate.list_page(PREDICTION, page=places[-1]).next_page)
    assert len(set(places)) < len(places)


def test_raw_control_characters_in_a_log_are_read(simulator: RunningSimulator, replicate: ReplicateProvider) -> None:
    job_id = simulator.control.create_job(age_seconds=60, boot_seconds=0, run_seconds=600, raw_controls=True)
    tail = replicate.get(job_id, PREDICTION, with_log=True).log_tail
    assert tail is not None
    assert "\x1b[A\r" in tail


def test_an_unknown_status_is_kept_as_a_word(simulator: RunningSimulator, replicate: ReplicateProvider) -> None:
    job_id = simulator.control.create_job(status_word="hibernating")
    seen = replicate.get(job_id, PREDICTION).observation
    assert (seen.status, seen.provider_status) == (None, "hibernating")


def test_an_unknown_job_is_not_found(replicate: ReplicateProvider) -> None:
    for ask in (replicate.get, replicate.full_log, replicate.cancel):
        with pytest.raises(ProviderJobNotFoundError):
            ask("0123456789abcdefghjkmnpqrs", PREDICTION)


def test_a_cancel_ends_the_job_at_the_provider(simulator: RunningSimulator, replicate: ReplicateProvider) -> None:
    job_id = simulator.control.create_job(boot_seconds=0, run_seconds=3600)
    replicate.cancel(job_id, PREDICTION)
    assert replicate.get(job_id, PREDICTION).observation.status is JobStatus.CANCELLED


def test_a_page_that_is_not_the_providers_is_no_cancel(
    simulator: RunningSimulator, replicate: ReplicateProvider
) -> None:
    job_id = simulator.control.create_job(boot_seconds=0, run_seconds=3600)
    simulator.control.add_fault(FaultKind.HTML, method="POST")
    with pytest.raises(ProviderAnswerInvalidError):
        replicate.cancel(job_id, PREDICTION)
    assert replicate.get(job_id, PREDICTION).observation.status is JobStatus.RUNNING


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (FaultKind.UNAUTHENTICATED, ProviderTokenRejectedError),
        (FaultKind.NO_CREDIT, ProviderRefusedError),
        (FaultKind.INVALID, ProviderRefusedError),
        (FaultKind.NOT_FOUND, ProviderJobNotFoundError),
        (FaultKind.THROTTLED_HEADER, ProviderThrottledError),
        (FaultKind.THROTTLED_BODY, ProviderThrottledError),
        (FaultKind.THROTTLED_TEXT, ProviderThrottledError),
        (FaultKind.SERVER_ERROR, ProviderUnavailableError),
        (FaultKind.SERVER_ERROR_HTML, ProviderUnavailableError),
        (FaultKind.TIMEOUT, ProviderUnavailableError),
        (FaultKind.RESET, ProviderUnavailableError),
        (FaultKind.LOST_ANSWER, ProviderUnavailableError),
        (FaultKind.HTML, ProviderAnswerInvalidError),
        (FaultKind.TRUNCATED, ProviderAnswerInvalidError),
        (FaultKind.ENDLESS, ProviderAnswerInvalidError),
    ],
)
def test_every_fault_has_its_error(
    simulator: RunningSimulator, replicate: ReplicateProvider, fault: FaultKind, expected: type[ProviderError]
) -> None:
    job_id = simulator.control.create_job()
    simulator.control.add_fault(fault)
    with pytest.raises(ProviderError) as raised:
        replicate.get(job_id, PREDICTION)
    assert type(raised.value) is expected
    simulator.control.clear_faults()
    assert replicate.get(job_id, PREDICTION).observation.external_id == job_id


@pytest.mark.parametrize("fault", [FaultKind.THROTTLED_HEADER, FaultKind.THROTTLED_BODY, FaultKind.THROTTLED_TEXT])
def test_each_form_of_429_tells_how_long_to_hold_back(
    simulator: RunningSimulator, replicate: ReplicateProvider, fault: FaultKind
) -> None:
    simulator.control.add_fault(fault, seconds=7)
    with pytest.raises(ProviderThrottledError) as raised:
        replicate.account()
    assert raised.value.retry_after == 7


def test_one_lost_connection_is_not_noticed(simulator: RunningSimulator, replicate: ReplicateProvider) -> None:
    job_id = simulator.control.create_job()
    simulator.control.add_fault(FaultKind.RESET, count=1)
    assert replicate.get(job_id, PREDICTION).observation.external_id == job_id


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[tuple[str, list[socket.socket]]]:
    """A bare server on loopback: `serve` has each connection for itself, after the request was read."""
    connections: list[socket.socket] = []
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def run(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65_536)
            serve(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threads.append(threading.Thread(target=run, args=(connection,), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", connections
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(5)
        for thread in threads:
            thread.join(5)


def drip(connection: socket.socket, head: bytes, drop: bytes) -> None:
    """A drop each tenth of a second, so that no single read ever times out."""
    connection.sendall(head)
    for _ in range(60):
        connection.sendall(drop)
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["headers", "body", "chunks", "continues"],
)
def test_a_server_that_drips_for_ever_is_left_at_the_deadline(head: bytes, drop: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        drip(connection, head, drop)

    # Without the deadline the call would not end before this test's own time-out.
    with listening(serve) as (address, _), pytest.raises(ProviderUnavailableError):
        provider_at(f"{address}/v1").account()


def test_a_port_where_nobody_listens_is_unavailable_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ProviderUnavailableError):
        provider_at(f"http://127.0.0.1:{port}/v1").account()


def test_something_that_is_not_http_is_unavailable() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")

    with listening(serve) as (address, _), pytest.raises(ProviderUnavailableError):
        provider_at(f"{address}/v1").account()


def test_one_connection_serves_call_after_call_and_is_made_anew_when_it_was_closed() -> None:
    body = b'{"username": "someone"}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    def serve(connection: socket.socket) -> None:
        connection.sendall(answer)
        for _ in range(9):
            connection.recv(65_536)
            connection.sendall(answer)

    with listening(serve) as (address, connections):
        provider = provider_at(f"{address}/v1")
        for _ in range(10):
            assert provider.account() == Account("someone")
        assert len(connections) == 1
        assert provider.account() == Account("someone")
        assert len(connections) == 2
