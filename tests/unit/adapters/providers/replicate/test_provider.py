"""The Replicate adapter against a transport that answers as badly as one can."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import traceback
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

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

BASE = "https://api.replicate.com/v1"
TOKEN = "r8_canary0123456789abcdefghijklmnopqrst"
ID = "rrr4z55ocneqzikepnug6xezpe"
JOB: dict[str, object] = {"id": ID, "status": "processing", "logs": "step 1\n", "urls": {}}

Answering = Callable[[httpx.Request], httpx.Response]


class Spy(httpx.BaseTransport):
    """Answers with what the test says, and keeps every request."""

    def __init__(self, *answers: httpx.Response | Exception | Answering) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = list(answers)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)

    @property
    def paths(self) -> list[str]:
        return [request.url.raw_path.decode() for request in self.requests]


def provider(
    spy: Spy, clock: FakeClock | None = None, base_url: str = BASE, token: str | None = TOKEN
) -> ReplicateProvider:
    return ReplicateProvider(base_url, lambda: token, spy, clock=clock or FakeClock())


def problem(status: int, detail: str = "told", **extra: object) -> httpx.Response:
    return httpx.Response(status, json={"detail": detail, "status": status, **extra})


def html(status: int) -> httpx.Response:
    return httpx.Response(status, html="<!DOCTYPE html><html><body>Cloudflare</body></html>")


def page(*items: dict[str, object], following: str | None = None) -> httpx.Response:
    return httpx.Response(200, json={"next": following, "previous": None, "results": list(items)})


def error_of(spy: Spy, clock: FakeClock | None = None) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        provider(spy, clock).get(ID, PREDICTION)
    return raised.value


def test_it_is_a_provider() -> None:
    replicate: Provider = provider(Spy(problem(500)))
    assert (replicate.name, replicate.label) == ("replicate", "Replicate")


def test_the_account_is_whom_the_token_belongs_to() -> None:
    body = {"type": "user", "username": "someone", "name": "", "github_url": "https://github.com/someone"}
    assert provider(Spy(httpx.Response(200, json=body))).account() == Account("someone", None)


def test_an_accounts_names_can_be_shown_anywhere() -> None:
    raw = b'{"username":"some\\ud800one\\u001b[31m","name":"\\u202eeno"}'
    assert provider(Spy(httpx.Response(200, content=raw))).account() == Account("some?one", "eno")


@pytest.mark.parametrize("body", [{}, {"username": ""}, {"username": 5}])
def test_an_account_without_username_is_an_invalid_answer(body: dict[str, object]) -> None:
    with pytest.raises(ProviderAnswerInvalidError):
        provider(Spy(httpx.Response(200, json=body))).account()


@pytest.mark.parametrize(("kind", "path"), [(PREDICTION, f"/v1/predictions/{ID}"), (TRAINING, f"/v1/trainings/{ID}")])
def test_a_job_is_asked_for_where_its_kind_lives(kind: str, path: str) -> None:
    spy = Spy(httpx.Response(200, json=JOB))
    clock = FakeClock()
    look = provider(spy, clock).get(ID, kind)
    seen = look.observation
    assert spy.paths == [path]
    assert (seen.kind, seen.status, seen.observed_at) == (kind, JobStatus.RUNNING, clock.now())
    assert look.log_tail == "step 1\n"


def test_an_answer_about_another_job_is_invalid() -> None:
    with pytest.raises(ProviderAnswerInvalidError):
        provider(Spy(httpx.Response(200, json=JOB))).get("another", PREDICTION)


@pytest.mark.parametrize("bad_id", ["", "..", "a/b", "a%2Fb", "a?b", "a" * 65, "a\r\nHost: x", "\ud800"])
def test_no_request_is_made_for_an_id_that_could_change_the_address(bad_id: str) -> None:
    spy = Spy(httpx.Response(200, json=JOB))
    replicate = provider(spy)
    for call in (replicate.get, replicate.full_log, replicate.cancel):
        with pytest.raises(ProviderJobNotFoundError):
            call(bad_id, PREDICTION)
    assert spy.requests == []


def test_pages_follow_each_other_by_their_cursor() -> None:
    first = page(JOB, following=f"{BASE}/predictions?cursor=cD0y%3D&created_after=x")
    spy = Spy(first, page({"id": "older", "status": "aborted"}))
    replicate = provider(spy)
    since = datetime(2026, 3, 1, 11, 0, tzinfo=UTC)
    one = replicate.list_page(PREDICTION, created_after=since)
    two = replicate.list_page(PREDICTION, page=one.next_page, created_after=since)
    assert spy.paths == [
        "/v1/predictions?created_after=2026-03-01T11%3A00%3A00.000000Z",
        "/v1/predictions?cursor=cD0y%3D&created_after=x",
    ]
    assert [seen.status for seen in two.observations] == [JobStatus.CANCELLED]
    assert two.next_page is None


def test_trainings_are_listed_without_the_filter_they_do_not_know() -> None:
    spy = Spy(page())
    provider(spy).list_page(TRAINING, created_after=datetime(2026, 3, 1, tzinfo=UTC))
    assert spy.paths == ["/v1/trainings"]


def test_malformed_items_are_left_out_and_counted() -> None:
    counted: list[int] = []
    replicate = ReplicateProvider(
        BASE, lambda: TOKEN, Spy(page(JOB, {}, {"id": 1})), clock=FakeClock(), on_malformed=counted.append
    )
    assert len(replicate.list_page(PREDICTION).observations) == 1
    assert counted == [2]


@pytest.mark.parametrize("stored", ["", "a b", "cursor=x#y", "cursor=\ud800", "x" * 3000, "c\r\n"])
def test_a_damaged_place_in_a_list_is_never_sent(stored: str) -> None:
    spy = Spy(page())
    with pytest.raises(ProviderAnswerInvalidError):
        provider(spy).list_page(PREDICTION, page=stored)
    assert spy.requests == []


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
    spy = Spy(page(JOB, following=following))
    with pytest.raises(ProviderAnswerInvalidError):
        provider(spy).list_page(PREDICTION)
    assert {request.url.host for request in spy.requests} == {"api.replicate.com"}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    spy = Spy(httpx.Response(status, headers={"location": "https://evil.example/v1/predictions/x"}))
    assert isinstance(error_of(spy), ProviderAnswerInvalidError)
    assert [request.url.host for request in spy.requests] == ["api.replicate.com"]


def test_each_request_carries_the_token_of_that_moment_and_the_correlation_id() -> None:
    tokens = iter(["first", "second"])
    spy = Spy(page())
    replicate = ReplicateProvider(BASE, lambda: next(tokens), spy, clock=FakeClock(), correlation_id=lambda: "corr-1")
    replicate.list_page(PREDICTION)
    replicate.list_page(PREDICTION)
    assert [request.headers["authorization"] for request in spy.requests] == ["Bearer first", "Bearer second"]
    assert spy.requests[0].headers["x-correlation-id"] == "corr-1"


@pytest.mark.parametrize("bad", ["a\r\nX: y", "ü", "", "x" * 500])
def test_a_correlation_id_that_is_no_header_is_left_out(bad: str) -> None:
    spy = Spy(page())
    ReplicateProvider(BASE, lambda: TOKEN, spy, clock=FakeClock(), correlation_id=lambda: bad).list_page(PREDICTION)
    assert "x-correlation-id" not in spy.requests[0].headers


@pytest.mark.parametrize("token", [None, "", "  \n"])
def test_without_a_token_nothing_is_asked_and_the_error_says_what_to_do(token: str | None) -> None:
    spy = Spy(page())
    with pytest.raises(ProviderNotConfiguredError, match="REPLICATE_API_TOKEN"):
        provider(spy, token=token).account()
    assert spy.requests == []


@pytest.mark.parametrize("token", ["r8_can\nary", "r8_cänary", "r8_\x00canary", "r8 canary"])
def test_a_token_that_no_header_can_carry_is_rejected_without_being_quoted(token: str) -> None:
    spy = Spy(page())
    with pytest.raises(ProviderTokenRejectedError) as raised:
        provider(spy, token=token).account()
    assert "nary" not in str(raised.value)
    assert spy.requests == []


def test_white_space_around_a_pasted_token_is_no_fault() -> None:
    spy = Spy(page())
    provider(spy, token=f" {TOKEN}\n").list_page(PREDICTION)
    assert spy.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (problem(401), ProviderTokenRejectedError),
        (problem(403), ProviderTokenRejectedError),
        (problem(404), ProviderJobNotFoundError),
        (httpx.Response(404), ProviderJobNotFoundError),
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
        (httpx.Response(599), ProviderUnavailableError),
        (html(200), ProviderAnswerInvalidError),
        (httpx.Response(200), ProviderAnswerInvalidError),
        (httpx.Response(204), ProviderAnswerInvalidError),
        (httpx.Response(200, json=[]), ProviderAnswerInvalidError),
        (httpx.Response(200, content=b'{"id":"rrr4z55ocneqzik'), ProviderAnswerInvalidError),
        (httpx.Response(200, content=b"[" * 1_000_000), ProviderAnswerInvalidError),
        (httpx.Response(200, json={"id": ID}), ProviderAnswerInvalidError),
        (httpx.Response(200, headers={"content-encoding": "br"}, content=b"x"), ProviderAnswerInvalidError),
        (httpx.Response(200, headers={"content-encoding": "gzip, gzip"}, content=b"x"), ProviderAnswerInvalidError),
    ],
)
def test_every_answer_that_is_no_success_has_its_error(answer: httpx.Response, expected: type[ProviderError]) -> None:
    # A transport must hand out a new response each time: content is read once.
    content = answer.content if answer.headers.get("content-encoding") is None else b"x"
    spy = Spy(lambda _: httpx.Response(answer.status_code, headers=answer.headers, content=content))
    error = error_of(spy)
    assert type(error) is expected
    assert error.detail.endswith((".", ")."))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (httpx.ConnectTimeout("slow"), ProviderUnavailableError),
        (httpx.ReadTimeout("slow"), ProviderUnavailableError),
        (httpx.PoolTimeout("full"), ProviderUnavailableError),
        (httpx.ConnectError("refused"), ProviderUnavailableError),
        (httpx.ReadError("reset"), ProviderUnavailableError),
        (httpx.WriteError("reset"), ProviderUnavailableError),
        (httpx.RemoteProtocolError("gone"), ProviderUnavailableError),
        (httpx.UnsupportedProtocol("what"), ProviderUnavailableError),
        (httpx.TooManyRedirects("loop"), ProviderUnavailableError),
    ],
)
def test_every_fault_of_the_connection_is_unavailable(fault: Exception, expected: type[ProviderError]) -> None:
    error = error_of(Spy(fault))
    assert type(error) is expected
    assert error.__cause__ is None
    assert error.__context__ is None


def test_a_refusal_is_told_in_the_providers_own_words() -> None:
    error = error_of(Spy(problem(402, "You have insufficient credit\nto run this model.")))
    assert "You have insufficient credit to run this model." in error.detail


def test_an_unknown_address_other_than_a_jobs_points_at_the_configuration() -> None:
    with pytest.raises(ProviderAnswerInvalidError, match="REPLICATE_API_BASE_URL"):
        provider(Spy(problem(404))).account()


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (httpx.Response(429, headers={"retry-after": "12"}, json={"detail": "x", "retry_after": 5}), 12),
        (httpx.Response(429, headers={"retry-after": "Sun, 01 Mar 2026 12:00:40 GMT"}), 40),
        (problem(429, "Request was throttled.", retry_after=5), 5),
        (problem(429, "Request was throttled. Your rate limit resets in ~17s."), 17),
        (html(429), 30),
    ],
)
def test_a_429_tells_how_long_to_hold_back_and_is_not_repeated(answer: httpx.Response, seconds: float) -> None:
    spy = Spy(answer)
    error = error_of(spy)
    assert isinstance(error, ProviderThrottledError)
    assert error.retry_after == seconds
    assert len(spy.requests) == 1


@pytest.mark.parametrize(
    "fault", [problem(500), html(503), httpx.ReadError("reset"), httpx.RemoteProtocolError("gone")]
)
def test_a_read_is_repeated_once_after_a_passing_fault(fault: httpx.Response | Exception) -> None:
    spy = Spy(fault, httpx.Response(200, json=JOB))
    assert provider(spy).get(ID, PREDICTION).observation.status is JobStatus.RUNNING
    assert len(spy.requests) == 2


def test_a_read_is_repeated_no_more_than_once() -> None:
    spy = Spy(lambda _: problem(500))
    assert isinstance(error_of(spy), ProviderUnavailableError)
    assert len(spy.requests) == 2


@pytest.mark.parametrize("answer", [problem(401), problem(404), problem(422), problem(429), httpx.ReadTimeout("slow")])
def test_what_another_try_would_not_change_is_not_repeated(answer: httpx.Response | Exception) -> None:
    spy = Spy(answer)
    error_of(spy)
    assert len(spy.requests) == 1


def test_nothing_is_repeated_when_the_time_is_used_up() -> None:
    clock = FakeClock()

    def late(_: httpx.Request) -> httpx.Response:
        clock.advance(14.9)
        return problem(500)

    spy = Spy(late)
    error_of(spy, clock)
    assert len(spy.requests) == 1


def dripping(clock: FakeClock, seconds: float, chunk: bytes = b" ") -> Iterator[bytes]:
    while True:
        clock.advance(seconds)
        yield chunk


def test_a_dripping_body_ends_with_the_call() -> None:
    clock = FakeClock()
    begun = clock.now()
    error = error_of(Spy(lambda _: httpx.Response(200, content=dripping(clock, 1))), clock)
    assert isinstance(error, ProviderUnavailableError)
    assert clock.now() - begun <= timedelta(seconds=16)


def test_a_dripping_problem_is_judged_by_its_status() -> None:
    clock = FakeClock()
    error = error_of(Spy(lambda _: httpx.Response(429, content=dripping(clock, 1))), clock)
    assert isinstance(error, ProviderThrottledError)


def test_an_endless_body_is_given_up_at_ten_megabytes() -> None:
    clock = FakeClock()
    given: list[int] = []

    def endless(_: httpx.Request) -> httpx.Response:
        def chunks() -> Iterator[bytes]:
            while True:
                given.append(65_536)
                yield b" " * 65_536

        return httpx.Response(200, content=chunks())

    assert isinstance(error_of(Spy(endless), clock), ProviderAnswerInvalidError)
    assert sum(given) < 10_200_000


def gzipped(body: bytes) -> httpx.Response:
    return httpx.Response(200, headers={"content-encoding": "gzip"}, content=iter([body]))


def test_a_compressed_answer_is_read() -> None:
    spy = Spy(gzipped(gzip.compress(json.dumps(JOB).encode())))
    assert provider(spy).get(ID, PREDICTION).observation.status is JobStatus.RUNNING


def test_a_gzip_bomb_is_given_up_at_ten_megabytes_unpacked() -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(b" " * 1_000_000) for _ in range(60)) + packer.flush()
    assert len(bomb) < 100_000
    spy = Spy(lambda _: gzipped(bomb))
    assert isinstance(error_of(spy), ProviderAnswerInvalidError)


@pytest.mark.parametrize("cut", [20, -9, -1])
def test_a_compressed_answer_that_is_cut_is_invalid(cut: int) -> None:
    packed = gzip.compress(json.dumps(JOB).encode() * 20)
    assert isinstance(error_of(Spy(lambda _: gzipped(packed[:cut]))), ProviderAnswerInvalidError)


@pytest.mark.parametrize("body", [b"not gzip", gzip.compress(b"{}") * 2], ids=["not gzip", "two members"])
def test_a_damaged_compressed_answer_is_invalid(body: bytes) -> None:
    assert isinstance(error_of(Spy(lambda _: gzipped(body))), ProviderAnswerInvalidError)


def test_a_body_that_breaks_off_is_an_invalid_answer_after_one_more_try() -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        def chunks() -> Iterator[bytes]:
            yield b'{"id":'
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")

        return httpx.Response(200, content=chunks())

    spy = Spy(broken)
    assert isinstance(error_of(spy), ProviderAnswerInvalidError)
    assert len(spy.requests) == 2


def test_the_full_log_is_the_whole_log() -> None:
    log = "line\n" * 100_000
    assert provider(Spy(httpx.Response(200, json={**JOB, "logs": log}))).full_log(ID, PREDICTION) == log


def test_a_removed_log_is_none() -> None:
    answer = httpx.Response(200, json={**JOB, "logs": "", "data_removed": True})
    assert provider(Spy(answer)).full_log(ID, PREDICTION) is None


def test_a_cancel_is_posted_and_its_answer_is_no_observation() -> None:
    spy = Spy(httpx.Response(200, json={**JOB, "status": "canceled"}))
    provider(spy).cancel(ID, TRAINING)
    assert [(request.method, request.url.path) for request in spy.requests] == [("POST", f"/v1/trainings/{ID}/cancel")]


def test_a_cancel_of_a_job_that_is_gone_is_not_found() -> None:
    with pytest.raises(ProviderJobNotFoundError):
        provider(Spy(problem(404))).cancel(ID, PREDICTION)


def test_the_webhook_secret_is_read() -> None:
    spy = Spy(httpx.Response(200, json={"key": "whsec_dGVzdA=="}))
    assert provider(spy).webhook_secret() == "whsec_dGVzdA=="
    assert spy.paths == ["/v1/webhooks/default/secret"]


@pytest.mark.parametrize("key", [None, "", "whsec_", "secret", "whsec_a b", 7])
def test_a_webhook_secret_of_another_form_is_invalid_and_not_quoted(key: object) -> None:
    with pytest.raises(ProviderAnswerInvalidError) as raised:
        provider(Spy(httpx.Response(200, json={"key": key}))).webhook_secret()
    assert "a b" not in raised.value.detail


CANARY_ANSWERS: list[Answering] = [
    lambda request: problem(401, f"{request.headers['authorization']} is not valid"),
    lambda request: problem(422, f"you sent {request.headers['authorization']}"),
    lambda request: problem(500, str(dict(request.headers))),
    lambda request: httpx.Response(200, content=json.dumps(dict(request.headers)).encode()[:-1]),
    lambda request: httpx.Response(404, html=f"<p>{request.headers['authorization']}</p>"),
    lambda request: httpx.Response(302, headers={"location": f"/{request.headers['authorization']}"}),
]


@pytest.mark.parametrize("answering", [*CANARY_ANSWERS, None])
def test_the_token_is_in_no_error_text_traceback_or_log(
    answering: Answering | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    spy = Spy(answering or httpx.LocalProtocolError(f"Illegal header value b'Bearer {TOKEN}'"))
    error = error_of(spy)
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
        provider(Spy(page()), base_url=base_url)


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:23456/v1", "http://[::1]:23456/v1/", "https://replicate.example"]
)
def test_any_plain_base_url_is_taken(base_url: str) -> None:
    spy = Spy(page())
    provider(spy, base_url=base_url).list_page(PREDICTION)
    assert str(spy.requests[0].url) == f"{base_url.rstrip('/')}/predictions"


def test_proxies_of_the_environment_have_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://evil.example:3128")
    monkeypatch.setenv("ALL_PROXY", "http://evil.example:3128")
    spy = Spy(page())
    provider(spy).list_page(PREDICTION)
    assert [request.url.host for request in spy.requests] == ["api.replicate.com"]


def test_a_webhook_of_ours_marks_the_job_as_covered() -> None:
    body = {**JOB, "webhook": "https://us.example/hook?job=abc"}
    replicate = ReplicateProvider(
        BASE,
        lambda: TOKEN,
        Spy(httpx.Response(200, json=body)),
        clock=FakeClock(),
        our_webhook_url=lambda: "https://us.example/hook",
    )
    assert replicate.get(ID, PREDICTION).observation.webhook_covered is True


def test_a_closed_provider_can_be_asked_again() -> None:
    spy = Spy(lambda _: page())
    replicate = provider(spy)
    replicate.list_page(PREDICTION)
    replicate.close()
    replicate.list_page(PREDICTION)
    assert len(spy.requests) == 2
