"""I48: whatever number is configured or told, every store can hold what is made of it, and nobody is answered 500."""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from annotated_types import Ge, Le
from boto3.dynamodb.types import DYNAMODB_CONTEXT, TypeSerializer
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from functions.http import configure_provider, read_costs
from shared.adapters.dynamo.items import encode_job
from shared.adapters.providers.json_body import read_object
from shared.adapters.providers.replicate.answers import look_from_body
from shared.adapters.providers.replicate.profile import PROFILE
from shared.config import Settings
from shared.domain import state_keys
from shared.domain.errors import ConfigurationError, InvalidRequestError
from shared.domain.job import Job, JobStatus
from shared.domain.pricing import MAX_BILLED_SECONDS, MAX_BILLED_USD, MAX_PRICE_PER_SECOND
from shared.enterprise_config import parse_enterprise_config
from shared.services.costs.check_cost_limit import CheckCostLimit
from shared.services.providers.config_changes import ConfigChanges
from shared.services.providers.configure_provider import ConfigureProvider
from shared.services.providers.provider_settings import ProviderSettings
from shared.services.recording.record_observations import RecordObservations
from tests.fakes.clock import START
from tests.proof import scaled
from tests.system import System, a_system

EXTREMES = [
    "1e-320",
    "-1e-320",
    "5e-324",
    "1e-131",
    "1e400",
    "-1e400",
    "9.99e125",
    "nan",
    "inf",
    "-0.0",
    "1e-6",
]
SMALLEST, LARGEST = Decimal("1e-130"), Decimal("9.9999999999999999999999999999999999999e125")

numbers = st.one_of(
    st.floats(),
    st.floats(min_value=0, max_value=11),
    st.floats(min_value=0, max_value=1e-5),
    st.integers(),
    st.sampled_from([10**40, -(10**400), *map(float, EXTREMES), *EXTREMES]),
    st.decimals().map(str),
)


def assert_storable(number: Decimal) -> None:
    """In DynamoDB's range and digits, by boto3's own word."""
    TypeSerializer().serialize(DYNAMODB_CONTEXT.create_decimal(number))
    assert number == 0 or SMALLEST <= abs(number) <= LARGEST


def assert_job_is_storable(job: Job) -> None:
    for value in encode_job(job).values():
        if "N" in value:
            assert_storable(Decimal(value["N"]))
    assert job.cost_usd is None or 0 <= job.cost_usd <= max(MAX_BILLED_USD, MAX_BILLED_SECONDS * MAX_PRICE_PER_SECOND)


def recorded(system: System, **told: Any) -> Job:
    system.remote_job("abcdefgh1234", JobStatus.COMPLETED, hardware="h100", **told)
    system.sync()
    job = system.stores.jobs.get("abcdefgh1234")
    assert job is not None
    return job


@settings(max_examples=scaled(500), deadline=None)
@given(price=numbers, limit=numbers)
def test_a_number_of_a_config_is_refused_or_makes_sensible_costs(price: object, limit: object) -> None:
    with a_system() as system:
        wanted: list[dict[str, object]] = [
            {"cost_limit_enabled": True},
            {"hardware_info": {"h100": {"cost_per_second": price}}},
            {"cost_limit_amount": limit},
        ]
        for changes in wanted:
            with suppress(InvalidRequestError):
                system.wiring.use(ConfigureProvider).change("replicate", changes)
        used = system.wiring.use(ProviderSettings).hardware("replicate", "h100").price_per_second
        assert 0 <= used <= MAX_PRICE_PER_SECOND
        assert_job_is_storable(recorded(system, billed_seconds=Decimal(100)))
        stands = system.wiring.use(CheckCostLimit).run("replicate")
        assert math.isfinite(stands.percent_used)


@settings(max_examples=scaled(500), deadline=None)
@given(seconds=st.decimals() | st.sampled_from(EXTREMES).map(Decimal), dollars=st.decimals())
def test_a_number_that_a_provider_told_is_left_out_or_within_what_a_store_holds(
    seconds: Decimal, dollars: Decimal
) -> None:
    with a_system() as system:
        assert_job_is_storable(recorded(system, billed_seconds=seconds, billed_usd=dollars))


@pytest.mark.parametrize("told", [*EXTREMES, "-5", "1" + 50 * "0", "true", '"7"', "null"])
def test_a_webhook_with_any_predict_time_is_recorded(told: str) -> None:
    raw = (
        '{"id": "abcdefgh1234", "status": "succeeded", "created_at": "2026-03-01T11:00:00Z", '
        f'"metrics": {{"predict_time": {told.upper().replace("INF", "Infinity").replace("NAN", "NaN")}}}}}'
    )
    body = read_object(raw.replace("TRUE", "true").replace("NULL", "null").encode(), PROFILE)
    with a_system() as system:
        seen = look_from_body(body, observed_at=START).observation
        system.wiring.use(RecordObservations).run([seen])
        job = system.stores.jobs.get("abcdefgh1234")
        assert job is not None
        assert job.status is JobStatus.COMPLETED
        assert_job_is_storable(job)


@pytest.mark.parametrize("stored", [1e-320, -3, 1e300, "nan", "1e400", True, [], None])
def test_what_an_earlier_version_has_stored_stops_no_job_and_no_answer(stored: object) -> None:
    with a_system() as system:
        value = {
            "hardware_info": {"h100": {"cost_per_second": stored}},
            "cost_limit_amount": stored,
            "cost_limit_enabled": True,
        }
        system.stores.state.put(state_keys.provider_config("replicate"), value, now=system.clock.now())
        assert_job_is_storable(recorded(system, billed_seconds=Decimal(5)))
        client = system.client(configure_provider.router, read_costs.router)
        assert client.get("/api/cloud/cost-limit/status").status_code == 200
        assert client.get("/api/cloud/hardware-options").status_code == 200


def number_fields(model: type[BaseModel], place: str = "") -> Iterator[tuple[str, Any]]:
    """Every number of a model of config, in its parts too: its place and its annotation with all that bounds it."""
    for name, field in model.model_fields.items():
        pending: list[Any] = [field.annotation]
        while pending:
            part = pending.pop()
            if part in (int, float):
                yield f"{place}{name}", field
            elif isinstance(part, type) and issubclass(part, BaseModel):
                yield from number_fields(part, f"{place}{name}.")
            elif isinstance(part, types.UnionType) or typing.get_origin(part) is not None:
                pending += typing.get_args(part)


def test_every_number_of_a_config_refuses_what_no_store_can_hold() -> None:
    """A new setting is found here by itself."""
    found = [place for place, _ in number_fields(ConfigChanges)]
    assert "cost_limit_amount" in found
    assert "hardware_info.cost_per_second" in found
    for place in found:
        first, _, inner = place.partition(".")
        for extreme in (float("nan"), float("inf"), 1e-320, -1.0, 1e300):
            value: object = {"h100": {inner: extreme}} if first == "hardware_info" else extreme
            with pytest.raises(ValueError, match="0"):
                ConfigChanges.model_validate({first: value})


@pytest.mark.parametrize("name", [place for place, _ in number_fields(Settings)])
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400", "-1", "9" * 30, "9" * 5000, "x"])
def test_a_variable_out_of_its_range_is_told_with_the_range_at_start(name: str, text: str) -> None:
    field = Settings.model_fields[name]
    least = next(bound.ge for bound in field.metadata if isinstance(bound, Ge))
    most = next(bound.le for bound in field.metadata if isinstance(bound, Le))
    with pytest.raises(ConfigurationError) as raised:
        Settings.from_environment({name.upper(): text})
    assert raised.value.detail.endswith(f"number from {least:,} to {most:,}.")
    for edge in (least, most):
        taken = Settings.from_environment({name.upper(): str(edge)})
        assert taken.retention is None or START - taken.retention < START


@pytest.mark.parametrize("text", [*EXTREMES[:-1], "-1", "9" * 400, "0x10", "１"])
@pytest.mark.parametrize("section", ["job_status_polling", "reconcile"])
def test_a_number_of_the_yaml_out_of_its_range_is_told_with_the_range(section: str, text: str) -> None:
    yaml = json.dumps({"background": {section: {"interval_seconds": text}}})
    with pytest.raises(ConfigurationError, match=r"a number of seconds from \d+ to 86400"):
        parse_enterprise_config(yaml, "simpletuner-enterprise.yaml", {})
