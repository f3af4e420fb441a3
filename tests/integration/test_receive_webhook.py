"""Webhooks as they reach the function: signed by the reference library, and by everyone else (I32–I36, T1–T5)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from functions.http import receive_webhook
from shared.domain import state_keys
from shared.domain.access import LOCAL_ADMIN
from shared.domain.errors import ProviderUnavailableError
from shared.domain.job import JobStatus
from shared.services.jobs.delete_job import DeleteJob
from shared.services.leases import Leases
from shared.services.logs.read_progress import ReadProgress
from shared.services.logs.stored_texts import PROGRESS, StoredTexts
from shared.services.recording.commit_changes import OWN_TRIES
from shared.services.recording.commit_queued import CommitQueued, Delivered
from shared.services.webhooks.receive_webhook import Delivery, Received, ReceiveWebhook
from shared.services.webhooks.webhook_keys import (
    CACHE_SECONDS,
    FETCH_EVERY,
    LOOK_SECONDS,
    OTHERS_ANSWER_SECONDS,
    REREAD_SECONDS,
    webhook_secret_name,
)
from tests.builders import a_job
from tests.engine import WEBHOOK_URL, Engine, an_engine
from tests.proof import scaled

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_" + base64.b64encode(b"another secret of a good length").decode()
JOB = "abcdefgh1234"
PATH = "/api/webhooks/replicate"
Body = dict[str, Any]


@pytest.fixture
def engine() -> Iterator[Engine]:
    with an_engine() as engine:
        engine.system.secrets.put(webhook_secret_name("replicate"), SECRET)
        yield engine


def prediction(status: str = "succeeded", **fields: Any) -> Body:
    """A callback's body in Replicate's hot shape: what is not yet known is absent."""
    body: Body = {
        "id": JOB,
        "model": "simpletuner/advanced-trainer-h100",
        "version": "hidden",
        "input": {"hf_token": "hf_canarycanarycanarycanary0"},
        "output": None,
        "data_removed": False,
        "error": None,
        "status": status,
        "created_at": "2026-03-01T11:50:00.36078514Z",
        "webhook": WEBHOOK_URL,
        "webhook_events_filter": ["start", "completed"],
        "urls": {"get": f"https://api.replicate.com/v1/predictions/{JOB}"},
    }
    if status != "starting":
        body["started_at"] = "2026-03-01T11:51:00.1Z"
    if status in ("succeeded", "failed", "canceled"):
        body |= {"completed_at": "2026-03-01T11:59:00.123456789Z", "metrics": {"predict_time": 480.5}}
    return body | fields


def signed(engine: Engine, raw: bytes, *, webhook_id: str = "msg_1", secret: str = SECRET) -> dict[str, str]:
    now = engine.system.clock.now()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, now, raw.decode()),
        "content-type": "application/json",
        "user-agent": "Webhooks/1.66.0 (sender-9YMgn)",
    }


def call(
    raw: bytes,
    headers: Mapping[str, str],
    *,
    path: str = PATH,
    query: str = "",
    source_ip: str = "44.228.126.217",
    is_base64: bool = False,
) -> dict[str, Any]:
    """One event of the HTTP API (payload 2.0) through the Lambda handler; `json` is the answer's body."""
    event = {
        "version": "2.0",
        "routeKey": f"POST {path}",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "jobs.example.com", "content-length": str(len(raw)), **headers},
        "requestContext": {
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": source_ip, "userAgent": "x"},
            "stage": "$default",
        },
        "body": base64.b64encode(raw).decode() if is_base64 else raw.decode("utf-8", "surrogateescape"),
        "isBase64Encoded": is_base64,
    }
    answer = receive_webhook.handler(event, SimpleNamespace())
    return {**answer, "json": json.loads(answer["body"])}


def deliver(engine: Engine, body: Body, *, webhook_id: str = "msg_1", **how: Any) -> dict[str, Any]:
    raw = json.dumps(body).encode()
    secret = how.pop("secret", SECRET)
    return call(raw, signed(engine, raw, webhook_id=webhook_id, secret=secret), **how)


def delivery(engine: Engine, body: Body, *, webhook_id: str = "msg_1") -> Delivery:
    """The same, as the use case gets it."""
    raw = json.dumps(body).encode()
    return Delivery(provider="replicate", body=raw, headers=signed(engine, raw, webhook_id=webhook_id))


@pytest.mark.parametrize("path", [PATH, "/api/cloud/webhook/replicate"])
@pytest.mark.parametrize("is_base64", [False, True])
def test_a_genuine_webhook_of_an_unknown_job_is_imported(engine: Engine, path: str, is_base64: bool) -> None:
    answer = deliver(engine, prediction(), path=path, is_base64=is_base64)
    assert (answer["statusCode"], answer["json"]) == (200, {"status": "received", "job_id": JOB})
    job = engine.job(JOB)
    assert job.status is JobStatus.COMPLETED
    assert float(job.cost_usd or 0) == pytest.approx(480.5 * 0.001525)
    assert job.webhook_covered is False


def test_a_job_whose_webhook_is_ours_counts_as_covered(engine: Engine) -> None:
    engine.configure(webhook_url=WEBHOOK_URL)
    deliver(engine, prediction("processing", webhook=f"{WEBHOOK_URL}?job=somejob1"))
    assert engine.job(JOB).webhook_covered is True


def test_a_training_in_the_cold_shape_is_read_as_well(engine: Engine) -> None:
    body = prediction(
        "failed",
        error="CUDA out of memory",
        output={"version": "o/n:abc", "weights": "https://replicate.delivery/w.tar"},
        metrics={},
        logs="",
        urls={"get": f"https://api.replicate.com/v1/trainings/{JOB}"},
    )
    assert deliver(engine, body)["statusCode"] == 200
    assert (engine.job(JOB).status, engine.job(JOB).error_message) == (JobStatus.FAILED, "CUDA out of memory")
    assert engine.job(JOB).kind == "training"


def test_the_body_counts_as_it_was_sent_not_as_it_could_be_written(engine: Engine) -> None:
    raw = json.dumps(prediction(), indent=3, ensure_ascii=False).encode() + b"\n\n"
    assert call(raw, signed(engine, raw))["statusCode"] == 200


def test_the_same_id_again_has_no_effect_and_is_answered_well(engine: Engine) -> None:
    """I33"""
    deliver(engine, prediction("processing"))
    before = engine.system.stores.events.head().seq
    again = deliver(engine, prediction("succeeded"), webhook_id="msg_1")
    assert (again["statusCode"], again["json"]) == (200, {"status": "received", "job_id": JOB})
    assert engine.system.stores.events.head().seq == before
    assert engine.job(JOB).status is JobStatus.RUNNING
    assert engine.system.telemetry.counts["WebhookDuplicate"] == 1


def test_a_webhook_that_changes_nothing_leaves_no_mark(engine: Engine) -> None:
    deliver(engine, prediction("processing"))
    deliver(engine, prediction("processing"), webhook_id="msg_2")
    assert list(engine.system.stores.delivery_rows) == ["replicate#msg_1"]


def test_a_late_start_never_reopens_a_completed_job(engine: Engine) -> None:
    deliver(engine, prediction("succeeded"), webhook_id="msg_2")
    assert deliver(engine, prediction("processing"), webhook_id="msg_1")["statusCode"] == 200
    assert engine.job(JOB).status is JobStatus.COMPLETED


def test_twins_at_the_same_moment_have_one_effect(engine: Engine) -> None:
    """I33: two deliveries of one id, both past the check of its id."""
    twin = delivery(engine, prediction("succeeded"))
    received = []
    engine.system.stores.before_commit(lambda _: received.append(engine.system.wiring.use(ReceiveWebhook).run(twin)))
    answer = deliver(engine, prediction("succeeded"))
    assert (answer["statusCode"], answer["json"]["job_id"], received[0].job_id) == (200, JOB, JOB)
    assert engine.system.stores.events.head().seq == 1
    assert engine.job(JOB).version == 1


def test_many_twins_in_threads_have_one_effect(engine: Engine) -> None:
    deliver(engine, prediction("processing"), webhook_id="msg_0")
    twin = delivery(engine, prediction("succeeded"), webhook_id="msg_9")
    results: list[Received] = []

    def once() -> None:
        results.append(engine.system.wiring.use(ReceiveWebhook).run(twin))

    threads = [threading.Thread(target=once) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert engine.system.stores.events.head().seq == 2


def test_an_early_webhook_binds_the_job_that_its_url_names(engine: Engine) -> None:
    """I7, I34: the create's answer is not there yet, the webhook is."""
    stores = engine.system.stores
    waiting = a_job("ourjob12", JobStatus.PENDING, external_id=None, version=1)
    stores.put_job("ourjob12", waiting)
    answer = deliver(engine, prediction("processing"), query="job=ourjob12")
    assert answer["json"]["job_id"] == "ourjob12"
    assert engine.job("ourjob12").external_id == JOB
    assert JOB not in stores.job_rows
    assert deliver(engine, prediction("succeeded"), webhook_id="msg_2")["json"]["job_id"] == "ourjob12"


@pytest.mark.parametrize(
    "query", ["job=", "job=../../x", "job=a%00b", "job=" + "x" * 5000, "job=unknown1", "job=%F0%28"]
)
def test_a_hint_that_fits_nothing_does_no_harm(engine: Engine, query: str) -> None:
    answer = deliver(engine, prediction(), query=query)
    assert answer["json"] == {"status": "received", "job_id": JOB}


def test_a_deleted_job_stays_deleted(engine: Engine) -> None:
    deliver(engine, prediction("succeeded"))
    engine.system.wiring.use(DeleteJob).run(engine.job(JOB), LOCAL_ADMIN)
    answer = deliver(engine, prediction("succeeded"), webhook_id="msg_2")
    assert (answer["statusCode"], answer["json"]["job_id"]) == (200, None)
    assert JOB not in engine.system.stores.job_rows


def test_a_deleted_remote_job_never_comes_back_as_the_waiting_job_that_its_url_names(engine: Engine) -> None:
    deliver(engine, prediction("succeeded"))
    engine.system.wiring.use(DeleteJob).run(engine.job(JOB), LOCAL_ADMIN)
    stores = engine.system.stores
    stores.put_job("ourjob12", a_job("ourjob12", JobStatus.PENDING, external_id=None, version=1))
    answer = deliver(engine, prediction("succeeded"), webhook_id="msg_2", query="job=ourjob12")
    assert (answer["statusCode"], answer["json"]["job_id"]) == (200, None)
    assert engine.job("ourjob12").external_id is None


@pytest.mark.parametrize("status", [JobStatus.CANCELLED, JobStatus.FAILED])
def test_a_job_that_was_given_up_here_is_not_reopened_by_its_webhook(engine: Engine, status: JobStatus) -> None:
    """What runs at the provider all the same is shown as what it is, since it costs money."""
    engine.system.stores.put_job("ourjob12", a_job("ourjob12", status, external_id=None, version=1))
    answer = deliver(engine, prediction("processing"), query="job=ourjob12")
    assert answer["json"]["job_id"] == JOB
    assert (engine.job("ourjob12").status, engine.job(JOB).status) == (status, JobStatus.RUNNING)


def test_a_flood_of_forgeries_at_many_processes_makes_one_call_a_minute(engine: Engine) -> None:
    system = engine.system
    system.provider.secret = SECRET
    for second in range(0, 120, 10):
        for _ in range(3):
            system.start_another_process()
            answer = deliver(engine, prediction(), webhook_id=f"msg_{second}", secret=OTHER_SECRET)
            assert answer["statusCode"] == 401
        system.clock.advance(10)
    assert system.provider.calls["webhook_secret"] == 2


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("webhook-id", "msg_2"),
        ("webhook-id", None),
        ("webhook-timestamp", None),
        ("webhook-timestamp", "0"),
        ("webhook-timestamp", "99999999999"),
        ("webhook-signature", None),
        ("webhook-signature", "v1,AAAA"),
        ("webhook-signature", "v1a,AAAA"),
        ("webhook-signature", "é"),
        ("webhook-signature", "v1,AAAA,v1,BBBB"),
    ],
)
def test_every_doubt_is_answered_with_the_same_401(engine: Engine, change: str, value: str | None) -> None:
    """T27, and before the signature holds nothing is parsed, stored or looked up (I32)."""
    raw = json.dumps(prediction()).encode()
    headers = signed(engine, raw) | {change: value or ""}
    answer = call(raw, {name: text for name, text in headers.items() if text})
    unsigned = call(b"{", {})
    assert answer["statusCode"] == unsigned["statusCode"] == 401
    assert answer["body"] == unsigned["body"]
    assert not engine.system.stores.job_rows
    assert "jobs.snapshot" not in engine.system.stores.usage


def test_no_mutation_of_a_signed_request_gets_through(engine: Engine) -> None:
    """I32, through the whole function, gateway encoding and all."""
    chance = random.Random(3)
    raw = json.dumps(prediction()).encode()
    headers = signed(engine, raw)
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    for _ in range(scaled(1000)):
        body, altered = bytearray(raw), dict(headers)
        target = chance.choice(["body", *names])
        if target == "body":
            body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
        else:
            text = bytearray(altered[target].encode())
            text[chance.randrange(len(text))] ^= 1 << chance.randrange(8)
            altered[target] = text.decode("latin-1")
        assert call(bytes(body), altered, is_base64=True)["statusCode"] == 401
    assert not engine.system.stores.job_rows


def test_a_replayed_webhook_is_refused_after_five_minutes(engine: Engine) -> None:
    """T1"""
    raw = json.dumps(prediction()).encode()
    headers = signed(engine, raw)
    engine.system.clock.advance(301)
    assert call(raw, headers)["statusCode"] == 401


def test_a_body_over_the_cap_is_refused_before_anything(engine: Engine) -> None:
    raw = b"x" * 5_000_001
    assert call(raw, {})["statusCode"] == 413
    assert call(b"{}", {"content-length": "9" * 30})["statusCode"] == 413
    assert call(raw, {"content-length": "2"})["statusCode"] == 413
    assert engine.system.stores.total_usage.calls == 0


def test_a_body_of_just_five_megabytes_is_taken(engine: Engine) -> None:
    body = prediction("processing", logs="")
    body["logs"] = "x" * (5_000_000 - len(json.dumps(body)))
    assert deliver(engine, body)["statusCode"] == 200


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, identity", "x"])
def test_an_encoded_body_is_refused(engine: Engine, encoding: str) -> None:
    raw = json.dumps(prediction()).encode()
    answer = call(raw, {**signed(engine, raw), "content-encoding": encoding})
    assert answer["statusCode"] == 415


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"<html></html>",
        b'{"id": "abcdefgh1234", "status": NaN}',
        b'{"id": "abcdefgh1234", "status": "succeeded", "metrics": {"predict_time": Infinity}}',
        b'{"id": "abcdefgh1234", "id": "zzzzzzzz9999", "status": "succeeded"}',
        b'{"id": "abcdefgh1234", "status": "succeeded", "n": ' + b"9" * 5000 + b"}",
        b'{"id": "abcdefgh1234", "status": "succeeded", "n": 1e' + b"9" * 5000 + b"}",
        b'{"id": "abcdefgh1234", "status": "succeeded", "n": ' + b"[" * 33 + b"]" * 33 + b"}",
        b'{"id": "abcdefgh1234", "status": "succeeded", "n": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"id": "abcdefgh1234", "status": "succeeded"}'.decode().encode("utf-16"),
        b'{"status": "succeeded"}',
        b'{"id": "../../x", "status": "succeeded"}',
        b'{"id": 7, "status": "succeeded"}',
        b'{"id": "abcdefgh1234"}',
        b'{"id": "abcdefgh1234", "status": null}',
    ],
)
def test_a_signed_body_that_is_no_job_is_400(engine: Engine, raw: bytes) -> None:
    """T5"""
    now = engine.system.clock.now()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": sign_bytes(raw, int(now.timestamp())),
    }
    answer = call(raw, headers, is_base64=True)
    assert answer["statusCode"] == 400
    assert isinstance(answer["json"]["detail"], str)
    assert not engine.system.stores.job_rows


def sign_bytes(raw: bytes, at: int) -> str:
    """As the reference library does, for bodies that are no text."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.digest(key, f"msg_1.{at}.".encode() + raw, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def test_replicates_own_oddities_are_taken(engine: Engine) -> None:
    """Raw control characters in logs, and `model` twice, the last one counting."""
    raw = json.dumps(prediction("processing")).encode()[:-1] + b', "model": "o/second", "logs": "a\x01\tb\nc"}'
    assert call(raw, signed(engine, raw))["statusCode"] == 200
    assert engine.job(JOB).model == "o/second"


def test_an_unknown_status_changes_nothing_but_is_kept(engine: Engine) -> None:
    """I4"""
    deliver(engine, prediction("processing"))
    assert deliver(engine, prediction("rebooting"), webhook_id="msg_2")["statusCode"] == 200
    assert (engine.job(JOB).status, engine.job(JOB).provider_status) == (JobStatus.RUNNING, "rebooting")


def test_the_secret_is_fetched_once_and_kept(engine: Engine) -> None:
    engine.system.secrets.delete(webhook_secret_name("replicate"))
    engine.system.provider.secret = SECRET
    for number in range(5):
        assert deliver(engine, prediction(), webhook_id=f"msg_{number}")["statusCode"] == 200
    assert engine.system.provider.calls["webhook_secret"] == 1
    assert engine.system.secrets.get(webhook_secret_name("replicate")) == SECRET


def test_the_first_webhooks_wait_for_the_one_process_that_fetches_the_secret(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come together, and a 503 would be a fault that nobody made."""
    secrets, clock = engine.system.secrets, engine.system.clock
    secrets.delete(webhook_secret_name("replicate"))
    assert engine.system.wiring.use(Leases).take(state_keys.webhook_secret_asked("replicate"), life=FETCH_EVERY)

    def sleep(seconds: float) -> None:
        clock.advance(seconds)
        if clock.monotonic() - began >= 1:
            secrets.values[webhook_secret_name("replicate")] = SECRET

    began = clock.monotonic()
    monkeypatch.setattr(clock, "sleep", sleep)
    assert deliver(engine, prediction())["statusCode"] == 200
    assert engine.system.provider.calls.total() == 0


def test_who_waits_in_vain_for_the_secret_waits_once_a_minute(engine: Engine) -> None:
    clock = engine.system.clock
    engine.system.secrets.delete(webhook_secret_name("replicate"))
    assert engine.system.wiring.use(Leases).take(state_keys.webhook_secret_asked("replicate"), life=FETCH_EVERY)
    began = clock.monotonic()
    for number in range(10):
        assert deliver(engine, prediction(), webhook_id=f"msg_{number}")["statusCode"] == 503
    assert clock.monotonic() - began <= OTHERS_ANSWER_SECONDS + LOOK_SECONDS


def test_a_forged_webhook_costs_no_request_to_the_store(engine: Engine) -> None:
    """I32: nothing is looked up before the signature holds."""
    deliver(engine, prediction("starting"), webhook_id="msg_0")
    engine.system.provider.secret = SECRET
    deliver(engine, prediction(), webhook_id="msg_1", secret=OTHER_SECRET)
    engine.system.stores.reset_usage()
    assert deliver(engine, prediction(), webhook_id="msg_2", secret=OTHER_SECRET)["statusCode"] == 401
    assert engine.system.stores.total_usage.requests == 0


def test_once_the_secret_is_known_a_webhook_costs_no_provider_call_and_two_requests(engine: Engine) -> None:
    deliver(engine, prediction("starting"), webhook_id="msg_0")
    for number, body in enumerate((prediction("processing"), prediction("succeeded"), prediction("succeeded"))):
        engine.system.stores.reset_usage()
        deliver(engine, body, webhook_id=f"msg_{number + 1}")
        assert engine.system.stores.total_usage.requests <= 2
    assert engine.system.provider.calls.total() == 0


def test_a_first_webhook_of_a_bound_job_costs_two_requests(engine: Engine) -> None:
    deliver(engine, prediction("starting", id="zzzzzzzz9999"), webhook_id="msg_0")
    engine.system.stores.put_job("ourjob12", a_job("ourjob12", JobStatus.PENDING, external_id=JOB, version=1))
    engine.system.stores.reset_usage()
    answer = deliver(engine, prediction("processing"), query="job=ourjob12")
    assert answer["json"]["job_id"] == "ourjob12"
    assert engine.system.stores.total_usage.requests <= 2


def test_a_rotated_secret_is_fetched_and_the_previous_one_still_counts(engine: Engine) -> None:
    """I36"""
    deliver(engine, prediction("starting"), webhook_id="msg_0")
    engine.system.provider.secret = OTHER_SECRET
    assert deliver(engine, prediction("processing"), webhook_id="msg_1", secret=OTHER_SECRET)["statusCode"] == 200
    assert deliver(engine, prediction("succeeded"), webhook_id="msg_2", secret=SECRET)["statusCode"] == 200
    assert engine.system.secrets.get(webhook_secret_name("replicate")) == f"{OTHER_SECRET} {SECRET}"


def test_a_key_that_another_process_has_stored_counts_without_a_call(engine: Engine) -> None:
    """Although this process remembers the old one, and the provider was asked for its secret a moment ago."""
    deliver(engine, prediction("starting"), webhook_id="msg_0")
    engine.system.provider.secret = SECRET
    assert deliver(engine, prediction(), webhook_id="msg_1", secret=OTHER_SECRET)["statusCode"] == 401
    engine.system.clock.advance(REREAD_SECONDS)
    engine.system.provider.calls.clear()
    engine.system.secrets.values[webhook_secret_name("replicate")] = f"{OTHER_SECRET} {SECRET}"
    assert deliver(engine, prediction("processing"), webhook_id="msg_1", secret=OTHER_SECRET)["statusCode"] == 200
    assert engine.system.provider.calls.total() == 0


def test_a_silent_secret_store_does_not_take_the_known_keys_away(engine: Engine) -> None:
    """I36: what this process knows goes on judging, and a rotated secret still comes from the provider."""
    deliver(engine, prediction("starting"), webhook_id="msg_0")
    engine.system.provider.secret = SECRET
    engine.system.secrets.remembered.clear()
    engine.system.secrets.is_down = True
    engine.system.clock.advance(CACHE_SECONDS + 1)
    assert deliver(engine, prediction("processing"), webhook_id="msg_1")["statusCode"] == 200
    assert deliver(engine, prediction(), webhook_id="msg_2", secret=OTHER_SECRET)["statusCode"] == 401
    engine.system.clock.advance(61)
    engine.system.provider.secret = OTHER_SECRET
    assert deliver(engine, prediction(), webhook_id="msg_3", secret=OTHER_SECRET)["statusCode"] == 200
    assert deliver(engine, prediction(), webhook_id="msg_4", secret=SECRET)["statusCode"] == 200
    engine.system.secrets.is_down = False
    assert engine.system.secrets.get(webhook_secret_name("replicate")) == SECRET


def test_forgeries_make_us_ask_for_the_secret_once_a_minute_at_most(engine: Engine) -> None:
    engine.system.provider.secret = SECRET
    for number in range(200):
        answer = deliver(engine, prediction(), webhook_id=f"msg_{number}", secret=OTHER_SECRET)
        assert answer["statusCode"] == 401
        engine.system.clock.advance(1)
    assert engine.system.provider.calls["webhook_secret"] <= 4


def test_without_any_key_it_is_503_and_never_401(engine: Engine) -> None:
    """I36"""
    engine.system.secrets.delete(webhook_secret_name("replicate"))
    engine.system.provider.fail("webhook_secret", *[ProviderUnavailableError("Replicate did not answer.")] * 5)
    assert deliver(engine, prediction())["statusCode"] == 503
    assert engine.system.telemetry.counts["WebhookKeyMissing"] == 1
    engine.system.clock.advance(61)
    engine.system.provider.secret = "whsec_c2hvcnQ="
    engine.system.provider._failures.clear()
    assert deliver(engine, prediction())["statusCode"] == 503
    engine.system.clock.advance(61)
    engine.system.provider.secret = SECRET
    assert deliver(engine, prediction())["statusCode"] == 200


def test_a_stored_secret_that_is_too_short_is_never_used(engine: Engine) -> None:
    """T3"""
    engine.system.secrets.put(webhook_secret_name("replicate"), "whsec_")
    engine.system.provider.secret = SECRET
    raw = json.dumps(prediction()).encode()
    at = int(engine.system.clock.now().timestamp())
    empty = base64.b64encode(hmac.digest(b"", f"msg_1.{at}.".encode() + raw, hashlib.sha256)).decode()
    answer = call(raw, {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": f"v1,{empty}"})
    assert answer["statusCode"] == 401


def test_every_fault_of_the_store_is_a_5xx_or_a_durable_yes(engine: Engine) -> None:
    """I35: each call fails in turn; what was answered with 2xx is recorded, here or in the queue."""
    for failing in range(1, 8):
        with an_engine() as fresh:
            fresh.system.secrets.put(webhook_secret_name("replicate"), SECRET)
            fresh.system.queue.is_down = failing % 2 == 0
            fresh.system.stores.faults.throttle_call(*range(failing, failing + 30))
            answer = deliver(fresh, prediction())
            is_kept = JOB in fresh.system.stores.job_rows or bool(fresh.system.queue.messages)
            assert (answer["statusCode"] == 200) == is_kept
            if not is_kept:
                assert answer["statusCode"] == 503
                assert not fresh.system.stores.delivery_rows


def test_what_the_store_could_not_take_is_queued_with_its_delivery_id_and_told_once(engine: Engine) -> None:
    stores = engine.system.stores
    deliver(engine, prediction("starting"), webhook_id="msg_0")
    stores.faults.conflict_on_commit(1, 2, 3, 4)
    assert deliver(engine, prediction("succeeded"))["statusCode"] == 200
    stores.faults.clear()
    (message,) = engine.system.queue.drain()
    assert engine.job(JOB).status is JobStatus.QUEUED
    assert engine.system.wiring.use(CommitQueued).run([Delivered(message, "")] * 2) == []
    assert engine.job(JOB).status is JobStatus.COMPLETED
    assert "replicate#msg_1" in stores.delivery_rows
    assert deliver(engine, prediction("succeeded"))["statusCode"] == 200
    assert stores.events.head().seq == 2


def test_while_others_are_in_the_way_for_ever_every_change_is_queued_and_told_in_the_end(engine: Engine) -> None:
    stores = engine.system.stores
    names = [f"{number:02d}{JOB[2:]}" for number in range(10)]
    for name in names:
        deliver(engine, prediction("starting", id=name), webhook_id=f"first_{name}")
    stores.faults.conflict_on_commit(*range(1, 100))
    for name in names:
        stores.reset_usage()
        assert deliver(engine, prediction("succeeded", id=name), webhook_id=f"last_{name}")["statusCode"] == 200
        assert stores.usage["jobs.commit"].calls == OWN_TRIES
    stores.faults.clear()
    assert {engine.job(name).status for name in names} == {JobStatus.QUEUED}
    stores.reset_usage()
    assert (
        engine.system.wiring.use(CommitQueued).run([Delivered(body, "") for body in engine.system.queue.drain()]) == []
    )
    assert {engine.job(name).status for name in names} == {JobStatus.COMPLETED}
    assert stores.usage["jobs.commit"].calls == 1


@pytest.mark.parametrize(
    ("allowed", "source_ip", "status"),
    [
        (["44.228.126.217"], "44.228.126.217", 200),
        (["44.228.0.0/16", "nonsense"], "44.228.126.217", 200),
        ("10.0.0.1, 44.228.126.217", "44.228.126.217", 200),
        (["2001:db8::/32"], "2001:db8::7", 200),
        (["10.0.0.1"], "44.228.126.217", 401),
        (["nonsense"], "44.228.126.217", 401),
        (["0.0.0.0/0"], "", 401),
        ([], "44.228.126.217", 200),
        ("", "44.228.126.217", 200),
    ],
)
def test_the_allowlist_judges_the_network_peer(engine: Engine, allowed: object, source_ip: str, status: int) -> None:
    engine.configure(webhook_allowed_ips=allowed)
    assert deliver(engine, prediction(), source_ip=source_ip)["statusCode"] == status


def test_a_forwarded_header_never_opens_the_allowlist(engine: Engine) -> None:
    """T16"""
    engine.configure(webhook_allowed_ips=["10.0.0.1"])
    raw = json.dumps(prediction()).encode()
    headers = signed(engine, raw) | {
        "x-forwarded-for": "10.0.0.1",
        "x-real-ip": "10.0.0.1",
        "forwarded": "for=10.0.0.1",
    }
    assert call(raw, headers)["statusCode"] == 401


def test_a_log_in_the_body_spares_the_next_look_at_the_progress(engine: Engine) -> None:
    deliver(engine, prediction("processing", logs="Epoch 1/2\nstep 500/2000\n"))
    shown = engine.system.wiring.use(ReadProgress).run(engine.job(JOB))
    assert shown is not None
    assert shown.progress.percent == 25.0
    assert engine.system.provider.calls.total() == 0


def test_a_log_body_right_after_another_writes_nothing_at_all(engine: Engine) -> None:
    deliver(engine, prediction("processing", logs="step 500/2000\n"), webhook_id="msg_1")
    engine.system.clock.advance(1.9)
    stores = engine.system.stores
    stores.reset_usage()
    deliver(engine, prediction("processing", logs="step 510/2000\n"), webhook_id="msg_2")
    assert stores.total_usage.items_written == 0
    engine.system.clock.advance(0.2)
    deliver(engine, prediction("processing", logs="step 520/2000\n"), webhook_id="msg_3")
    kept = engine.system.wiring.use(StoredTexts).progress(engine.job(JOB).job_id)
    assert kept is not None
    assert kept.progress.step == 520
    assert list(stores.delivery_rows) == ["replicate#msg_1"]


def test_the_log_of_an_ended_job_is_no_progress(engine: Engine) -> None:
    deliver(engine, prediction("succeeded", logs="step 2000/2000\n"))
    assert (JOB, PROGRESS) not in engine.system.stores.text_rows


def test_no_secret_and_no_input_shows_in_an_answer_or_a_row(engine: Engine) -> None:
    answer = deliver(engine, prediction("failed", error="bad token r8_canarycanarycanarycanary00"))
    shown = json.dumps(answer) + repr(engine.system.stores.job_rows) + repr(engine.system.stores.commit_rows)
    assert "canary" not in shown
    assert SECRET not in shown + repr(engine.system.telemetry.records)


def test_a_genuine_body_is_never_older_than_its_provider_says(engine: Engine) -> None:
    """The times of the job are the provider's, not those of the delivery."""
    engine.system.clock.advance(3600)
    deliver(engine, prediction())
    job = engine.job(JOB)
    assert job.completed_at is not None
    assert engine.system.clock.now() - job.completed_at > timedelta(minutes=60)
