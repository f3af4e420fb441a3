"""The simulator's README names everything that can be asked, set or switched."""

from pathlib import Path

import pytest
from starlette.routing import Route

import infra.simulators.replicate
from infra.simulators.replicate import FaultKind, Simulator
from infra.simulators.replicate.__main__ import argument_parser
from infra.simulators.replicate.api import ReplicateApi
from infra.simulators.replicate.control_api import control_application
from infra.simulators.replicate.simulator import LiveSettings
from infra.simulators.replicate.webhook_log import WebhookFaults

README = Path(infra.simulators.replicate.__file__).with_name("README.md").read_text(encoding="utf-8")
ROUTES = [*ReplicateApi(Simulator()).application().routes, *control_application(Simulator()).routes]
PATHS = {route.path.rstrip("/").replace("{id:int}", "{id}") for route in ROUTES if isinstance(route, Route)}
OPTIONS = {action.option_strings[-1] for action in argument_parser()._actions} - {"--help"}
FIELDS = {*LiveSettings.__dataclass_fields__, *WebhookFaults.__dataclass_fields__}


@pytest.mark.parametrize("name", sorted(PATHS | OPTIONS | FIELDS | {kind.value for kind in FaultKind}))
def test_readme_names(name: str) -> None:
    assert f"`{name}`" in README
