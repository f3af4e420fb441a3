"""What Replicate's answers mean: jobs in both of its shapes, list pages, and problems.

The same reading serves polled answers and webhook bodies. Absent and null are the same; `input` is never looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime

from shared.adapters.providers.replicate.profile import PREDICTION, PROFILE, TRAINING, hardware_of_model
from shared.domain.errors import ProviderAnswerInvalidError
from shared.domain.job import MAX_NAME_LENGTH, MAX_URL_LENGTH, JobStatus
from shared.domain.observation import Look, Observation
from shared.domain.text import clean_text

LOG_TAIL_BYTES = 64 * 1024
FULL_LOG_BYTES = 4_000_000
MAX_ERROR_CHARACTERS = 20_000
MAX_PREDICT_SECONDS = Decimal(366 * 24 * 3600)

DEFAULT_RETRY_AFTER = 30.0
MAX_RETRY_AFTER = 900.0

STATUSES: Mapping[str, JobStatus] = {
    "starting": JobStatus.QUEUED,
    "processing": JobStatus.RUNNING,
    "succeeded": JobStatus.COMPLETED,
    "failed": JobStatus.FAILED,
    "canceled": JobStatus.CANCELLED,
    "aborted": JobStatus.CANCELLED,
}
"""Any other word is kept and guessed by nobody (REP-1)."""

_EXTERNAL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ]([01]\d|2[0-3]):([0-5]\d):(\d\d)(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-])(\d\d):?(\d\d))?", re.ASCII
)
_PLAUSIBLE_YEARS = range(2000, 2200)
_HTTPS_URL = re.compile(r"https://[A-Za-z0-9.-]+(?::\d{1,5})?(?:[/?#][!#-;=?-\[\]_a-z~]*)?", re.ASCII)
_NEXT_PAGE = re.compile(
    r"(https?)://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?(/[A-Za-z0-9._~/-]*)\?([!$-;=?-Z_a-z~]{1,2000})",
    re.ASCII | re.IGNORECASE,
)
_SECRET = re.compile(r"\b(?:(hf|r8)_[A-Za-z0-9]{24,}|(whsec)_[A-Za-z0-9+/]{20,}=*)", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_RESETS_IN = re.compile(r"(?:~|available in )(\d{1,6})(?:\.\d+)? ?s", re.ASCII)

_MAX_DIGITS = 40
_MAX_OUTPUT_NODES = 200


def is_external_id(text: object) -> bool:
    """Whether this may stand in a URL (T18)."""
    return isinstance(text, str) and _EXTERNAL_ID.fullmatch(text) is not None


def parse_json(raw: bytes) -> object:
    """Replicate's JSON: raw control characters in strings are taken (REP-15), numbers that are none read as null.

    Raises ProviderAnswerInvalidError for anything else that is not JSON, and for nesting beyond the parser's.
    """
    try:
        return json.loads(
            raw.decode("utf-8-sig", "replace"),
            strict=False,
            parse_constant=_no_number,
            parse_float=_decimal,
            parse_int=_decimal,
        )
    except (ValueError, RecursionError):
        # Left before the next error is raised: the decoder's own holds the whole body.
        pass
    raise ProviderAnswerInvalidError(
        "Replicate answered with something that is not its API's JSON; if this stays, check REPLICATE_API_BASE_URL "
        "and https://www.replicatestatus.com."
    )


def parse_object(raw: bytes) -> Mapping[str, object]:
    """As `parse_json`, and the answer must be an object."""
    body = parse_json(raw)
    if not isinstance(body, dict):
        raise ProviderAnswerInvalidError(
            "Replicate answered with JSON of an unexpected form; please try again in a minute."
        )
    return body


def observation_from_body(
    body: Mapping[str, object],
    *,
    observed_at: datetime,
    kind: str | None = None,
    our_webhook_url: str | None = None,
) -> Observation:
    """One prediction or training as GET, a list or a webhook tells it; `kind` None: judged by the body.

    Raises ProviderAnswerInvalidError when the body has no usable id or no status word at all.
    """
    external_id = body.get("id")
    word = plain_text(body.get("status"), MAX_NAME_LENGTH)
    if not isinstance(external_id, str) or not is_external_id(external_id) or word is None:
        raise ProviderAnswerInvalidError("Replicate told of a job without a usable id or status; it was left out.")
    model = plain_text(body.get("model"), MAX_NAME_LENGTH)
    return Observation(
        provider=PROFILE.name,
        external_id=external_id,
        observed_at=observed_at,
        kind=kind or kind_of(body),
        status=STATUSES.get(str(body["status"])),
        provider_status=word,
        created_at=moment(body.get("created_at")),
        started_at=moment(body.get("started_at")),
        completed_at=moment(body.get("completed_at")),
        predict_seconds=_predict_seconds(body.get("metrics")),
        error=_error(body.get("error")),
        output_url=output_url(body.get("output")),
        model=model,
        hardware=hardware_of_model(model),
        webhook_covered=_is_ours(body.get("webhook"), our_webhook_url),
    )


def look_from_body(
    body: Mapping[str, object],
    *,
    observed_at: datetime,
    kind: str | None = None,
    our_webhook_url: str | None = None,
) -> Look:
    """As `observation_from_body`, with the end of the log."""
    seen = observation_from_body(body, observed_at=observed_at, kind=kind, our_webhook_url=our_webhook_url)
    return Look(seen, _log_tail(body))


def kind_of(body: Mapping[str, object]) -> str:
    """A training's URLs or its output tell it; where neither does, /predictions/ answers for trainings, too (REP-5)."""
    urls = body.get("urls")
    addresses = urls.values() if isinstance(urls, dict) else ()
    if any(isinstance(address, str) and "/trainings/" in address for address in addresses):
        return TRAINING
    output = body.get("output")
    is_trained_model = isinstance(output, dict) and {"version", "weights"} <= output.keys()
    return TRAINING if is_trained_model else PREDICTION


def full_log(body: Mapping[str, object]) -> str | None:
    """The whole log, beyond FULL_LOG_BYTES its beginning and one closing line; None when it was removed or not told."""
    text = body.get("logs")
    if body.get("data_removed") is True or not isinstance(text, str):
        return None
    encoded = _without_secrets(text).encode("utf-8", "replace")
    if len(encoded) <= FULL_LOG_BYTES:
        return encoded.decode()
    closing = "\n[The log goes on; only its first 4 MB are kept.]\n"
    return encoded[: FULL_LOG_BYTES - len(closing)].decode("utf-8", "ignore") + closing


@dataclass(frozen=True, slots=True)
class ListPage:
    """A list page as read: `next_query` is the query of the next page, `malformed` how many items were left out."""

    observations: tuple[Observation, ...]
    next_query: str | None
    malformed: int


def page_from_body(
    body: Mapping[str, object],
    *,
    list_url: str,
    kind: str,
    observed_at: datetime,
    our_webhook_url: str | None = None,
) -> ListPage:
    """One page of a list. One malformed item loses no other; a page without any readable item of several is an error.

    Raises ProviderAnswerInvalidError when the page is no list, or when `next` leads anywhere but to `list_url` (T6).
    """
    results = body.get("results")
    if not isinstance(results, list):
        raise ProviderAnswerInvalidError("Replicate's list of jobs has no results; please try again in a minute.")
    observations: list[Observation] = []
    for item in results:
        observation = _item(item, kind, observed_at, our_webhook_url)
        if observation is not None:
            observations.append(observation)
    if len(results) > 1 and not observations:
        raise ProviderAnswerInvalidError("None of the jobs in Replicate's list could be read; please try again.")
    return ListPage(
        tuple(observations), _next_query(body.get("next"), list_url), malformed=len(results) - len(observations)
    )


def is_page_query(text: str) -> bool:
    """Whether a stored place in a list is one that `page_from_body` could have handed out."""
    return _NEXT_PAGE.fullmatch(f"https://host/?{text}") is not None


def problem_detail(raw: bytes, *, secret: str) -> str | None:
    """The sentence of a problem answer, on one line, without secrets, at most 300 characters; None when it has none."""
    try:
        body = parse_object(raw)
    except ProviderAnswerInvalidError:
        return None
    for field in ("detail", "title"):
        value = body.get(field)
        if isinstance(value, str) and value.strip():
            told = _without_secrets(value.replace(secret, "[token]"))
            line = _CONTROL.sub(" ", _encodable(told)).strip().removeprefix("- ")
            return line if len(line) <= 300 else f"{line[:297]}..."
    return None


def retry_after(headers: Mapping[str, str], raw: bytes, *, now: datetime) -> float:
    """Seconds to hold back after a 429: the header, the body's `retry_after`, the sentence, else 30 (REP-14)."""
    try:
        body = parse_object(raw)
    except ProviderAnswerInvalidError:
        body = {}
    told = _seconds_of_header(headers.get("retry-after"), now)
    if told is None:
        told = _finite(body.get("retry_after"))
    if told is None:
        found = _RESETS_IN.search(str(body.get("detail")))
        told = float(found[1]) if found else DEFAULT_RETRY_AFTER
    return min(max(told, 1.0), MAX_RETRY_AFTER)


def moment(value: object) -> datetime | None:
    """A time with no, some or nine digits of fraction; nanoseconds are cut, second 84 runs on into the next minute.

    None for anything that is no time (REP-7); a time without a zone is UTC.
    """
    match = _TIME.fullmatch(value) if isinstance(value, str) and len(value) <= 64 else None
    if match is None:
        return None
    day, hours, minutes, seconds, fraction, sign, zone_hours, zone_minutes = match.groups()
    offset = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0)) * (-1 if sign == "-" else 1)
    since_midnight = timedelta(
        hours=int(hours),
        minutes=int(minutes),
        seconds=int(seconds),
        microseconds=int((fraction or "0").ljust(6, "0")[:6]),
    )
    try:
        told = datetime.fromisoformat(day).replace(tzinfo=UTC) + since_midnight - offset
    except (ValueError, OverflowError):
        return None
    return told if told.year in _PLAUSIBLE_YEARS else None


def output_url(output: object) -> str | None:
    """The first https URL in an output of any form, a training's `weights` before all; None when there is none."""
    for text in _texts_in(output):
        if len(text) <= MAX_URL_LENGTH and _HTTPS_URL.fullmatch(text):
            return text
    return None


def _texts_in(output: object) -> Iterator[str]:
    waiting: list[object] = [output]
    for _ in range(_MAX_OUTPUT_NODES):
        if not waiting:
            return
        value = waiting.pop(0)
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += sorted(value.values(), key=lambda child: child is not value.get("weights"))[:_MAX_OUTPUT_NODES]
        elif isinstance(value, list):
            waiting += value[:_MAX_OUTPUT_NODES]


def _item(item: object, kind: str, observed_at: datetime, our_webhook_url: str | None) -> Observation | None:
    if not isinstance(item, dict):
        return None
    try:
        return observation_from_body(item, kind=kind, observed_at=observed_at, our_webhook_url=our_webhook_url)
    except ProviderAnswerInvalidError:
        return None


def _next_query(value: object, list_url: str) -> str | None:
    """The query of `next`: only the cursor is taken from data, the rest must be the address that was asked (T6).

    `http:` in place of our `https:` is let pass, because the query is put behind our own address (REP-4).
    """
    if value is None or value == "":
        return None
    given = _NEXT_PAGE.fullmatch(value) if isinstance(value, str) else None
    ours = _NEXT_PAGE.fullmatch(f"{list_url}?ours")
    if given is not None and ours is not None:
        scheme, host, port, path, query = given.groups()
        our_scheme, our_host, our_port, our_path, _ = ours.groups()
        is_downgraded = scheme.lower() == "http" and our_scheme == "https" and port is None
        same_scheme = scheme.lower() == our_scheme or is_downgraded
        default = "443" if our_scheme == "https" else "80"
        same_port = (port or default) == (our_port or default)
        if same_scheme and host.lower() == our_host.lower() and same_port and path == our_path:
            return query
    raise ProviderAnswerInvalidError(
        "Replicate's list points to a next page somewhere else; it was not followed, and the list is incomplete."
    )


def _predict_seconds(metrics: object) -> Decimal | None:
    """Billable seconds, never negative, in microseconds, so that the store takes them."""
    value = metrics.get("predict_time") if isinstance(metrics, dict) else None
    if isinstance(value, float):
        value = _decimal(str(value))
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    seconds = Decimal(value)
    if not seconds.is_finite() or seconds > MAX_PREDICT_SECONDS:
        return None
    return max(seconds, Decimal(0)).quantize(Decimal("0.000001"))


def _error(value: object) -> str | None:
    """The sentence, or the first one inside an error of another form."""
    told = next(_texts_in(value), None)
    return plain_text(_without_secrets(told), MAX_ERROR_CHARACTERS) if told else None


def _log_tail(body: Mapping[str, object]) -> str | None:
    """The newest LOG_TAIL_BYTES, from a whole line on; an empty or removed log says nothing (REP-3)."""
    text = body.get("logs")
    if body.get("data_removed") is True or not isinstance(text, str) or not text:
        return None
    encoded = _without_secrets(text[-LOG_TAIL_BYTES:]).encode("utf-8", "replace")
    if len(text) <= LOG_TAIL_BYTES and len(encoded) <= LOG_TAIL_BYTES:
        return encoded.decode()
    tail = encoded[-LOG_TAIL_BYTES:].decode("utf-8", "ignore")
    line_end = tail.find("\n", 0, 4096)
    return tail[line_end + 1 :]


def _is_ours(webhook: object, our_webhook_url: str | None) -> bool | None:
    """Whether the job reports to us: our URL, or it with the query that binds the job (`?job=`)."""
    if not isinstance(webhook, str) or not webhook:
        return None
    if not our_webhook_url:
        return False
    return webhook == our_webhook_url or webhook.startswith((f"{our_webhook_url}?", f"{our_webhook_url}&"))


def _seconds_of_header(value: str | None, now: datetime) -> float | None:
    if value is None:
        return None
    seconds = _finite(_decimal(value.strip()))
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
    if isinstance(value, str):
        value = _decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = Decimal(value)
    return float(min(number, Decimal(MAX_RETRY_AFTER))) if number.is_finite() else None


def _no_number(_word: str) -> None:
    """NaN and Infinity say nothing."""


def _decimal(digits: str) -> Decimal | None:
    """A number without the cost of a 5,000-digit one, which says nothing either (T5)."""
    if len(digits) > _MAX_DIGITS:
        return None
    try:
        return Decimal(digits)
    except InvalidOperation:
        return None


def plain_text(value: object, limit: int) -> str | None:
    """A text as it may be shown anywhere, a terminal too: no escapes, control or bidi characters (T10)."""
    if not isinstance(value, str) or not value:
        return None
    text = _encodable(value[:limit])
    if not text.isprintable():
        text = clean_text(text)
    return text or None


def _encodable(text: str) -> str:
    """Lone surrogates, which JSON can spell and UTF-8 can not, become question marks."""
    return text.encode("utf-8", "replace").decode()


def _without_secrets(text: str) -> str:
    """Tokens that a program printed or a model's error repeats (REP-13)."""
    return _SECRET.sub(lambda match: f"{match[1] or match[2]}_[removed]", text)
