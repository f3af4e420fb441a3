"""The service packaged once a session, with the layer's placeholder: what CloudFormation would be given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.templates import REPOSITORY

_NO_ACCOUNT = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `osls package` filled. No credentials are there: packaging needs no account."""
    folder = tmp_path_factory.mktemp("package") / "service"
    environment = {key: value for key, value in os.environ.items() if key not in _NO_ACCOUNT}
    program = [sys.executable, "-m", "infra.local.install.node_program", "osls"]
    command = [*program, "package", "--stage", "dev", "--package", str(folder)]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def template_file(packaged: Path) -> Path:
    return packaged / "cloudformation-template-update-stack.json"


@pytest.fixture(scope="session")
def template(template_file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(template_file.read_text(encoding="utf-8"))
    return found
