"""Runs osls with a Node that is new enough, installed first when needed: `python -m infra.local.osls package`."""

from __future__ import annotations

import os
import sys

from infra.local.install import install_node_packages
from infra.local.runtimes import OSLS, find_node


def main(arguments: list[str]) -> None:
    """Becomes the osls process."""
    install_node_packages()
    node = str(find_node())
    os.execv(node, [node, str(OSLS), *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
