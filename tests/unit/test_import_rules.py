"""Who may import whom (docs/design.md, "The house"), held by walking the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AWS = {"boto3", "botocore", "urllib3"}
WEB = {"fastapi", "mangum", "starlette"}

INNER = {"shared.services", "shared.domain", "shared.progress", "shared.config", "shared.telemetry"}
OURS = ("shared", "functions", "infra", "tests")
ALLOWED = {
    "functions": {"functions", "shared.wiring", *INNER},
    "shared/background_tasks.py": {"shared.wiring", *INNER},
    "shared/compat": {"shared.background_tasks"},
    "shared/services": {"shared.services", "shared.ports", "shared.domain", "shared.progress"},
    "shared/adapters": {"shared.adapters", "shared.ports", "shared.domain", "shared.config"},
    "shared/ports.py": {"shared.domain"},
    "shared/domain": {"shared.domain"},
    "shared/progress": {"shared.progress", "shared.domain.text"},
    "shared/telemetry.py": {"shared.domain.metric"},
    "shared/config.py": {"shared.domain"},
    "shared/enterprise_config.py": {"shared.domain"},
    "infra/local/install": {"infra.local.install", "infra.templates"},
    "infra/local/queues": {"infra.local.queues", "infra.local.names", "infra.templates"},
    "infra/local/triggers": {"infra.local.triggers", "infra.local.queues", "infra.local.names", "infra.templates"},
    "infra/local/gateway": {
        "infra.local.gateway",
        "infra.local.names",
        "infra.local.queues",
        "infra.local.stack",
        "infra.local.triggers",
        "infra.local.workers",
    },
    "infra/local/workers": {"infra.local.workers", "infra.templates"},
    "infra/simulators": set(),
}


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def files_of(room: str) -> list[Path]:
    place = ROOT / room
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def is_within(module: str, allowed: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    files = files_of(room)
    if not files and room.endswith(".py"):
        pytest.fail(f"{room} is missing")
    for path in files:
        own = {module for module in imports_of(path) if module.split(".")[0] in OURS}
        wrong = {module for module in own if not is_within(module, ALLOWED[room])}
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


@pytest.mark.parametrize(
    ("libraries", "rooms"), [(AWS, ("shared/adapters",)), (WEB, ("functions/http",))], ids=["aws", "web"]
)
def test_a_library_stays_in_its_room(libraries: set[str], rooms: tuple[str, ...]) -> None:
    for path in [*files_of("functions"), *files_of("shared")]:
        if any(path.is_relative_to(ROOT / room) for room in rooms):
            continue
        used = {module.split(".")[0] for module in imports_of(path)} & libraries
        assert not used, f"{path.relative_to(ROOT)} imports {sorted(used)}"


def test_nothing_but_a_test_imports_a_simulator() -> None:
    for path in [*files_of("functions"), *files_of("shared"), *files_of("infra")]:
        found = {module for module in imports_of(path) if is_within(module, {"infra.simulators"})}
        assert not found, f"{path.relative_to(ROOT)} imports {sorted(found)}"


@pytest.mark.parametrize("room", ["work", "socket"])
def test_workers_load_no_web_framework(room: str) -> None:
    modules = [f"functions.{room}.{path.stem}" for path in files_of(f"functions/{room}") if path.stem != "__init__"]
    assert modules
    code = f"import sys; import {', '.join(modules)}; sys.exit(int('fastapi' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_function_file_has_its_one_handler() -> None:
    for room in ("http", "socket", "work"):
        for path in files_of(f"functions/{room}"):
            if path.stem.startswith("_"):
                continue
            names = {
                target.id
                for node in ast.parse(path.read_text()).body
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            functions = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
            assert "handler" in names | functions, f"{path.relative_to(ROOT)} has no handler"


ROOMS = (
    {"leases", "update_state"},
    {"access", "providers"},
    {"recording", "costs"},
    {"logs", "polling", "delivery"},
    {"jobs", "webhooks", "health"},
)
"""The rooms of shared/services from the ground floor up: each may use what lies below it, and nothing else."""


def test_a_services_room_uses_only_what_lies_below_it() -> None:
    floors = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
    seen = set()
    for path in files_of("shared/services"):
        own = path.relative_to(ROOT / "shared/services").parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        seen.add(own)
        used = {module.split(".")[2] for module in imports_of(path) if module.startswith("shared.services.")} - {own}
        wrong = {room for room in used if floors[room] >= floors[own]}
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"
    assert seen == set(floors)
