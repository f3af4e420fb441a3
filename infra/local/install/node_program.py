"""Runs a program of the Node packages with a Node that is new enough, all installed first if need be.

Run as `python -m infra.local.install.node_program osls package`.
"""

from __future__ import annotations

import os
import sys

from infra.local.install.node_packages import PROGRAMS, install_node_packages
from infra.local.install.runtimes import find_node


def main(program: str, *arguments: str) -> None:
    """Becomes the program's process."""
    install_node_packages()
    node = str(find_node())
    os.execv(node, [node, str(PROGRAMS / program), *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
