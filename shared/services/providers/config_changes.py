"""What may be set for a provider: every value is bounded, so that the store and the provider can hold it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from ipaddress import ip_network
from itertools import takewhile
from typing import Annotated, Any, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from shared.domain.cost_limit import ACTIONS, PERIOD_DAYS
from shared.domain.errors import InvalidRequestError
from shared.domain.job import MAX_NAME_LENGTH, MAX_URL_LENGTH
from shared.domain.pricing import MAX_LIMIT_USD, MAX_PRICE_PER_SECOND, MILLIONTH, amount_set

MAX_ENTRIES = 100
_REFUSED = "refused"
_TELLABLE = re.compile(r"\w{1,40}", re.ASCII)


def _takes(what: str, is_right: Callable[[Any], bool] = lambda _: True) -> WrapValidator:
    """One sentence for whatever is wrong with a value, unless a part of it has its own."""

    def validate(value: object, handler: ValidatorFunctionWrapHandler) -> object:
        try:
            found: object = handler(value)
            if is_right(found):
                return found
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            if first["loc"] or first["type"] == _REFUSED:
                raise
        except ValueError:
            pass
        raise PydanticCustomError(_REFUSED, "{what}", {"what": what})

    return WrapValidator(validate)


def _text(longest: int) -> WrapValidator:
    what = f"is a text of at most {longest} characters without control characters"
    return _takes(what, lambda value: value.isprintable() and len(value) <= longest)


def _like(form: str, pattern: str) -> WrapValidator:
    return _takes(f"must look like {form}", lambda value: re.fullmatch(pattern, value, re.ASCII) is not None)


def _amount(most: Decimal) -> WrapValidator:
    """What would be rounded to nothing is refused: a price of 0 is to be meant."""
    what = f"is 0, or a number from {MILLIONTH} to {most:,}"
    return _takes(what, lambda value: amount_set(value, most) is not None)


def _one_of(words: tuple[str, ...]) -> WrapValidator:
    return _takes(f"is one of: {', '.join(words)}", words.__contains__)


def _is_web_address(value: str) -> bool:
    """Whether a provider could and may call it. Raises ValueError for what is not even an address."""
    parts = urlsplit(value)
    schemes = ("https", "http") if parts.hostname in ("127.0.0.1", "localhost", "::1") else ("https",)
    is_whole = bool(parts.hostname) and parts.port != 0 and parts.scheme in schemes and len(value) <= MAX_URL_LENGTH
    is_plain = value.isascii() and value.isprintable() and not re.search(r"[\s\\<>\"]", value)
    return is_whole and is_plain and "@" not in parts.netloc and not parts.fragment


def _folded(address: str) -> str:
    """Without the double slashes that come of joining a base with a path."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path=re.sub("/{2,}", "/", parts.path)))


def _no_flag(value: object) -> object:
    """Raises ValueError for what pydantic would take for 0 or 1."""
    if isinstance(value, bool):
        raise ValueError
    return value


def _entries(value: object) -> object:
    """A text with commas is a list, too."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


Flag = Annotated[bool, _takes("is either true or false")]
Dollars = Annotated[float, BeforeValidator(_no_flag)]
WebAddress = Annotated[
    str,
    _takes(
        "must be a whole address that begins with https:// (http:// only on this machine), "
        f"without user name and of at most {MAX_URL_LENGTH} characters",
        _is_web_address,
    ),
]
Network = Annotated[
    str,
    AfterValidator(lambda value: str(ip_network(value[:64], strict=False))),
    _takes("must be an address or a network like 192.0.2.0/24"),
]
Model = Annotated[str, _like("owner/name", r"[\w.-]{1,100}/[\w.-]{1,100}")]
Version = Annotated[str, _like("owner/name:<64 hexadecimal digits>", r"(?:[\w.-]{1,100}/[\w.-]{1,100}:)?[0-9a-f]{64}")]
HardwareId = Annotated[
    str, _like("{id: {name, cost_per_second}}, each id of small letters, digits and -", r"[a-z0-9][a-z0-9-]{0,39}")
]
_IN_MILLIONTHS = AfterValidator(lambda dollars: round(abs(dollars), 6))
_LIST = (
    Field(max_length=MAX_ENTRIES),
    BeforeValidator(_entries),
    _takes(f"is a list of at most {MAX_ENTRIES} entries, or one text with commas"),
)


class _Part(BaseModel):
    """Each value may be absent; null and "" stand for none."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _none_if_empty(cls, value: object) -> object:
        return None if value == "" else value


class HardwareInfo(_Part):
    name: Annotated[str, _text(MAX_NAME_LENGTH)] | None = None
    cost_per_second: Annotated[Dollars, _amount(MAX_PRICE_PER_SECOND), _IN_MILLIONTHS] | None = None


class S3Delivery(_Part):
    bucket: Annotated[str, _like("my-bucket", r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")]
    region: Annotated[str, _like("eu-central-1", r"[a-z0-9-]{1,40}")] | None = None
    endpoint_url: WebAddress | None = None
    path_prefix: Annotated[str, _text(200)] | None = None
    use_path_style: Flag | None = None
    public_read: Flag | None = None
    access_key_id: Annotated[str, _text(200)] | None = None
    secret_access_key: Annotated[str, _text(200)] | None = None

    @model_validator(mode="after")
    def _both_keys_or_neither(self) -> Self:
        if (self.access_key_id is None) is not (self.secret_access_key is None):
            raise PydanticCustomError(_REFUSED, "needs both access_key_id and secret_access_key, or neither")
        return self


HardwareInfos = Annotated[
    dict[HardwareId, Annotated[HardwareInfo, _takes("must look like {name, cost_per_second}")]],
    Field(max_length=MAX_ENTRIES),
    _takes(f"is an object of at most {MAX_ENTRIES} entries {{id: {{name, cost_per_second}}}}"),
]


class ConfigChanges(_Part):
    """What a request changes. A webhook is always verified, whatever `webhook_require_signature` says."""

    webhook_url: Annotated[WebAddress, AfterValidator(_folded)] | None = None
    cost_limit_enabled: Flag | None = None
    cost_limit_amount: Annotated[Dollars, _amount(MAX_LIMIT_USD), _IN_MILLIONTHS] | None = None
    cost_limit_period: Annotated[str, _one_of(tuple(PERIOD_DAYS))] | None = None
    cost_limit_action: Annotated[str, _one_of(ACTIONS)] | None = None
    hardware_profile: Annotated[str, _text(MAX_NAME_LENGTH)] | None = None
    hardware_info: HardwareInfos | None = None
    version_override: Version | None = None
    webhook_require_signature: Flag | None = None
    webhook_allowed_ips: Annotated[list[Network], *_LIST] | None = None
    sync_models: Annotated[list[Model], *_LIST] | None = None
    s3_delivery: Annotated[S3Delivery, _takes("is an object with at least a bucket")] | None = None

    @field_validator("s3_delivery", mode="before")
    @classmethod
    def _none_if_without_entries(cls, value: object) -> object:
        return None if value == {} else value

    def values(self) -> dict[str, Any]:
        """What is to be set; what was given and is not in it is to be cleared."""
        return {name: value for name, value in self.model_dump(exclude_none=True).items() if value not in ([], {})}


def read_changes(changes: Mapping[str, object]) -> ConfigChanges:
    """Raises InvalidRequestError with one sentence that names the setting and repeats nothing of its value."""
    try:
        return ConfigChanges.model_validate(changes)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
    place, what = first["loc"], first["msg"] if first["type"] == _REFUSED else "is missing"
    name = ".".join(takewhile(_TELLABLE.fullmatch, (str(part) for part in place if not isinstance(part, int))))
    if first["type"] == "extra_forbidden":
        of_part: Mapping[object, type[_Part]] = {"hardware_info": HardwareInfo, "s3_delivery": S3Delivery}
        known = ", ".join(sorted(of_part.get(place[0], ConfigChanges).model_fields))
        which = f"setting {name}" if _TELLABLE.fullmatch(str(place[-1])) else "such setting"
        raise InvalidRequestError(f"There is no {which}; known are: {known}.")
    subject = f"Each of {name}" if any(isinstance(part, int) for part in place) else name
    raise InvalidRequestError(f"{subject} {what}.")
