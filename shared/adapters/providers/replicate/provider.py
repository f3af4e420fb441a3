"""Replicate as a `ports.Provider`: its HTTP API, asked within bounds and believed with care."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from urllib.parse import quote, urlsplit

import httpx

from shared.adapters.http.bounded import Answer, BoundedHttp, Fault, HttpLimits
from shared.adapters.providers.replicate.answers import (
    full_log,
    is_external_id,
    is_page_query,
    look_from_body,
    page_from_body,
    parse_object,
    plain_text,
    problem_detail,
    retry_after,
)
from shared.adapters.providers.replicate.profile import PREDICTION, PROFILE, TRAINING
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
from shared.domain.job import MAX_NAME_LENGTH, to_iso
from shared.domain.observation import Look, ObservationPage
from shared.domain.provider_profile import ProviderProfile
from shared.ports import Clock

_PATHS: Mapping[str, str] = {PREDICTION: "predictions", TRAINING: "trainings"}
_PAUSE_BEFORE_REPEAT = 0.25

_HEADER_TOKEN = re.compile(r"[!-~]{1,512}", re.ASCII)
_CORRELATION_ID = re.compile(r"[!-~]{1,128}", re.ASCII)
_WEBHOOK_SECRET = re.compile(r"whsec_[!-~]{1,500}", re.ASCII)

_TRY_LATER = "please try again in a minute (https://www.replicatestatus.com)"


class ReplicateProvider:
    """`ports.Provider` over Replicate's HTTP API.

    Each call ends within `limits.call_seconds`; reads and cancels, which may safely be repeated, are tried a second
    time after a lost connection or a 5xx. The token is asked for at each call, is sent to `base_url`'s origin only,
    and occurs in no error. No address is ever taken from an answer.
    """

    def __init__(
        self,
        base_url: str,
        token: Callable[[], str | None],
        transport: httpx.BaseTransport | None = None,
        *,
        clock: Clock,
        correlation_id: Callable[[], str | None] | None = None,
        our_webhook_url: Callable[[], str | None] | None = None,
        on_malformed: Callable[[int], None] | None = None,
        limits: HttpLimits | None = None,
    ) -> None:
        """`on_malformed` is told how many items of a list could not be read. Raises ConfigurationError for a bad URL.

        `our_webhook_url` tells which of the jobs report to us.
        """
        self._base_url = _checked_base(base_url)
        self._token = token
        self._clock = clock
        self._correlation_id = correlation_id
        self._our_webhook_url = our_webhook_url
        self._on_malformed = on_malformed
        self._limits = limits or HttpLimits()
        self._http = BoundedHttp(clock=clock, limits=self._limits, transport=transport)

    @property
    def profile(self) -> ProviderProfile:
        return PROFILE

    @property
    def name(self) -> str:
        return PROFILE.name

    @property
    def label(self) -> str:
        return PROFILE.label

    def account(self) -> Account:
        body = parse_object(self._call("GET", "account").body)
        username = plain_text(body.get("username"), MAX_NAME_LENGTH)
        if username is None:
            raise ProviderAnswerInvalidError("Replicate did not say whom the API token belongs to; please try again.")
        return Account(username, plain_text(body.get("name"), MAX_NAME_LENGTH))

    def list_page(
        self, kind: str, *, page: str | None = None, created_after: datetime | None = None
    ) -> ObservationPage:
        """One page; trainings know no date filter. `page` is the query of `next`, which repeats the filters."""
        path = _PATHS[kind]
        if page is not None and not is_page_query(page):
            raise ProviderAnswerInvalidError("The stored place in Replicate's list is damaged; please sync again.")
        if page is None and created_after is not None and kind == PREDICTION:
            page = f"created_after={quote(to_iso(created_after), safe='')}"
        answer = self._call("GET", f"{path}?{page}" if page else path)
        read = page_from_body(
            parse_object(answer.body),
            list_url=f"{self._base_url}/{path}",
            kind=kind,
            observed_at=self._clock.now(),
            our_webhook_url=self._webhook_url(),
        )
        if read.malformed and self._on_malformed is not None:
            self._on_malformed(read.malformed)
        return ObservationPage(read.observations, read.next_query)

    def get(self, external_id: str, kind: str) -> Look:
        return look_from_body(
            self._job(external_id, kind),
            kind=kind,
            observed_at=self._clock.now(),
            our_webhook_url=self._webhook_url(),
        )

    def full_log(self, external_id: str, kind: str) -> str | None:
        return full_log(self._job(external_id, kind))

    def cancel(self, external_id: str, kind: str) -> None:
        answer = self._call("POST", f"{_job_path(external_id, kind)}/cancel", of_job=True)
        if answer.body:
            # What it says of the job is no observation, but a page of some proxy is no cancel.
            parse_object(answer.body)

    def webhook_secret(self) -> str:
        key = parse_object(self._call("GET", "webhooks/default/secret").body).get("key")
        if not isinstance(key, str) or _WEBHOOK_SECRET.fullmatch(key) is None:
            raise ProviderAnswerInvalidError("Replicate answered without a webhook signing secret; please try again.")
        return key

    def close(self) -> None:
        self._http.close()

    def _job(self, external_id: str, kind: str) -> Mapping[str, object]:
        body = parse_object(self._call("GET", _job_path(external_id, kind), of_job=True).body)
        if body.get("id") != external_id:
            raise ProviderAnswerInvalidError("Replicate answered about another job than the one asked for; try again.")
        return body

    def _webhook_url(self) -> str | None:
        return self._our_webhook_url() if self._our_webhook_url is not None else None

    def _call(self, method: str, target: str, *, of_job: bool = False) -> Answer:
        """A 2xx answer, or the error that any other answer means."""
        token = self._checked_token()
        outcome = self._exchange(method, f"{self._base_url}/{target}", self._headers(token))
        if isinstance(outcome, Fault):
            raise _error_of_fault(outcome, self._limits)
        if 200 <= outcome.status < 300:
            return outcome
        raise self._error_of_answer(outcome, token, of_job=of_job)

    def _exchange(self, method: str, url: str, headers: Mapping[str, str]) -> Answer | Fault:
        deadline = self._clock.monotonic() + self._limits.call_seconds
        outcome = self._http.exchange(method, url, headers, deadline=deadline)
        has_time = deadline - self._clock.monotonic() > 2 * _PAUSE_BEFORE_REPEAT
        if has_time and _is_passing(outcome):
            self._clock.sleep(_PAUSE_BEFORE_REPEAT)
            outcome = self._http.exchange(method, url, headers, deadline=deadline)
        return outcome

    def _checked_token(self) -> str:
        token = (self._token() or "").strip()
        if not token:
            raise ProviderNotConfiguredError(
                "No Replicate API token is known: store one in the provider's settings "
                "(from https://replicate.com/account/api-tokens), or set REPLICATE_API_TOKEN."
            )
        # httpx would refuse it, too, with an error that quotes it.
        if _HEADER_TOKEN.fullmatch(token) is None:
            raise ProviderTokenRejectedError(
                "The stored Replicate API token holds characters that no token has; copy it again from "
                "https://replicate.com/account/api-tokens and store it."
            )
        return token

    def _headers(self, token: str) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {token}"}
        correlation_id = self._correlation_id() if self._correlation_id is not None else None
        if correlation_id and _CORRELATION_ID.fullmatch(correlation_id):
            headers["X-Correlation-ID"] = correlation_id
        return headers

    def _error_of_answer(self, answer: Answer, token: str, *, of_job: bool) -> ProviderError:
        told = problem_detail(answer.body, secret=token)
        match answer.status:
            case 401 | 403:
                return ProviderTokenRejectedError(
                    f"Replicate refused the API token{_quoted(told)}; store a valid one from "
                    "https://replicate.com/account/api-tokens."
                )
            case 404 if of_job and (told is not None or not answer.body.strip()):
                return ProviderJobNotFoundError(
                    "Replicate does not know this job: it was removed there, or belongs to another account."
                )
            case 404:
                return ProviderAnswerInvalidError(
                    f"Replicate does not know the address that was asked{_quoted(told)}; check REPLICATE_API_BASE_URL."
                )
            case 429:
                seconds = retry_after(answer.headers, answer.body, now=self._clock.now())
                return ProviderThrottledError(
                    f"Replicate limits how often it may be asked; it will be asked again in {seconds:.0f} seconds.",
                    retry_after=seconds,
                )
            case 408:
                return ProviderUnavailableError(f"Replicate gave up waiting; {_TRY_LATER}.")
            case status if status >= 500:
                return ProviderUnavailableError(f"Replicate has a fault of its own (HTTP {status}); {_TRY_LATER}.")
            case status if status >= 400:
                return ProviderRefusedError(
                    f"Replicate refused the request (HTTP {status}){_quoted(told)}; see https://replicate.com/account."
                )
            case status:
                return ProviderAnswerInvalidError(
                    f"Replicate answered with HTTP {status}, which is not followed; check REPLICATE_API_BASE_URL."
                )


def _is_passing(outcome: Answer | Fault) -> bool:
    if isinstance(outcome, Answer):
        return outcome.status >= 500
    return outcome in {Fault.CONNECTION, Fault.TRUNCATED}


def _error_of_fault(fault: Fault, limits: HttpLimits) -> ProviderError:
    match fault:
        case Fault.TIMED_OUT:
            return ProviderUnavailableError(
                f"Replicate did not answer in time ({limits.call_seconds:g} s); {_TRY_LATER}."
            )
        case Fault.CONNECTION:
            return ProviderUnavailableError(f"Replicate could not be reached; {_TRY_LATER}.")
        case Fault.TRUNCATED:
            return ProviderAnswerInvalidError(f"Replicate's answer ended too early; {_TRY_LATER}.")
        case Fault.TOO_LARGE:
            return ProviderAnswerInvalidError(
                f"Replicate's answer is larger than {limits.body_bytes // 1_000_000} MB and was not read; {_TRY_LATER}."
            )
        case Fault.UNREADABLE:
            return ProviderAnswerInvalidError(f"Replicate's answer came in an unreadable encoding; {_TRY_LATER}.")


def _checked_base(base_url: str) -> str:
    """An absolute http(s) address without user, query and fragment, and without its last slash."""
    try:
        parts = urlsplit(base_url)
        is_usable = (
            parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        is_usable = False
    if not is_usable or re.fullmatch(r"https?://[A-Za-z0-9.:\[\]/_~-]+", base_url, re.ASCII) is None:
        raise ConfigurationError(
            "REPLICATE_API_BASE_URL must be an address like https://api.replicate.com/v1, without user or query."
        )
    return base_url.rstrip("/")


def _job_path(external_id: str, kind: str) -> str:
    if not is_external_id(external_id):
        raise ProviderJobNotFoundError("No job at Replicate can have this id: check it and ask again.")
    return f"{_PATHS[kind]}/{external_id}"


def _quoted(told: str | None) -> str:
    return f' ("{told}")' if told else ""
