"""What every provider's HTTP API is asked through: token, time, one repetition, and the error that an answer means."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from shared.adapters.http.bounded import Answer, BoundedHttp, Enough, Fault, HttpLimits, Request, Transport
from shared.adapters.providers.json_body import decimal, read_object
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
from shared.domain.provider_profile import ProviderProfile
from shared.ports import Clock

DEFAULT_RETRY_AFTER = 5.0
"""The shortest interval of polling: nothing that the provider did not tell keeps the poller away for longer (I9)."""
MAX_RETRY_AFTER = 900.0
REFUSED = 401
"""What an answer to a token that counts no more says; nothing was done then, so another may be tried."""

_PAUSE_BEFORE_REPEAT = 0.25
_HEADER_TOKEN = re.compile(r"[!-~]{1,512}", re.ASCII)
_CORRELATION_ID = re.compile(r"[!-~]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Problem:
    """What the body of an answer that is no success tells: a sentence, and seconds to hold back."""

    sentence: str | None = None
    retry_after: object = None


ReadProblem = Callable[[Mapping[str, object], str], Problem]
"""Reads a problem's body; the second argument is the token, which may stand in no sentence."""


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How a provider is reached. `token` is asked for at each call; `transport` None: real connections.

    `newest_token` is asked for where that one is missing or refused: another process may have stored one since.
    """

    base_url: str
    token: Callable[[], str | None]
    clock: Clock
    newest_token: Callable[[], str | None] = lambda: None
    correlation_id: Callable[[], str | None] = lambda: None
    limits: HttpLimits | None = None
    transport: Transport | None = None


class ProviderApi:
    """Each call ends within the limits' `call_seconds`; what may safely be repeated is tried a second time after a lost
    connection or a 5xx. The token is sent to the base URL's origin only and occurs in no error.
    """

    def __init__(self, profile: ProviderProfile, connection: Connection, read_problem: ReadProblem) -> None:
        """Raises ConfigurationError for a base URL that could mislead the token."""
        self.base_url = _checked_base(connection.base_url, profile)
        self._profile = profile
        self._connection = connection
        self._read_problem = read_problem
        self._http = BoundedHttp(clock=connection.clock, limits=connection.limits, transport=connection.transport)
        later = f" ({profile.status_page_url})" if profile.status_page_url else ""
        self._try_later = f"please try again in a minute{later}"

    @property
    def is_the_real_one(self) -> bool:
        """Whether this is the provider's own address, and no simulator's or stand-in's."""
        return self.base_url == self._profile.api_base_url

    def call(
        self, method: str, target: str, *, token: str | None = None, of_job: bool = False, enough: Enough | None = None
    ) -> Answer:
        """A 2xx answer, or the error that any other answer means. `token`: this one in place of the stored one."""
        stored = self._connection
        is_given = token is not None
        used = self._checked(token if is_given else stored.token() or stored.newest_token())
        outcome = self._asked(method, target, used, enough)
        if isinstance(outcome, Answer) and outcome.status == REFUSED and not is_given:
            newest = stored.newest_token()
            if newest and newest.strip() != used:
                used = self._checked(newest)
                outcome = self._asked(method, target, used, enough)
        if isinstance(outcome, Fault):
            raise self._error_of_fault(outcome)
        if 200 <= outcome.status < 300:
            return outcome
        raise self._error_of_answer(outcome, used, of_job=of_job)

    def _asked(self, method: str, target: str, token: str, enough: Enough | None) -> Answer | Fault:
        headers = {"Authorization": f"Bearer {token}"}
        correlation_id = self._connection.correlation_id()
        if correlation_id and _CORRELATION_ID.fullmatch(correlation_id):
            headers["X-Correlation-ID"] = correlation_id
        return self._exchange(Request(method=method, url=f"{self.base_url}/{target}", headers=headers), enough)

    def object_of(
        self, method: str, target: str, *, token: str | None = None, of_job: bool = False
    ) -> Mapping[str, object]:
        """The JSON object that a call answers."""
        return read_object(self.call(method, target, token=token, of_job=of_job).body, self._profile)

    def public_object(self, url: str) -> Mapping[str, object]:
        """The JSON object at a public address of the provider, asked for without the token."""
        outcome = self._exchange(Request(method="GET", url=url, headers={}), None)
        if isinstance(outcome, Fault) or outcome.status != 200:
            told = outcome if isinstance(outcome, Fault) else f"HTTP {outcome.status}"
            raise ProviderUnavailableError(f"{urlsplit(url).hostname} could not be read ({told}).")
        return read_object(outcome.body, self._profile)

    def _exchange(self, request: Request, enough: Enough | None) -> Answer | Fault:
        clock = self._connection.clock
        deadline = clock.monotonic() + self._http.limits.call_seconds
        outcome = self._http.exchange(request, deadline=deadline, enough=enough)
        has_time = deadline - clock.monotonic() > 2 * _PAUSE_BEFORE_REPEAT
        if has_time and _is_passing(outcome):
            clock.sleep(_PAUSE_BEFORE_REPEAT)
            outcome = self._http.exchange(request, deadline=deadline, enough=enough)
        return outcome

    def _checked(self, token: str | None) -> str:
        token = (token or "").strip()
        profile = self._profile
        if not token:
            raise ProviderNotConfiguredError(
                f"No {profile.label} API token is known: store one in the provider's settings "
                f"(from {profile.token_url}), or set {profile.token_variable}."
            )
        # The HTTP library would refuse it, too, with an error that quotes it.
        if _HEADER_TOKEN.fullmatch(token) is None:
            raise ProviderTokenRejectedError(
                f"The {profile.label} API token holds characters that no token has; copy it again from "
                f"{profile.token_url} and store it."
            )
        return token

    def _error_of_answer(self, answer: Answer, token: str, *, of_job: bool) -> ProviderError:
        profile, label = self._profile, self._profile.label
        try:
            problem = self._read_problem(read_object(answer.body, profile), token)
        except ProviderAnswerInvalidError:
            problem = Problem()
        quoted = f' ("{problem.sentence}")' if problem.sentence else ""
        match answer.status:
            case 401 | 403:
                return ProviderTokenRejectedError(
                    f"{label} refused the API token{quoted}; store a valid one from {profile.token_url}."
                )
            case 404 if of_job and (problem.sentence is not None or not answer.body.strip()):
                return ProviderJobNotFoundError(
                    f"{label} does not know this job: it was removed there, or belongs to another account."
                )
            case 404:
                return ProviderAnswerInvalidError(
                    f"{label} does not know the address that was asked{quoted}; check {profile.base_url_variable}."
                )
            case 429:
                seconds = _seconds_to_hold_back(answer, problem, self._connection.clock.now())
                return ProviderThrottledError(
                    f"{label} limits how often it may be asked; it will be asked again in {seconds:.0f} seconds.",
                    retry_after=seconds,
                )
            case 408:
                return ProviderUnavailableError(f"{label} gave up waiting; {self._try_later}.")
            case status if status >= 500:
                return ProviderUnavailableError(f"{label} has a fault of its own (HTTP {status}); {self._try_later}.")
            case status if status >= 400:
                return ProviderRefusedError(f"{label} refused the request (HTTP {status}){quoted}.")
            case status:
                return ProviderAnswerInvalidError(
                    f"{label} answered with HTTP {status}, which is not followed; check {profile.base_url_variable}."
                )

    def _error_of_fault(self, fault: Fault) -> ProviderError:
        label, limits = self._profile.label, self._http.limits
        match fault:
            case Fault.TIMED_OUT:
                return ProviderUnavailableError(
                    f"{label} did not answer in time ({limits.call_seconds:g} s); {self._try_later}."
                )
            case Fault.CONNECTION:
                return ProviderUnavailableError(f"{label} could not be reached; {self._try_later}.")
            case Fault.TRUNCATED:
                return ProviderAnswerInvalidError(f"{label}'s answer ended too early; {self._try_later}.")
            case Fault.TOO_LARGE:
                most = limits.body_bytes // 1_000_000
                return ProviderAnswerInvalidError(
                    f"{label}'s answer is larger than {most} MB and was not read; {self._try_later}."
                )
            case Fault.UNREADABLE:
                return ProviderAnswerInvalidError(
                    f"{label}'s answer came in an unreadable encoding; {self._try_later}."
                )


def _is_passing(outcome: Answer | Fault) -> bool:
    if isinstance(outcome, Answer):
        return outcome.status >= 500
    return outcome in {Fault.CONNECTION, Fault.TRUNCATED}


def _checked_base(base_url: str, profile: ProviderProfile) -> str:
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
            f"{profile.base_url_variable} must be an address like {profile.api_base_url}, without user or query."
        )
    return base_url.rstrip("/")


def _seconds_to_hold_back(answer: Answer, problem: Problem, now: datetime) -> float:
    """What the header tells, else the body, else DEFAULT_RETRY_AFTER; from 1 to MAX_RETRY_AFTER (REP-14)."""
    told = _seconds_of_header(answer.headers.get("retry-after"), now)
    if told is None:
        told = _finite(problem.retry_after)
    return min(max(DEFAULT_RETRY_AFTER if told is None else told, 1.0), MAX_RETRY_AFTER)


def _seconds_of_header(value: str | None, now: datetime) -> float | None:
    if value is None:
        return None
    seconds = _finite(value.strip())
    if seconds is not None:
        return seconds
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return (until - now).total_seconds()


def _finite(value: object) -> float | None:
    """A number as float seconds, huge ones as the cap; None for what is no number."""
    number = decimal(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | Decimal):
        return None
    return float(min(Decimal(number), Decimal(MAX_RETRY_AFTER)))
