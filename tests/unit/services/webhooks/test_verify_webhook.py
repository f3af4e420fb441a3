"""The webhook signature: published vectors, the reference library as oracle, and every kind of doubt."""

from __future__ import annotations

import base64
import random
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from shared.domain.errors import SigningKeyUnavailableError, WebhookRejected
from shared.services.webhooks.verify_webhook import checked_headers, is_signed, signing_key
from tests.proof import scaled

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = signing_key(SECRET)
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
NOW = datetime.fromtimestamp(AT, UTC)


def headers_of(webhook_id: str | None, timestamp: str | None, signature: str | None) -> dict[str, str]:
    given = {"webhook-id": webhook_id, "webhook-timestamp": timestamp, "webhook-signature": signature}
    return {name: value for name, value in given.items() if value is not None}


HEADERS = headers_of(MESSAGE_ID, str(AT), SIGNATURE)


def verdict(headers: dict[str, str], body: bytes = BODY, *keys: bytes, now: datetime = NOW) -> bool:
    """Whether it is accepted; a rejection for its form counts as no."""
    try:
        return is_signed(checked_headers(headers, now), body, keys or (KEY,))
    except WebhookRejected:
        return False


def test_the_published_vector_is_accepted() -> None:
    assert verdict(HEADERS)


def test_any_of_several_signatures_counts() -> None:
    others = "v1,AAAAhM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5B"
    assert verdict(headers_of(MESSAGE_ID, str(AT), f"{others} {SIGNATURE}"))


def test_any_of_several_keys_counts() -> None:
    other = signing_key("whsec_" + base64.b64encode(b"k" * 32).decode())
    assert verdict(HEADERS, BODY, other, KEY)
    assert not verdict(HEADERS, BODY, other)


def test_no_key_accepts_nothing() -> None:
    assert not is_signed(checked_headers(HEADERS, NOW), BODY, ())


def test_the_reference_library_and_we_agree_on_random_messages() -> None:
    chance = random.Random(7)
    for _ in range(scaled(1000)):
        body = bytes(chance.randrange(32, 127) for _ in range(chance.randrange(0, 300)))
        secret = "whsec_" + base64.b64encode(chance.randbytes(chance.randrange(24, 64))).decode()
        message_id = f"msg_{chance.getrandbits(64):x}"
        signature = Webhook(secret).sign(message_id, NOW, body.decode())
        assert verdict(headers_of(message_id, str(AT), signature), body, signing_key(secret))
        assert not verdict(headers_of(message_id, str(AT), signature), body + b" ", signing_key(secret))


def test_no_mutation_of_a_signed_message_is_accepted() -> None:
    """I32: one bit of the body, the id, the time or the signature."""
    chance = random.Random(11)
    original = (BODY, MESSAGE_ID.encode(), str(AT).encode(), SIGNATURE.encode())
    accepted = []
    for _ in range(scaled(10_000)):
        parts = [bytearray(part) for part in original]
        part = chance.choice(parts)
        part[chance.randrange(len(part))] ^= 1 << chance.randrange(8)
        body, message_id, timestamp, signature = parts
        headers = headers_of(message_id.decode("latin-1"), timestamp.decode("latin-1"), signature.decode("latin-1"))
        if verdict(headers, bytes(body)):
            accepted.append(parts)
    assert accepted == []


@pytest.mark.parametrize("offset", [-300, 0, 300])
def test_five_minutes_to_either_side_are_tolerated(offset: int) -> None:
    assert verdict(HEADERS, now=datetime.fromtimestamp(AT + offset, UTC))


@pytest.mark.parametrize("offset", [-301, 301, 10**9])
def test_beyond_five_minutes_a_message_is_a_replay(offset: int) -> None:
    assert not verdict(HEADERS, now=datetime.fromtimestamp(AT + offset, UTC))


@pytest.mark.parametrize("byte", range(0x80, 0x100))
@pytest.mark.parametrize("field", ["webhook_id", "timestamp", "signature"])
def test_a_byte_beyond_ascii_in_a_header_is_a_plain_no(byte: int, field: str) -> None:
    """T2: comparing such text as str raises TypeError, which would be a 500."""
    values = {"webhook_id": MESSAGE_ID, "timestamp": str(AT), "signature": SIGNATURE}
    values[field] += chr(byte)
    assert not verdict(headers_of(**values))


@pytest.mark.parametrize(
    "headers",
    [
        headers_of(None, str(AT), SIGNATURE),
        headers_of(MESSAGE_ID, None, SIGNATURE),
        headers_of(MESSAGE_ID, str(AT), None),
        headers_of("", "", ""),
        headers_of(f"{MESSAGE_ID},{MESSAGE_ID}", str(AT), SIGNATURE),
        headers_of(MESSAGE_ID, f"{AT},{AT}", SIGNATURE),
        headers_of(MESSAGE_ID, str(AT), f"{SIGNATURE},{SIGNATURE}"),
        headers_of(MESSAGE_ID, f" {AT}", SIGNATURE),
        headers_of(MESSAGE_ID, f"+{AT}", SIGNATURE),
        headers_of(MESSAGE_ID, f"{AT}.0", SIGNATURE),
        headers_of(MESSAGE_ID, "1" * 5000, SIGNATURE),
        headers_of(MESSAGE_ID, "١٦١٤٢٦٥٣٣٠", SIGNATURE),
        headers_of(MESSAGE_ID, str(AT), SIGNATURE.replace("v1", "v2")),
        headers_of(MESSAGE_ID, str(AT), SIGNATURE.removeprefix("v1,")),
        headers_of(MESSAGE_ID, str(AT), "v1,"),
        headers_of(MESSAGE_ID, str(AT), f"{SIGNATURE}\n"),
        headers_of(f"{MESSAGE_ID}\n", str(AT), SIGNATURE),
        headers_of(MESSAGE_ID, str(AT), " ".join(["v1,AAAA"] * 100)),
        headers_of("m" * 10_000, str(AT), SIGNATURE),
    ],
)
def test_headers_of_another_form_are_refused(headers: dict[str, str]) -> None:
    assert not verdict(headers)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_AAAA", "whsec_" + base64.b64encode(b"k" * 23).decode(), "whsec_€", "whsec_!!!!"]
)
def test_a_short_or_malformed_secret_is_no_secret(secret: str) -> None:
    """T3: an empty key verifies whatever an attacker signs with it."""
    with pytest.raises(SigningKeyUnavailableError):
        signing_key(secret)
