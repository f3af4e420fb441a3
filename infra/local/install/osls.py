"""Runs osls with a Node that is new enough, installed first if need be.

Run as `python -m infra.local.install.osls package`.
"""

from __future__ import annotations

import os
import sys

from infra.local.install.node_packages import OSLS, install_node_packages
from infra.local.install.runtimes import find_node


def main(arguments: list[str]) -> None:
    """Becomes the osls process."""
    install_node_packages()
    node = str(find_node())
    os.execv(node, [node, str(OSLS), *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
