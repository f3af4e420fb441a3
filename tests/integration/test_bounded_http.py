"""The one HTTP client over real sockets: deadlines, caps, streams that are left, and addresses that are pinned."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.adapters.clock import SystemClock
from shared.adapters.http import bounded
from shared.adapters.http.bounded import Answer, BoundedHttp, Enough, Fault, HttpLimits, Request

LIMITS = HttpLimits(connect_seconds=1, read_seconds=1, call_seconds=2, body_bytes=1_000_000)
OK = b"HTTP/1.1 200 OK\r\n"
STREAM = OK + b"Content-Type: text/plain\r\nConnection: close\r\n\r\n"

Serve = Callable[[socket.socket], None]


@contextmanager
def listening(serve: Serve, context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[bytes]]]:
    """A server that reads one request a connection and then does as told; yields its port and the requests."""
    requests: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def run(connection: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) if context else connection as peer:
            requests.append(peer.recv(65_536))
            serve(peer)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=run, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], requests
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def ask(
    url: str, *, enough: Enough | None = None, address: str | None = None, seconds: float = 2, method: str = "GET"
) -> Answer | Fault:
    client = BoundedHttp(clock=SystemClock(), limits=LIMITS)
    request = Request(method=method, url=url, headers={}, address=address)
    return client.exchange(request, deadline=time.monotonic() + seconds, enough=enough)


def sending(*parts: bytes, pause: float = 0, then: float = 0) -> Serve:
    """Send these with a pause between them, and wait before the connection ends."""

    def serve(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        time.sleep(then)

    return serve


def forever(part: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.sendall(STREAM)
        while True:
            connection.sendall(part)

    return serve


def test_a_stream_without_end_is_an_answer_after_its_last_line() -> None:
    lines = Enough(body_bytes=1000, idle_seconds=5, is_last_line=lambda line: line == b"end")
    with listening(sending(STREAM + b"one\ntwo", b"\nen", b"d\nthree\n", pause=0.05, then=30)) as (port, _):
        answer = ask(f"http://127.0.0.1:{port}/", enough=lines)
    assert answer == Answer(200, {"content-type": "text/plain", "connection": "close"}, b"one\ntwo\nend\n")


def test_a_stream_that_falls_silent_is_an_answer_after_a_while() -> None:
    with listening(sending(STREAM + b"one\ntwo", then=30)) as (port, _):
        answer = ask(f"http://127.0.0.1:{port}/", enough=Enough(body_bytes=1000, idle_seconds=0.2))
    assert isinstance(answer, Answer)
    assert answer.body == b"one\ntwo"


def test_a_stream_that_never_rests_is_an_answer_at_its_cap() -> None:
    with listening(forever(b"line\n" * 100)) as (port, _):
        answer = ask(f"http://127.0.0.1:{port}/", enough=Enough(body_bytes=10_001, idle_seconds=0.2))
    assert isinstance(answer, Answer)
    assert len(answer.body) == 10_001


def test_a_stream_that_drips_longer_than_the_call_may_last_is_no_answer() -> None:
    """What has come until then may be any part of it."""
    drops = [b"."] * 100
    with listening(sending(STREAM, *drops, pause=0.05)) as (port, _):
        outcome = ask(f"http://127.0.0.1:{port}/", enough=Enough(body_bytes=1000, idle_seconds=0.5), seconds=0.6)
    assert outcome is Fault.TIMED_OUT


def test_a_stream_that_ends_by_itself_is_its_whole() -> None:
    with listening(sending(STREAM + b"one\n")) as (port, _):
        answer = ask(f"http://127.0.0.1:{port}/", enough=Enough(body_bytes=1000, idle_seconds=5))
    assert isinstance(answer, Answer)
    assert answer.body == b"one\n"


def test_of_an_answer_that_nobody_wants_nothing_is_read() -> None:
    with listening(forever(b"x" * 1000)) as (port, _):
        answer = ask(f"http://127.0.0.1:{port}/", enough=Enough(body_bytes=0))
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (200, b"")


def test_headers_that_are_waited_for_longer_than_a_line_may_be_are_no_silence() -> None:
    """`idle_seconds` counts from the body on."""

    def serve(connection: socket.socket) -> None:
        time.sleep(0.5)
        connection.sendall(STREAM + b"one\n")

    with listening(serve) as (port, _):
        answer = ask(f"http://127.0.0.1:{port}/", enough=Enough(body_bytes=1000, idle_seconds=0.1))
    assert isinstance(answer, Answer)
    assert answer.body == b"one\n"


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (OK + b"Content-Length: 10\r\n\r\nhalf", Fault.TRUNCATED),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", Fault.TRUNCATED),
        (b"", Fault.CONNECTION),
        (b"SSH-2.0-OpenSSH_9.9\r\n", Fault.CONNECTION),
        (OK + b"X: " + b"y" * 100_000 + b"\r\n\r\n", Fault.CONNECTION),
        (OK + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx", Fault.UNREADABLE),
        (OK + b"Content-Length: 2000000\r\n\r\n" + b"x" * 2_000_000, Fault.TOO_LARGE),
    ],
)
def test_what_is_no_answer_has_its_fault(reply: bytes, fault: Fault) -> None:
    with listening(sending(reply)) as (port, _):
        assert ask(f"http://127.0.0.1:{port}/") is fault


def test_connections_are_kept_also_when_answers_were_left() -> None:
    def serve(connection: socket.socket) -> None:
        for _ in range(50):
            connection.sendall(OK + b"Content-Length: 2\r\n\r\n{}")
            connection.recv(65_536)

    client = BoundedHttp(clock=SystemClock(), limits=LIMITS)
    with listening(serve) as (port, requests):
        request = Request(method="GET", url=f"http://127.0.0.1:{port}/", headers={})
        for enough in [None, Enough(body_bytes=0), None, None, None] * 3:
            answer = client.exchange(request, deadline=time.monotonic() + 2, enough=enough)
            assert isinstance(answer, Answer)
        assert len(requests) == 1 + 3


def test_a_pinned_address_is_contacted_in_place_of_the_hosts_own() -> None:
    with listening(sending(OK + b"Content-Length: 0\r\n\r\n")) as (port, requests):
        answer = ask(f"http://no-such-host.invalid:{port}/hook", address="127.0.0.1")
    assert isinstance(answer, Answer)
    assert f"Host: no-such-host.invalid:{port}\r\n".encode() in requests[0]


def certificate_for(name: str, folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's side of TLS for this name, and the file of the authority that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, key_file = folder / "certificate.pem", folder / "key.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key_file)
    return context, file


@pytest.mark.parametrize(("host", "is_reached"), [("jobs.example.com", True), ("other.example.com", False)])
def test_at_a_pinned_address_the_certificate_must_be_the_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, is_reached: bool
) -> None:
    context, authority = certificate_for("jobs.example.com", tmp_path)
    monkeypatch.setattr(bounded, "get_cert_path", lambda _verify: str(authority))
    told: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: told.append(name)
    with listening(sending(OK + b"Content-Length: 0\r\n\r\n"), context) as (port, _):
        outcome = ask(f"https://{host}:{port}/hook", address="127.0.0.1")
    assert told == [host]
    assert (outcome is not Fault.CONNECTION) is is_reached


def test_a_certificate_that_nobody_known_vouches_for_is_refused(tmp_path: Path) -> None:
    context, _ = certificate_for("127.0.0.1.example", tmp_path)
    with listening(sending(OK + b"Content-Length: 0\r\n\r\n"), context) as (port, _):
        assert ask(f"https://127.0.0.1:{port}/") is Fault.CONNECTION


def test_neither_redirects_nor_proxies_of_the_environment_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    reply = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    with listening(sending(reply)) as (port, requests):
        answer = ask(f"http://127.0.0.1:{port}/")
    assert isinstance(answer, Answer)
    assert (answer.status, len(requests)) == (302, 1)
