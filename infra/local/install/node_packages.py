"""The Node packages of `package-lock.json`: osls, its plug-ins and the checkers, installed when missing or changed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

from infra.local.install.runtimes import find_node, npm_command
from infra.templates import REPOSITORY

NODE_MODULES = REPOSITORY / "node_modules"
PROGRAMS = NODE_MODULES / ".bin"


def install_node_packages(command: str = "ci") -> None:
    """`npm ci`, or `npm install` to lock anew; nothing when the lock's packages are there already."""
    if command == "ci" and node_packages_are_current():
        return
    if NODE_MODULES.is_symlink():
        # npm would empty the folder it points to, which may be another checkout's.
        NODE_MODULES.unlink()
    node = find_node()
    environment = {**os.environ, "PATH": os.pathsep.join([str(node.parent), os.environ.get("PATH", os.defpath)])}
    print("Installing the Node packages of package-lock.json (only when it changed)", flush=True)
    subprocess.run([*npm_command(node), command, "--no-progress"], cwd=REPOSITORY, env=environment, check=True)
    _assert_right_osls()
    _stamp().touch()


def node_packages_are_current() -> bool:
    return _stamp().exists()


def _stamp() -> Path:
    digest = hashlib.sha256((REPOSITORY / "package-lock.json").read_bytes()).hexdigest()
    return NODE_MODULES / f".installed-{digest[:16]}"


def _assert_right_osls() -> None:
    """Raises RuntimeError when npm laid another package than osls under the name `serverless`."""
    name = json.loads((NODE_MODULES / "serverless" / "package.json").read_text(encoding="utf-8"))["name"]
    if name != "osls":
        raise RuntimeError(f"node_modules/serverless is {name}, not osls; package.json must keep the alias.")
