"""Installs what the stack needs beside Python packages, when missing or changed: Node packages, DynamoDB Local."""

from __future__ import annotations

import os
import subprocess
import sys

from infra.local import dynamodb_local
from infra.local.runtimes import (
    assert_right_osls,
    find_node,
    mark_node_packages_current,
    node_packages_are_current,
    npm_command,
)
from infra.local.templates import REPOSITORY


def install_node_packages(command: str = "ci") -> None:
    """`npm ci`, or `npm install` to lock anew; nothing when the lock's packages are there already."""
    if command == "ci" and node_packages_are_current():
        return
    node = find_node()
    environment = {**os.environ, "PATH": os.pathsep.join([str(node.parent), os.environ.get("PATH", os.defpath)])}
    print("Installing the Node packages of package-lock.json (only when it changed)", flush=True)
    subprocess.run([*npm_command(node), command, "--no-progress"], cwd=REPOSITORY, env=environment, check=True)
    assert_right_osls()
    mark_node_packages_current()


def fetch_dynamodb_local() -> None:
    if not dynamodb_local.is_fetched():
        print("Fetching DynamoDB Local from Maven Central (only once)", flush=True)
        dynamodb_local.fetch()


if __name__ == "__main__":
    parts = sys.argv[1:] or ["node", "database"]
    if "lock" in parts:
        install_node_packages("install")
    if "node" in parts:
        install_node_packages()
    if "database" in parts:
        fetch_dynamodb_local()
