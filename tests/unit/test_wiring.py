"""Every use case can be built, under the one name that it has everywhere."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from shared.ports import Clock
from tests.system import a_system

ROOT = Path(__file__).resolve().parents[2]


def use_cases() -> list[type[Any]]:
    """The class of each services file that bears the file's name."""
    found = []
    for path in sorted((ROOT / "shared" / "services").rglob("*.py")):
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        case = getattr(module, "".join(word.capitalize() for word in path.stem.split("_")), None)
        if isinstance(case, type) and is_dataclass(case):
            found.append(case)
    return found


@pytest.mark.parametrize("case", use_cases(), ids=lambda case: case.__name__)
def test_a_use_case_is_built_with_what_its_fields_name(case: type[Any]) -> None:
    with a_system() as system:
        built = system.wiring.use(case)
        hints = get_type_hints(case)
        for field in fields(case):
            wanted = hints[field.name]
            if isinstance(wanted, type) and not getattr(wanted, "_is_protocol", False):
                given = getattr(built, field.name)
                assert isinstance(given, int if wanted is float and isinstance(given, int) else wanted), field.name
        assert system.wiring.use(case) is built


def test_every_use_case_that_a_handler_uses_bears_its_files_name() -> None:
    names = {case.__name__ for case in use_cases()}
    used = {
        part.partition(")")[0]
        for path in (ROOT / "functions").rglob("*.py")
        for part in path.read_text().split(".use(")[1:]
    }
    assert used
    assert used <= names


@dataclass
class Odd:
    clock: Clock
    weather: str


def test_a_field_that_nothing_bears_is_refused_by_its_name() -> None:
    with a_system() as system, pytest.raises(TypeError, match=r"Odd\.weather is no part"):
        system.wiring.use(Odd)


def test_building_a_use_case_loads_no_provider() -> None:
    """The webhook's function, say, asks the provider for nothing as a rule: an HTTP client may wait."""
    code = (
        "import sys; from shared.wiring import Wiring; from shared.config import Settings;"
        "from shared.services.webhooks.receive_webhook import ReceiveWebhook;"
        "Wiring(Settings()).use(ReceiveWebhook); sys.exit(int('shared.adapters.http.bounded' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
