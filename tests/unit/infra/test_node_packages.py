"""The Node packages are installed into this checkout's own folder."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.local.install import node_packages


def test_a_linked_folder_is_left_alone_and_replaced_by_an_own_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "theirs").touch()
    own = tmp_path / "node_modules"
    own.symlink_to(elsewhere)

    def install(*_: Any, **__: Any) -> None:
        for left in own.iterdir() if own.exists() else ():
            left.unlink()
        (own / "serverless").mkdir(parents=True)
        (own / "serverless" / "package.json").write_text(json.dumps({"name": "osls"}))

    monkeypatch.setattr(node_packages, "NODE_MODULES", own)
    monkeypatch.setattr(subprocess, "run", install)
    monkeypatch.setattr(node_packages, "find_node", lambda: Path("/usr/bin/node"))
    monkeypatch.setattr(node_packages, "npm_command", lambda node: [node])
    node_packages.install_node_packages()
    assert (elsewhere / "theirs").exists()
    assert node_packages.node_packages_are_current()
