"""Is every port free before anything is started?"""

from __future__ import annotations

import socket
from collections.abc import Mapping

from infra.local.names import HOST


class PortInUseError(Exception):
    """Another program listens where the stack wants to; the message says what to do."""

    def __init__(self, variable: str, port: int) -> None:
        super().__init__(
            f"Port {port} is already in use: stop the program that listens there, "
            f"or choose another port, for example `make run {variable}={port + 1000}`."
        )


def check_ports(ports: Mapping[str, int]) -> None:
    """Raises PortInUseError for the first port that can't be bound."""
    for variable, port in ports.items():
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise PortInUseError(variable, port) from error


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    probes = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
