"""The Replicate adapter against a transport that answers as badly as one can."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import socket
import traceback
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    ClosedPoolError,
    ConnectTimeoutError,
    HTTPError,
    IncompleteRead,
    InvalidHeader,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from shared.adapters.http.bounded import Request
from shared.adapters.providers.api import Connection
from shared.adapters.providers.replicate.profile import PREDICTION, TRAINING
from shared.adapters.providers.replicate.provider import ReplicateProvider
from shared.domain.account import Account
from shared.domain.errors import (
    ConfigurationError,
    ProviderAnswerInvalidError,
    ProviderError,
    ProviderJobNotFoundError,
    ProviderNotConfiguredError,
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderTokenRejectedError,
    ProviderUnavailableError,
)
from shared.domain.job import JobStatus
from shared.ports import Provider
from tests.fakes.clock import FakeClock
from tests.fakes.transport import Answering, FakeTransport, Scripted, answer_of, breaking_off

BASE = "https://api.replicate.com/v1"
POOL = HTTPConnectionPool("x")
TOKEN = "r8_canary0123456789abcdefghijklmnopqrst"
ID = "rrr4z55ocneqzikepnug6xezpe"
JOB: dict[str, object] = {"id": ID, "status": "processing", "logs": "step 1\n", "urls": {}}


def provider(
    transport: FakeTransport,
    clock: FakeClock | None = None,
    base_url: str = BASE,
    token: str | Callable[[], str] | None = TOKEN,
    correlation_id: Callable[[], str | None] = lambda: None,
    newest_token: Callable[[], str | None] = lambda: None,
) -> ReplicateProvider:
    connection = Connection(
        base_url=base_url,
        token=token if callable(token) else lambda: token,
        clock=clock or FakeClock(),
        correlation_id=correlation_id,
        newest_token=newest_token,
        transport=transport,
    )
    return ReplicateProvider(connection)


@pytest.mark.parametrize(
    ("remembered", "newest", "sent"),
    [
        (TOKEN, "r8_newer-token", [TOKEN, "r8_newer-token"]),
        (None, "r8_newer-token", ["r8_newer-token"]),
        (TOKEN, TOKEN, [TOKEN]),
        (TOKEN, None, [TOKEN]),
    ],
)
def test_a_token_that_another_process_has_stored_is_taken_where_ours_is_missing_or_refused(
    remembered: str | None, newest: str | None, sent: list[str]
) -> None:
    def answer(request: Request) -> Scripted:
        is_good = request.headers["Authorization"] == "Bearer r8_newer-token"
        return answer_of({"type": "user", "username": "ada"}) if is_good else problem(401)

    transport = FakeTransport(answer)
    found = provider(transport, token=remembered, newest_token=lambda: newest)
    if "r8_newer-token" in sent:
        assert found.account().username == "ada"
    else:
        with pytest.raises(ProviderTokenRejectedError):
            found.account()
    assert [request.headers["Authorization"].removeprefix("Bearer ") for request in transport.requests] == sent


def test_a_given_token_that_is_refused_is_not_replaced() -> None:
    transport = FakeTransport(problem(401))
    with pytest.raises(ProviderTokenRejectedError):
        provider(transport, newest_token=lambda: "r8_newer-token").account("r8_given-token")
    assert len(transport.requests) == 1


def problem(status: int, detail: str = "told", **extra: object) -> Scripted:
    return answer_of({"detail": detail, "status": status, **extra}, status)


def html(status: int) -> Scripted:
    return Scripted(status, b"<!DOCTYPE html><html><body>Cloudflare</body></html>")


def page(*items: dict[str, object], following: str | None = None) -> Scripted:
    return answer_of({"next": following, "previous": None, "results": list(items)})


def paths(transport: FakeTransport) -> list[str]:
    return [url.removeprefix(BASE.removesuffix("/v1")) for url in transport.urls]


def hosts(transport: FakeTransport) -> set[str | None]:
    return {urlsplit(url).hostname for url in transport.urls}


def error_of(transport: FakeTransport, clock: FakeClock | None = None) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        provider(transport, clock).get(ID, PREDICTION)
    return raised.value


def test_it_is_a_provider() -> None:
    replicate: Provider = provider(FakeTransport(problem(500)))
    assert (replicate.profile.name, replicate.profile.label) == ("replicate", "Replicate")


def test_the_account_is_whom_the_token_belongs_to() -> None:
    body = {"type": "user", "username": "someone", "name": "", "github_url": "https://github.com/someone"}
    assert provider(FakeTransport(answer_of(body))).account() == Account("someone", None)


def test_an_accounts_names_can_be_shown_anywhere() -> None:
    raw = b'{"username":"some\\ud800one\\u001b[31m","name":"\\u202eeno"}'
    assert provider(FakeTransport(Scripted(200, raw))).account() == Account("some?one", "eno")


@pytest.mark.parametrize("body", [{}, {"username": ""}, {"username": 5}])
def test_an_account_without_username_is_an_invalid_answer(body: dict[str, object]) -> None:
    with pytest.raises(ProviderAnswerInvalidError):
        provider(FakeTransport(answer_of(body))).account()


@pytest.mark.parametrize(("kind", "path"), [(PREDICTION, f"/v1/predictions/{ID}"), (TRAINING, f"/v1/trainings/{ID}")])
def test_a_job_is_asked_for_where_its_kind_lives(kind: str, path: str) -> None:
    transport = FakeTransport(answer_of(JOB))
    clock = FakeClock()
    look = provider(transport, clock).get(ID, kind, with_log=True)
    seen = look.observation
    assert paths(transport) == [path]
    assert (seen.kind, seen.status, seen.observed_at) == (kind, JobStatus.RUNNING, clock.now())
    assert look.log_tail == "step 1\n"


def test_an_answer_about_another_job_is_invalid() -> None:
    with pytest.raises(ProviderAnswerInvalidError):
        provider(FakeTransport(answer_of(JOB))).get("another", PREDICTION)


@pytest.mark.parametrize("bad_id", ["", "..", "a/b", "a%2Fb", "a?b", "a" * 65, "a\r\nHost: x", "\ud800"])
def test_no_request_is_made_for_an_id_that_could_change_the_address(bad_id: str) -> None:
    transport = FakeTransport(answer_of(JOB))
    replicate = provider(transport)
    for call in (replicate.get, replicate.full_log, replicate.cancel):
        with pytest.raises(ProviderJobNotFoundError):
            call(bad_id, PREDICTION)
    assert transport.requests == []


def test_pages_follow_each_other_by_their_cursor() -> None:
    first = page(JOB, following=f"{BASE}/predictions?cursor=cD0y%3D&created_after=x")
    transport = FakeTransport(first, page({"id": "older", "status": "aborted"}))
    replicate = provider(transport)
    since = datetime(2026, 3, 1, 11, 0, tzinfo=UTC)
    one = replicate.list_page(PREDICTION, active_since=since)
    two = replicate.list_page(PREDICTION, page=one.next_page, active_since=since)
    assert paths(transport) == [
        "/v1/predictions?created_after=2026-03-01T11%3A00%3A00.000000Z",
        "/v1/predictions?cursor=cD0y%3D&created_after=x",
    ]
    assert [seen.status for seen in two.observations] == [JobStatus.CANCELLED]
    assert two.next_page is None


def test_trainings_are_listed_without_the_filter_they_do_not_know() -> None:
    transport = FakeTransport(page())
    provider(transport).list_page(TRAINING, active_since=datetime(2026, 3, 1, tzinfo=UTC))
    assert paths(transport) == ["/v1/trainings"]


def test_malformed_items_are_left_out() -> None:
    assert len(provider(FakeTransport(page(JOB, {}, {"id": 1}))).list_page(PREDICTION).observations) == 1


@pytest.mark.parametrize("stored", ["", "a b", "cursor=x#y", "cursor=\ud800", "x" * 3000, "c\r\n"])
def test_a_damaged_place_in_a_list_is_never_sent(stored: str) -> None:
    transport = FakeTransport(page())
    with pytest.raises(ProviderAnswerInvalidError):
        provider(transport).list_page(PREDICTION, page=stored)
    assert transport.requests == []


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.example/v1/predictions?cursor=x",
        "https://api.replicate.com@evil.example/v1/predictions?cursor=x",
        "https://api.replicate.com\\@evil.example/v1/predictions?cursor=x",
        "https://аpi.replicate.com/v1/predictions?cursor=x",
        "http://169.254.169.254/latest/meta-data?x",
        "file:///etc/passwd",
    ],
)
def test_the_token_never_goes_where_a_page_points(following: str) -> None:
    transport = FakeTransport(page(JOB, following=following))
    with pytest.raises(ProviderAnswerInvalidError):
        provider(transport).list_page(PREDICTION)
    assert hosts(transport) == {"api.replicate.com"}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    transport = FakeTransport(Scripted(status, headers={"location": "https://evil.example/v1/predictions/x"}))
    assert isinstance(error_of(transport), ProviderAnswerInvalidError)
    assert hosts(transport) == {"api.replicate.com"}


def test_each_request_carries_the_token_of_that_moment_and_the_correlation_id() -> None:
    tokens = iter(["first", "second"])
    transport = FakeTransport(page())
    replicate = provider(transport, token=lambda: next(tokens), correlation_id=lambda: "corr-1")
    replicate.list_page(PREDICTION)
    replicate.list_page(PREDICTION)
    assert [request.headers["Authorization"] for request in transport.requests] == ["Bearer first", "Bearer second"]
    assert transport.requests[0].headers["X-Correlation-ID"] == "corr-1"


@pytest.mark.parametrize("bad", ["a\r\nX: y", "ü", "", "x" * 500])
def test_a_correlation_id_that_is_no_header_is_left_out(bad: str) -> None:
    transport = FakeTransport(page())
    provider(transport, correlation_id=lambda: bad).list_page(PREDICTION)
    assert "X-Correlation-ID" not in transport.requests[0].headers


@pytest.mark.parametrize("token", [None, "", "  \n"])
def test_without_a_token_nothing_is_asked_and_the_error_says_what_to_do(token: str | None) -> None:
    transport = FakeTransport(page())
    with pytest.raises(ProviderNotConfiguredError, match="REPLICATE_API_TOKEN"):
        provider(transport, token=token).account()
    assert transport.requests == []


@pytest.mark.parametrize("token", ["r8_can\nary", "r8_cänary", "r8_\x00canary", "r8 canary"])
def test_a_token_that_no_header_can_carry_is_rejected_without_being_quoted(token: str) -> None:
    transport = FakeTransport(page())
    with pytest.raises(ProviderTokenRejectedError) as raised:
        provider(transport, token=token).account()
    assert "nary" not in str(raised.value)
    assert transport.requests == []


def test_white_space_around_a_pasted_token_is_no_fault() -> None:
    transport = FakeTransport(page())
    provider(transport, token=f" {TOKEN}\n").list_page(PREDICTION)
    assert transport.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (problem(401), ProviderTokenRejectedError),
        (problem(403), ProviderTokenRejectedError),
        (problem(404), ProviderJobNotFoundError),
        (Scripted(404), ProviderJobNotFoundError),
        (html(404), ProviderAnswerInvalidError),
        (problem(402), ProviderRefusedError),
        (problem(422), ProviderRefusedError),
        (problem(400), ProviderRefusedError),
        (problem(413), ProviderRefusedError),
        (problem(408), ProviderUnavailableError),
        (problem(429), ProviderThrottledError),
        (problem(500), ProviderUnavailableError),
        (html(502), ProviderUnavailableError),
        (html(503), ProviderUnavailableError),
        (Scripted(599), ProviderUnavailableError),
        (html(200), ProviderAnswerInvalidError),
        (Scripted(200), ProviderAnswerInvalidError),
        (Scripted(204), ProviderAnswerInvalidError),
        (answer_of([]), ProviderAnswerInvalidError),
        (Scripted(200, b'{"id":"rrr4z55ocneqzik'), ProviderAnswerInvalidError),
        (Scripted(200, b"[" * 1_000_000), ProviderAnswerInvalidError),
        (answer_of({"id": ID}), ProviderAnswerInvalidError),
        (Scripted(200, b"x", {"content-encoding": "br"}), ProviderAnswerInvalidError),
        (Scripted(200, b"x", {"content-encoding": "gzip, gzip"}), ProviderAnswerInvalidError),
    ],
)
def test_every_answer_that_is_no_success_has_its_error(answer: Scripted, expected: type[ProviderError]) -> None:
    transport = FakeTransport(answer)
    error = error_of(transport)
    assert type(error) is expected
    assert error.detail.endswith((".", ")."))


@pytest.mark.parametrize(
    "fault",
    [
        ConnectTimeoutError("slow"),
        ReadTimeoutError(POOL, "/", "slow"),
        NewConnectionError(HTTPConnection("x"), "refused"),
        NameResolutionError("x", HTTPConnection("x"), socket.gaierror()),
        ProtocolError("Connection aborted."),
        IncompleteRead(1, 2),
        SSLError("certificate"),
        ClosedPoolError(POOL, "closed"),
        LocationParseError("x"),
        InvalidHeader("x"),
        HTTPError("whatever else"),
        ValueError("Invalid header value"),
    ],
)
def test_every_fault_of_the_connection_is_unavailable(fault: Exception) -> None:
    error = error_of(FakeTransport(fault))
    assert type(error) is ProviderUnavailableError
    assert error.__cause__ is None
    assert error.__context__ is None


def test_a_refusal_is_told_in_the_providers_own_words() -> None:
    error = error_of(FakeTransport(problem(402, "You have insufficient credit\nto run this model.")))
    assert "You have insufficient credit to run this model." in error.detail


def test_an_unknown_address_other_than_a_jobs_points_at_the_configuration() -> None:
    with pytest.raises(ProviderAnswerInvalidError, match="REPLICATE_API_BASE_URL"):
        provider(FakeTransport(problem(404))).account()


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (answer_of({"detail": "x", "retry_after": 5}, 429, retry_after="12"), 12),
        (Scripted(429, headers={"retry-after": "Sun, 01 Mar 2026 12:00:40 GMT"}), 40),
        (problem(429, "Request was throttled.", retry_after=5), 5),
        (problem(429, "Request was throttled. Your rate limit resets in ~17s."), 17),
        (html(429), 5),
    ],
)
def test_a_429_tells_how_long_to_hold_back_and_is_not_repeated(answer: Scripted, seconds: float) -> None:
    transport = FakeTransport(answer)
    error = error_of(transport)
    assert isinstance(error, ProviderThrottledError)
    assert error.retry_after == seconds
    assert len(transport.requests) == 1


@pytest.mark.parametrize(
    "fault", [problem(500), html(503), ProtocolError("reset"), NewConnectionError(HTTPConnection("x"), "gone")]
)
def test_a_read_is_repeated_once_after_a_passing_fault(fault: Scripted | Exception) -> None:
    transport = FakeTransport(fault, answer_of(JOB))
    assert provider(transport).get(ID, PREDICTION).observation.status is JobStatus.RUNNING
    assert len(transport.requests) == 2


def test_a_read_is_repeated_no_more_than_once() -> None:
    transport = FakeTransport(lambda _: problem(500))
    assert isinstance(error_of(transport), ProviderUnavailableError)
    assert len(transport.requests) == 2


@pytest.mark.parametrize(
    "answer", [problem(401), problem(404), problem(422), problem(429), ReadTimeoutError(POOL, "/", "slow")]
)
def test_what_another_try_would_not_change_is_not_repeated(answer: Scripted | Exception) -> None:
    transport = FakeTransport(answer)
    error_of(transport)
    assert len(transport.requests) == 1


def test_nothing_is_repeated_when_the_time_is_used_up() -> None:
    clock = FakeClock()

    def late(_: Request) -> Scripted:
        clock.advance(7.9)
        return problem(500)

    transport = FakeTransport(late)
    error_of(transport, clock)
    assert len(transport.requests) == 1


def dripping(clock: FakeClock, seconds: float, chunk: bytes = b" ") -> Iterator[bytes]:
    while True:
        clock.advance(seconds)
        yield chunk


def test_a_dripping_body_ends_with_the_call() -> None:
    clock = FakeClock()
    begun = clock.now()
    error = error_of(FakeTransport(lambda _: Scripted(200, lambda: dripping(clock, 1))), clock)
    assert isinstance(error, ProviderUnavailableError)
    assert clock.now() - begun <= timedelta(seconds=9)


def test_a_dripping_problem_is_judged_by_its_status() -> None:
    clock = FakeClock()
    error = error_of(FakeTransport(lambda _: Scripted(429, lambda: dripping(clock, 1))), clock)
    assert isinstance(error, ProviderThrottledError)


def test_an_endless_body_is_given_up_at_ten_megabytes() -> None:
    clock = FakeClock()
    given: list[int] = []

    def chunks() -> Iterator[bytes]:
        while True:
            given.append(65_536)
            yield b" " * 65_536

    assert isinstance(error_of(FakeTransport(Scripted(200, chunks)), clock), ProviderAnswerInvalidError)
    assert sum(given) < 10_200_000


def gzipped(body: bytes) -> Scripted:
    return Scripted(200, body, {"content-encoding": "gzip"})


def test_a_compressed_answer_is_read() -> None:
    transport = FakeTransport(gzipped(gzip.compress(json.dumps(JOB).encode())))
    assert provider(transport).get(ID, PREDICTION).observation.status is JobStatus.RUNNING


def test_a_gzip_bomb_is_given_up_at_ten_megabytes_unpacked() -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(b" " * 1_000_000) for _ in range(60)) + packer.flush()
    assert len(bomb) < 100_000
    transport = FakeTransport(lambda _: gzipped(bomb))
    assert isinstance(error_of(transport), ProviderAnswerInvalidError)


@pytest.mark.parametrize("cut", [20, -9, -1])
def test_a_compressed_answer_that_is_cut_is_invalid(cut: int) -> None:
    packed = gzip.compress(json.dumps(JOB).encode() * 20)
    assert isinstance(error_of(FakeTransport(lambda _: gzipped(packed[:cut]))), ProviderAnswerInvalidError)


@pytest.mark.parametrize("body", [b"not gzip", gzip.compress(b"{}") * 2], ids=["not gzip", "two members"])
def test_a_damaged_compressed_answer_is_invalid(body: bytes) -> None:
    assert isinstance(error_of(FakeTransport(lambda _: gzipped(body))), ProviderAnswerInvalidError)


def test_a_body_that_breaks_off_is_an_invalid_answer_after_one_more_try() -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"id":'
        raise breaking_off()

    transport = FakeTransport(Scripted(200, chunks))
    assert isinstance(error_of(transport), ProviderAnswerInvalidError)
    assert len(transport.requests) == 2


def test_the_full_log_is_the_whole_log() -> None:
    log = "line\n" * 100_000
    assert provider(FakeTransport(answer_of({**JOB, "logs": log}))).full_log(ID, PREDICTION) == log


@pytest.mark.parametrize("logs", ["", None, {}, "line\n"])
def test_a_removed_log_is_none(logs: object) -> None:
    answer = answer_of({**JOB, "logs": logs, "data_removed": True})
    assert provider(FakeTransport(answer)).full_log(ID, PREDICTION) is None
    look = provider(FakeTransport(answer)).last_look(ID, PREDICTION)
    assert (look.log, look.is_log_removed) == (None, True)


@pytest.mark.parametrize(
    ("told", "log"),
    [({"logs": None}, None), ({"logs": ""}, ""), ({"logs": "a\n", "data_removed": False}, "a\n")],
)
def test_a_last_look_is_one_request_that_tells_job_and_log(told: dict[str, object], log: str | None) -> None:
    """A log that is not told may still come; only a removed one does not."""
    transport = FakeTransport(answer_of({**JOB, "status": "failed", "metrics": {"predict_time": 3}, **told}))
    look = provider(transport).last_look(ID, PREDICTION)
    assert (look.log, look.is_log_removed) == (log, False)
    assert (look.observation.status, look.observation.billed_seconds) == (JobStatus.FAILED, Decimal(3))
    assert len(transport.requests) == 1


def test_a_cancel_is_posted_and_its_answer_is_no_observation() -> None:
    transport = FakeTransport(answer_of({**JOB, "status": "canceled"}))
    provider(transport).cancel(ID, TRAINING)
    assert [(request.method, request.url) for request in transport.requests] == [
        ("POST", f"{BASE}/trainings/{ID}/cancel")
    ]


def test_a_cancel_of_a_job_that_is_gone_is_not_found() -> None:
    with pytest.raises(ProviderJobNotFoundError):
        provider(FakeTransport(problem(404))).cancel(ID, PREDICTION)


def test_the_webhook_secret_is_read() -> None:
    transport = FakeTransport(answer_of({"key": "whsec_dGVzdA=="}))
    assert provider(transport).webhook_secret() == "whsec_dGVzdA=="
    assert paths(transport) == ["/v1/webhooks/default/secret"]


@pytest.mark.parametrize("key", [None, "", "whsec_", "secret", "whsec_a b", 7])
def test_a_webhook_secret_of_another_form_is_invalid_and_not_quoted(key: object) -> None:
    with pytest.raises(ProviderAnswerInvalidError) as raised:
        provider(FakeTransport(answer_of({"key": key}))).webhook_secret()
    assert "a b" not in raised.value.detail


CANARY_ANSWERS: list[Answering] = [
    lambda request: problem(401, f"{request.headers['Authorization']} is not valid"),
    lambda request: problem(422, f"you sent {request.headers['Authorization']}"),
    lambda request: problem(500, str(dict(request.headers))),
    lambda request: Scripted(200, json.dumps(dict(request.headers)).encode()[:-1]),
    lambda request: Scripted(404, f"<p>{request.headers['Authorization']}</p>".encode()),
    lambda request: Scripted(302, headers={"location": f"/{request.headers['Authorization']}"}),
]


@pytest.mark.parametrize("answering", [*CANARY_ANSWERS, None])
def test_the_token_is_in_no_error_text_traceback_or_log(
    answering: Answering | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    transport = FakeTransport(answering or ValueError(f"Invalid header value b'Bearer {TOKEN}'"))
    error = error_of(transport)
    told = "".join(traceback.format_exception(error)) + error.detail + repr(error) + caplog.text
    for spelling in (TOKEN, base64.b64encode(TOKEN.encode()).decode()):
        assert spelling not in told


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.replicate.com/v1",
        "ftp://x/v1",
        "https://user:pass@x/v1",
        "https://x/v1?a",
        "https://x:99999/",
        "https:///v1",
        "https://x/v1#a",
        "https://x\\@y/",
    ],
)
def test_a_base_url_that_could_mislead_the_token_is_refused(base_url: str) -> None:
    with pytest.raises(ConfigurationError):
        provider(FakeTransport(page()), base_url=base_url)


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:23456/v1", "http://[::1]:23456/v1/", "https://replicate.example"]
)
def test_any_plain_base_url_is_taken(base_url: str) -> None:
    transport = FakeTransport(page())
    provider(transport, base_url=base_url).list_page(PREDICTION)
    assert transport.urls[0] == f"{base_url.rstrip('/')}/predictions"


def test_proxies_of_the_environment_have_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://evil.example:3128")
    monkeypatch.setenv("ALL_PROXY", "http://evil.example:3128")
    transport = FakeTransport(page())
    provider(transport).list_page(PREDICTION)
    assert hosts(transport) == {"api.replicate.com"}


def test_another_token_is_tried_in_place_of_the_stored_one() -> None:
    transport = FakeTransport(answer_of({"username": "someone"}))
    assert provider(transport).account("r8_another_one") == Account("someone", None)
    assert transport.requests[0].headers["Authorization"] == "Bearer r8_another_one"


def test_the_status_page_is_asked_without_the_token() -> None:
    transport = FakeTransport(answer_of({"ongoing_incidents": [{"id": "i1"}]}))
    status = provider(transport).system_status()
    assert status is not None
    assert not status.is_operational
    assert transport.urls == ["https://www.replicatestatus.com/api/v1/summary"]
    assert "Authorization" not in transport.requests[0].headers


def test_a_stand_in_has_no_status_page() -> None:
    transport = FakeTransport(page())
    assert provider(transport, base_url="http://127.0.0.1:9/v1").system_status() is None
    assert not transport.requests


@pytest.mark.parametrize(
    "answer",
    [
        Scripted(500),
        Scripted(302, headers={"Location": "http://169.254.169.254/"}),
        Scripted(200, b"<html>"),
        Scripted(200, b"[]"),
        Scripted(200, b"[" * 100_000),
        Scripted(200, b"0" * 10_000_001),
    ],
)
def test_strange_answers_of_the_status_page_are_refused(answer: Scripted) -> None:
    with pytest.raises((ProviderUnavailableError, ProviderAnswerInvalidError)):
        provider(FakeTransport(answer)).system_status()


def hold_back(headers: dict[str, str], body: bytes) -> float:
    error = error_of(FakeTransport(Scripted(429, body, headers)))
    assert isinstance(error, ProviderThrottledError)
    return error.retry_after


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [
        ("7", {"retry_after": 5}, 7),
        ("0.5", {}, 1),
        ("0", {}, 1),
        ("-3", {}, 1),
        ("86400", {}, 900),
        ("1e99999", {}, 900),
        ("nan", {"retry_after": 5}, 5),
        ("soon", {"retry_after": 5}, 5),
        ("Sun, 01 Mar 2026 12:01:30 GMT", {}, 90),
        ("Sun, 01 Mar 2026 11:00:00 GMT", {}, 1),
        ("Sun, 01 Mar 2026 12:01:30 -0000", {}, 90),
        (None, {"retry_after": 5, "detail": "Your rate limit resets in ~30s."}, 5),
        (None, {"retry_after": True, "detail": "Your rate limit resets in ~12s."}, 12),
        (None, {"detail": "Request was throttled. Your rate limit resets in ~30s."}, 30),
        (None, {"detail": "Request was throttled. Expected available in 4 seconds."}, 4),
        (None, {"detail": "Request was throttled."}, 5),
        (None, {}, 5),
    ],
)
def test_the_time_to_hold_back_is_found_wherever_it_is_told(
    header: str | None, body: dict[str, object], seconds: float
) -> None:
    headers = {} if header is None else {"retry-after": header}
    assert hold_back(headers, json.dumps(body).encode()) == seconds


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=255), max_size=40), st.binary(max_size=60))
def test_no_429_of_any_form_crashes(header: str, raw: bytes) -> None:
    assert 1 <= hold_back({"retry-after": header}, raw) <= 900
