"""One request to our own webhook address, to see whether it can be reached (T6)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from urllib.parse import SplitResult, urlsplit

from shared.adapters.http.bounded import BoundedHttp, Enough, Fault, HttpLimits, Request, Transport
from shared.domain.errors import ProbeRefusedError, ProbeUnansweredError
from shared.ports import Clock

TIMEOUT_SECONDS = 5.0
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

Resolve = Callable[[str, int], Sequence[str]]


def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


class HttpWebhookProbe:
    """`ports.WebhookProbe`: every resolved address must be public, and the connection goes to that one.

    Nothing of the answer is read but its status.
    """

    def __init__(self, *, clock: Clock, transport: Transport | None = None, resolve: Resolve = resolve) -> None:
        self._clock = clock
        self._http = BoundedHttp(clock=clock, limits=HttpLimits(call_seconds=TIMEOUT_SECONDS), transport=transport)
        self._resolve = resolve

    def status_of(self, url: str) -> int:
        """The HTTP status. Raises ProbeRefusedError (this address is none to contact), ProbeUnansweredError."""
        parts = _checked(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        request = Request(
            method="POST",
            url=url,
            headers={"Content-Type": "application/json", "User-Agent": "simpletuner-cloud-test"},
            body=b"{}",
            address=self._address(str(parts.hostname), port, is_local=parts.scheme == "http"),
        )
        deadline = self._clock.monotonic() + TIMEOUT_SECONDS
        outcome = self._http.exchange(request, deadline=deadline, enough=Enough(body_bytes=0))
        if isinstance(outcome, Fault):
            raise ProbeUnansweredError(f"The address did not answer ({outcome}).")
        return outcome.status

    def _address(self, host: str, port: int, *, is_local: bool) -> str:
        try:
            addresses = self._resolve(host, port)
        except (OSError, UnicodeError):
            raise ProbeUnansweredError("The address's host name is not known.") from None
        for address in addresses:
            ip = ipaddress.ip_address(address.partition("%")[0])
            if ip.is_loopback if is_local else ip.is_global and not ip.is_multicast:
                continue
            raise ProbeRefusedError("The address's host name leads into a private network; it was not contacted.")
        if not addresses:
            raise ProbeUnansweredError("The address's host name is not known.")
        return addresses[0]


def _checked(url: str) -> SplitResult:
    """https on port 443 to anywhere public, http only on loopback. Raises ProbeRefusedError."""
    refusal = ProbeRefusedError("Only https:// addresses on port 443 are contacted (http:// on loopback).")
    if not url.isascii() or any(character in url for character in "\\ \t\r\n#"):
        raise refusal
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise refusal from None
    if not parts.hostname or parts.username is not None or parts.password is not None:
        raise refusal
    if parts.scheme == "https" and port in (None, 443):
        return parts
    if parts.scheme == "http" and parts.hostname in LOOPBACK_NAMES:
        return parts
    raise refusal
