"""Whatever has a name is in the docs: settings, routes, errors, events, tables, metrics, alarms. Read from the code."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Match

from functions.http._app import STATUS_OF_ERROR
from infra.local.stack.settings import read_settings
from infra.templates import load_template
from shared import enterprise_config
from shared.config import Settings
from shared.domain.errors import CloudJobsError
from shared.domain.event import EventType, deletion_event, status_event
from shared.domain.metric import Metric
from shared.domain.provider_profile import ProviderProfile
from shared.services.providers.config_changes import ConfigChanges, S3Delivery
from shared.wiring import PROVIDERS
from tests.builders import a_job
from tests.docs.pages import NOT_THERE_YET, ROOT, before, page, rows, section, ticked

_REQUEST = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (/\S*)")
_VARIABLE = re.compile(r"\$\{env:([A-Z_]+)")
TEMPLATES = [
    ROOT / "serverless.yml",
    *sorted((ROOT / "infra").glob("*.yml")),
    *sorted((ROOT / "infra").glob("*/*.yml")),
]


def differences(code: Iterable[str], docs: Iterable[str]) -> dict[str, list[str]]:
    """Names that only one side has; empty when both agree."""
    ours, told = set(code), set(docs)
    found = {"missing in the docs": sorted(ours - told), "no longer in the code": sorted(told - ours)}
    return {side: names for side, names in found.items() if names}


def first_cells(text: str) -> set[str]:
    """What stands in backticks in the first column of a text's tables."""
    return {name for cells in rows(text) for name in ticked(cells[0])}


class Asked(dict[str, str]):
    """A mapping without anything in it that remembers what was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return default


def variables() -> set[str]:
    """Every environment variable that the functions, the local stack or a template reads or sets."""
    local = Asked()
    read_settings(local)
    names = {name.upper() for name in Settings.model_fields if name != "provider_base_urls"} | local.names
    names |= {name for profile in profiles() for name in (profile.base_url_variable, profile.token_variable)}
    for template in TEMPLATES:
        names |= set(_VARIABLE.findall(template.read_text(encoding="utf-8")))
        if template.name == "environment.yml":
            names |= set(load_template(template))
    return names


def profiles() -> list[ProviderProfile]:
    return [importlib.import_module(f"{package}.profile").PROFILE for package in PROVIDERS]


def parameters() -> set[str]:
    """Every CloudFormation parameter that a person may set."""
    return {
        name
        for template in TEMPLATES
        if template.parent.name in {"infra", "resources"}
        for name, parameter in load_template(template).get("Parameters", {}).items()
        if not parameter["Type"].startswith("AWS::SSM")
    }


def test_the_docs_name_every_variable_and_no_other() -> None:
    told = {name for name in ticked(page("settings.md")) if re.fullmatch(r"[A-Z][A-Z_]+", name)}
    assert not differences(variables(), told)


def test_the_docs_name_every_parameter_of_a_deployment_and_no_other() -> None:
    told = first_cells(section(page("settings.md"), "Deploying"))
    assert not differences(parameters(), {name for name in told if not name.isupper()})


def test_the_docs_name_every_key_of_the_operators_file_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()
    read = enterprise_config._Section._text

    def remember(section: enterprise_config._Section, key: str) -> str | None:
        asked.add(section.path_of(key))
        return read(section, key)

    monkeypatch.setattr(enterprise_config._Section, "_text", remember)
    providers: dict[str, object] = {profile.name: {} for profile in profiles()}
    enterprise_config.parse_enterprise_config(json.dumps({"providers": providers}), "file", {})
    told = ticked("".join(" ".join(cells) for cells in rows(section(page("settings.md"), enterprise_config.FILE_NAME))))
    assert not differences(asked, {name for name in told if re.fullmatch(r"[a-z_.]*(?:\.|_)[a-z_]+", name)})


def test_the_docs_name_every_setting_of_a_provider_and_no_other() -> None:
    told = section(page("settings.md"), "Of a provider")
    assert not differences(ConfigChanges.model_fields, first_cells(told))
    bucket = re.search(r"\| `s3_delivery` \| `\{([^}]*)\}", told)
    assert bucket is not None
    assert not differences(S3Delivery.model_fields, bucket[1].split(", "))


def routes() -> Iterator[APIRoute]:
    """Every route of every HTTP function but the one for unknown paths."""
    for path in sorted((ROOT / "functions" / "http").glob("[a-z]*.py")):
        router = importlib.import_module(f"functions.http.{path.stem}").router
        yield from (route for route in router.routes if isinstance(route, APIRoute) and ":path}" not in route.path)


def requests_in(text: str) -> set[tuple[str, str]]:
    """Method and path of each request that stands in backticks in a table."""
    named = {name for cells in rows(text) for name in ticked(" ".join(cells[:2]))}
    return {(match[1], match[2]) for name in named if (match := _REQUEST.fullmatch(name))}


def test_the_contract_tells_every_route_and_no_other() -> None:
    served = {(method, route.path) for route in routes() for method in (route.methods or set()) - {"HEAD"}}
    told = requests_in(before(page("contract.md"), NOT_THERE_YET))
    assert not differences(map(" ".join, served), map(" ".join, told))


def test_what_the_contract_says_is_missing_is_missing() -> None:
    """Such a request reaches no route; a path of letters may still fit the pattern of another one."""
    planned = requests_in(section(page("contract.md"), NOT_THERE_YET))
    assert planned
    served = [
        f"{method} {path}"
        for method, path in planned
        for route in routes()
        if route.matches({"type": "http", "method": method, "path": path})[0] is Match.FULL
    ]
    assert not served


def answered_errors() -> dict[str, int]:
    """Code and status of every error that a table row tells apart from an unexpected one."""
    found = {CloudJobsError.code: 500}
    waiting = CloudJobsError.__subclasses__()
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        nearest = next(base for base in kind.__mro__ if base in STATUS_OF_ERROR)
        if nearest is not CloudJobsError:
            found[kind.code] = STATUS_OF_ERROR[nearest]
    return found


def test_every_error_stands_with_its_status_in_the_contract() -> None:
    told = {code: cells[1] for cells in rows(section(page("contract.md"), "Errors")) for code in ticked(cells[0])}
    assert not [
        f"{code} {status}" for code, status in answered_errors().items() if str(status) not in told.get(code, "")
    ]


def test_every_type_of_event_and_frame_is_in_the_contract() -> None:
    job, now = a_job(), datetime(2026, 1, 1, tzinfo=UTC)
    events = (status_event(job, None), deletion_event(job, now))
    assert {event.type for event in events} == set(EventType)
    kinds = {str(frame["type"]) for event in events for frame in event.frames()}
    told = section(page("contract.md"), "Frames")
    assert not [kind for kind in kinds if f'"type":"{kind}"' not in told and f"`{kind}`" not in told]


def test_the_design_shows_every_table_and_no_other() -> None:
    resources = load_template(ROOT / "infra" / "storage.yml")["Resources"]
    names = [
        re.sub(r"(?<!^)([A-Z])", r"_\1", name.removesuffix("Table")).lower()
        for name, resource in resources.items()
        if resource["Type"] == "AWS::DynamoDB::Table"
    ]
    assert not differences(names, {cells[0] for cells in rows(section(page("design.md"), "Tables"))})


def test_the_runbook_names_every_metric_and_no_other() -> None:
    assert not differences({metric.value for metric in Metric}, first_cells(section(page("runbook.md"), "Metrics")))


def test_the_runbook_names_every_sample_for_prometheus_and_no_other() -> None:
    source = (ROOT / "functions" / "http" / "read_metrics.py").read_text(encoding="utf-8")
    names = re.findall(r"\bsimpletuner_[a-z_]+", source)
    assert not differences(names, first_cells(section(page("runbook.md"), "Prometheus")))


def resources(*kinds: str) -> set[str]:
    """The logical ids of the service's resources of some types."""
    return {
        name
        for template in sorted((ROOT / "infra" / "resources").glob("*.yml"))
        for name, resource in load_template(template).get("Resources", {}).items()
        if resource["Type"] in kinds
    }


def test_the_runbook_names_every_alarm_and_no_other() -> None:
    alarms = resources("AWS::CloudWatch::Alarm", "AWS::Budgets::Budget")
    assert not differences(alarms, first_cells(section(page("runbook.md"), "Alarms")))


def test_the_runbook_names_every_queue() -> None:
    assert not resources("AWS::SQS::Queue") - ticked(page("runbook.md"))
