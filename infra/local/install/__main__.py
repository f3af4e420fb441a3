"""Installs what the stack needs beside Python packages, when missing or changed.

Run as `python -m infra.local.install`, for a part of it with `node` or `database`; `lock` locks the Node packages anew.
"""

from __future__ import annotations

import sys

from infra.local.install import dynamodb_local
from infra.local.install.node_packages import install_node_packages

if __name__ == "__main__":
    parts = sys.argv[1:] or ["node", "database"]
    if "lock" in parts:
        install_node_packages("install")
    if "node" in parts:
        install_node_packages()
    if "database" in parts:
        dynamodb_local.fetch_when_missing()
