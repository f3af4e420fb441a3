"""A listening socket of a test's own server."""

from __future__ import annotations

import socket


def a_listener() -> socket.socket:
    """On a free port of this machine.

    asyncio sends small answers at once only for sockets that say TCP; on others the second packet of an answer waits
    40 ms for the client's acknowledgement.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    return listener
