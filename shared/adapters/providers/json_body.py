"""The one reader of providers' JSON, and of the numbers and times in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from shared.domain.errors import ProviderAnswerInvalidError
from shared.domain.pricing import amount_told
from shared.domain.provider_profile import ProviderProfile

MAX_DEPTH = 32
MAX_DIGITS = 40

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ]([01]\d|2[0-3]):([0-5]\d):(\d\d)(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-])(\d\d):?(\d\d))?", re.ASCII
)
_PLAUSIBLE_YEARS = range(2000, 2200)


def read_json(raw: bytes, profile: ProviderProfile, *, is_pushed: bool = False) -> object:
    """The JSON of an answer, or of a body that was pushed to us; numbers are decimals.

    Raw control characters in strings are taken (REP-15). In an answer a number that is none, or of more than
    MAX_DIGITS, reads as null, so that it costs nothing and loses nothing else. A pushed body may hold nothing that two
    readers could understand differently: no such number, no byte that is not UTF-8, no key twice but the profile's
    `repeatable_keys`, nothing deeper than MAX_DEPTH (T5). Raises ProviderAnswerInvalidError without the body's text.
    """
    number = _number if is_pushed else decimal

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if is_pushed and len(found) < len(pairs):
            names = [name for name, _ in pairs if name not in profile.repeatable_keys]
            if len(set(names)) < len(names):
                raise ValueError("A key stands twice.")
        return found

    try:
        body = json.loads(
            raw.decode("utf-8") if is_pushed else raw.decode("utf-8-sig", "replace"),
            strict=False,
            parse_constant=number,
            parse_float=number,
            parse_int=number,
            object_pairs_hook=unique,
        )
        if not is_pushed or not _is_too_deep(body):
            return body
    except (ValueError, RecursionError):
        # Left before the next error is raised: the decoder's own holds the whole body.
        pass
    if is_pushed:
        raise ProviderAnswerInvalidError("This is not acceptable JSON of a sensible depth.")
    where = f" and {profile.status_page_url}" if profile.status_page_url else ""
    raise ProviderAnswerInvalidError(
        f"{profile.label} answered with something that is not its API's JSON; if this stays, check "
        f"{profile.base_url_variable}{where}."
    )


def read_object(raw: bytes, profile: ProviderProfile, *, is_pushed: bool = False) -> Mapping[str, object]:
    """As `read_json`, and it must be an object."""
    body = read_json(raw, profile, is_pushed=is_pushed)
    if not isinstance(body, dict):
        raise ProviderAnswerInvalidError(
            f"{profile.label} answered with JSON of an unexpected form; please try again in a minute."
        )
    return body


def decimal(digits: str) -> Decimal | None:
    """A finite number, without the cost of a 5,000-digit one, which says nothing either (T5); None for all else."""
    if len(digits) > MAX_DIGITS:
        return None
    try:
        number = Decimal(digits)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def amount(value: object, most: Decimal) -> Decimal | None:
    """A number of six decimals from 0 to `most`, so that the store takes it; None for any other."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return amount_told(Decimal(value), most)


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


def _number(digits: str) -> Decimal:
    number = decimal(digits)
    if number is None:
        raise ValueError("This is no number.")
    return number


def _is_too_deep(body: object) -> bool:
    level: list[object] = [body]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for value in level
            for child in (value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
