"""What Replicate's answers mean: jobs in both of its shapes, list pages, and problems.

The same reading serves polled answers and webhook bodies. Absent and null are the same; `input` is never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from shared.adapters.providers.api import Problem
from shared.adapters.providers.json_body import amount, moment
from shared.adapters.providers.replicate.profile import PREDICTION, PROFILE, TRAINING, hardware_of_model
from shared.adapters.providers.texts import log_tail, one_line, plain_text, whole_log, without_secrets
from shared.domain.errors import ProviderAnswerInvalidError
from shared.domain.job import MAX_NAME_LENGTH, MAX_URL_LENGTH, JobStatus
from shared.domain.observation import LastLook, Look, Observation, ObservationPage
from shared.domain.pricing import MAX_BILLED_SECONDS

MAX_ERROR_CHARACTERS = 20_000

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
_HTTPS_URL = re.compile(r"https://[A-Za-z0-9.-]+(?::\d{1,5})?(?:[/?#][!#-;=?-\[\]_a-z~]*)?", re.ASCII)
_NEXT_PAGE = re.compile(
    r"(https?)://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?(/[A-Za-z0-9._~/-]*)\?([!$-;=?-Z_a-z~]{1,2000})",
    re.ASCII | re.IGNORECASE,
)
_RESETS_IN = re.compile(r"(?:~|available in )(\d{1,6})(?:\.\d+)? ?s", re.ASCII)

_MAX_OUTPUT_NODES = 200


def is_external_id(text: object) -> bool:
    """Whether this may stand in a URL (T18)."""
    return isinstance(text, str) and _EXTERNAL_ID.fullmatch(text) is not None


def observation_from_body(
    body: Mapping[str, object],
    *,
    observed_at: datetime,
    kind: str | None = None,
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
        billed_seconds=_billed_seconds(body),
        error=_error(body.get("error")),
        output_url=output_url(body.get("output")),
        model=model,
        hardware=hardware_of_model(model),
        webhook_url=_webhook_url(body.get("webhook")),
    )


def look_from_body(
    body: Mapping[str, object],
    *,
    observed_at: datetime,
    kind: str | None = None,
) -> Look:
    """As `observation_from_body`, with the end of the log; an empty or removed one says nothing (REP-3)."""
    seen = observation_from_body(body, observed_at=observed_at, kind=kind)
    text = _log(body)
    return Look(seen, log_tail(text) if text else None)


def last_look_from_body(body: Mapping[str, object], *, observed_at: datetime, kind: str) -> LastLook:
    """As `observation_from_body`, with the whole log; a removed one never comes back (REP-3)."""
    seen = observation_from_body(body, observed_at=observed_at, kind=kind)
    return LastLook(seen, full_log(body), is_log_removed=body.get("data_removed") is True)


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
    """The whole log, at most 4 MB; None when it was removed or not told."""
    text = _log(body)
    return None if text is None else whole_log(text)


def page_from_body(
    body: Mapping[str, object],
    *,
    list_url: str,
    kind: str,
    observed_at: datetime,
) -> ObservationPage:
    """One page of a list; `next_page` is the query of the next one.

    One malformed item loses no other; a page without any readable item of several is an error.

    Raises ProviderAnswerInvalidError when the page is no list, or when `next` leads anywhere but to `list_url` (T6).
    """
    results = body.get("results")
    if not isinstance(results, list):
        raise ProviderAnswerInvalidError("Replicate's list of jobs has no results; please try again in a minute.")
    read = [_item(item, kind, observed_at) for item in results]
    observations = tuple(seen for seen in read if seen is not None)
    if len(results) > 1 and not observations:
        raise ProviderAnswerInvalidError("None of the jobs in Replicate's list could be read; please try again.")
    return ObservationPage(observations, _next_query(body.get("next"), list_url))


def is_page_query(text: str) -> bool:
    """Whether a stored place in a list is one that `page_from_body` could have handed out."""
    return _NEXT_PAGE.fullmatch(f"https://host/?{text}") is not None


def problem_from_body(body: Mapping[str, object], token: str) -> Problem:
    """The sentence of a problem, and after a 429 its `retry_after`, or the seconds that the sentence tells (REP-14)."""
    lines = (one_line(body.get(field), secret=token) for field in ("detail", "title"))
    resets_in = _RESETS_IN.search(str(body.get("detail")))
    told = body.get("retry_after")
    is_number = isinstance(told, int | Decimal | str) and not isinstance(told, bool)
    return Problem(next(filter(None, lines), None), told if is_number else resets_in[1] if resets_in else None)


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


def _item(item: object, kind: str, observed_at: datetime) -> Observation | None:
    if not isinstance(item, dict):
        return None
    try:
        return observation_from_body(item, kind=kind, observed_at=observed_at)
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


def _billed_seconds(body: Mapping[str, object]) -> Decimal | None:
    """The time that it ran for; what was `aborted` before it began is not charged."""
    metrics = body.get("metrics")
    measured = amount(metrics.get("predict_time"), MAX_BILLED_SECONDS) if isinstance(metrics, dict) else None
    is_free = body.get("status") == "aborted" and moment(body.get("started_at")) is None
    return Decimal(0) if measured is None and is_free else measured


def _error(value: object) -> str | None:
    """The sentence, or the first one inside an error of another form."""
    told = next(_texts_in(value), None)
    return plain_text(without_secrets(told), MAX_ERROR_CHARACTERS) if told else None


def _log(body: Mapping[str, object]) -> str | None:
    text = body.get("logs")
    return text if isinstance(text, str) and body.get("data_removed") is not True else None


def _webhook_url(webhook: object) -> str | None:
    return webhook if isinstance(webhook, str) and 0 < len(webhook) <= MAX_URL_LENGTH else None
