"""Webhooks come as the provider's sender sends them, and go wrong on demand."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from infra.simulators.replicate import RunningSimulator, running_simulator
from tests.simulators.replicate.webhook_receiver import Received, Receiver, webhook_receiver

ALL_EVENTS = ["start", "output", "logs", "completed"]


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    with running_simulator(seed=2, webhook_retry_seconds=0.6) as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as receiving:
        yield receiving


def short_job(simulator: RunningSimulator, receiver: Receiver, events: list[str] | None, **changes: object) -> str:
    settings = {"boot_seconds": 0.1, "run_seconds": 0.2, **changes}
    return simulator.control.create_job(webhook=receiver.url, webhook_events=events, **settings)  # type: ignore[arg-type]


def verify(simulator: RunningSimulator, received: Received) -> None:
    Webhook(simulator.control.webhook_secret).verify(received.body, received.headers, json_parse=False)


def test_deliveries_are_signed_and_named_as_the_real_ones(simulator: RunningSimulator, receiver: Receiver) -> None:
    short_job(simulator, receiver, ["start", "completed"])
    start, completed = receiver.wait_for(2)
    for received in (start, completed):
        verify(simulator, received)
        assert received.headers["user-agent"] == "Webhooks/1.66.0 (sender-9YMgn)"
        assert received.headers["webhook-id"].startswith("msg_")
    assert start.headers["webhook-id"] != completed.headers["webhook-id"]
    assert start.json["status"] == "processing"
    assert not {"metrics", "completed_at"} & start.json.keys()
    assert completed.json["status"] == "succeeded"
    assert completed.json["metrics"].keys() == {"predict_time"}
    assert completed.json["webhook"] == receiver.url
    assert completed.json["webhook_events_filter"] == ["start", "completed"]


def test_any_changed_byte_spoils_the_signature(simulator: RunningSimulator, receiver: Receiver) -> None:
    short_job(simulator, receiver, ["completed"])
    received = receiver.wait_for(1)[0]
    with pytest.raises(WebhookVerificationError):
        verify(simulator, Received(received.headers, received.body.replace(b"succeeded", b"processing")))


def test_without_a_filter_only_output_and_completed_are_told(simulator: RunningSimulator, receiver: Receiver) -> None:
    short_job(simulator, receiver, None)
    output, completed = receiver.wait_for(2)
    by_status = {received.json["status"]: received.json for received in (output, completed)}
    assert by_status.keys() == {"processing", "succeeded"}
    assert by_status["processing"]["output"] == by_status["succeeded"]["output"]
    assert "webhook_events_filter" not in by_status["succeeded"]
    assert receiver.stays_at(2)


def test_an_empty_filter_tells_nothing(simulator: RunningSimulator, receiver: Receiver) -> None:
    short_job(simulator, receiver, [])
    assert receiver.stays_at(0)


def test_logs_are_told_at_most_every_half_second(simulator: RunningSimulator, receiver: Receiver) -> None:
    job_id = short_job(simulator, receiver, ["logs"], boot_seconds=0.0, run_seconds=60.0)
    receiver.wait_for(4)
    times = [delivery.at for delivery in simulator.control.deliveries(job_id)][:4]
    assert all(later - earlier > 0.4 for earlier, later in pairwise(times))
    lengths = [len(received.json["logs"]) for received in receiver.received[:4]]
    assert lengths == sorted(lengths)


def test_terminal_webhook_is_tried_again_with_the_same_id(simulator: RunningSimulator, receiver: Receiver) -> None:
    receiver.answers = [500, 404, 302]
    short_job(simulator, receiver, ["completed"])
    received = receiver.wait_for(4)
    assert len({delivery.headers["webhook-id"] for delivery in received}) == 1
    assert len({delivery.body for delivery in received}) == 1
    assert receiver.stays_at(4)


def test_terminal_webhook_is_given_up_after_seven_attempts(simulator: RunningSimulator, receiver: Receiver) -> None:
    receiver.then = 503
    job_id = short_job(simulator, receiver, ["completed"])
    receiver.wait_for(7)
    assert receiver.stays_at(7)
    assert [delivery.attempt for delivery in simulator.control.deliveries(job_id)] == list(range(1, 8))


def test_intermediate_webhook_is_never_tried_again(simulator: RunningSimulator, receiver: Receiver) -> None:
    receiver.then = 500
    short_job(simulator, receiver, ["start"], run_seconds=600.0)
    receiver.wait_for(1)
    assert receiver.stays_at(1, 1.0)


def test_unreachable_receiver_harms_nobody_else(simulator: RunningSimulator, receiver: Receiver) -> None:
    lost = simulator.control.create_job(
        boot_seconds=0, run_seconds=0.1, webhook="http://127.0.0.1:9/", webhook_events=["completed"]
    )
    short_job(simulator, receiver, ["completed"])
    receiver.wait_for(1)
    assert {delivery.status for delivery in simulator.control.deliveries(lost)} == {0}


def test_canceled_before_the_start_tells_only_completed(simulator: RunningSimulator, receiver: Receiver) -> None:
    job_id = short_job(simulator, receiver, ALL_EVENTS, boot_seconds=600.0)
    simulator.control.end_job(job_id, "canceled")
    assert receiver.wait_for(1)[0].json["status"] == "canceled"
    assert receiver.stays_at(1)


def test_aborted_job_tells_nothing_unless_set(simulator: RunningSimulator, receiver: Receiver) -> None:
    short_job(simulator, receiver, ALL_EVENTS, outcome="aborted")
    assert receiver.stays_at(0)
    simulator.control.set(aborted_sends_webhook=True)
    short_job(simulator, receiver, ALL_EVENTS, outcome="aborted")
    assert receiver.wait_for(1)[0].json["status"] == "aborted"


def test_start_is_told_even_when_time_jumps_over_the_run(simulator: RunningSimulator, receiver: Receiver) -> None:
    short_job(simulator, receiver, ["start", "completed"], boot_seconds=100.0, run_seconds=100.0)
    simulator.control.jump(1000)
    statuses = {received.json["status"] for received in receiver.wait_for(2)}
    assert statuses == {"processing", "succeeded"}
    verify(simulator, receiver.received[0])


def test_duplicates_have_the_same_id_and_body(simulator: RunningSimulator, receiver: Receiver) -> None:
    simulator.control.set_webhooks(duplicates=2)
    short_job(simulator, receiver, ["completed"])
    received = receiver.wait_for(3)
    assert len({(delivery.headers["webhook-id"], delivery.body) for delivery in received}) == 1


def test_reordered_start_comes_after_completed(simulator: RunningSimulator, receiver: Receiver) -> None:
    simulator.control.set_webhooks(reorder=True)
    short_job(simulator, receiver, ["start", "completed"])
    assert [received.json["status"] for received in receiver.wait_for(2)] == ["succeeded", "processing"]


def test_dropped_webhook_never_comes(simulator: RunningSimulator, receiver: Receiver) -> None:
    simulator.control.set_webhooks(drop_next=1, events=["completed"])
    job_id = short_job(simulator, receiver, ["start", "completed"])
    receiver.wait_for(1)
    assert receiver.stays_at(1)
    assert [delivery.event for delivery in simulator.control.deliveries(job_id) if delivery.dropped] == ["completed"]


def test_delayed_webhook_comes_late(simulator: RunningSimulator, receiver: Receiver) -> None:
    simulator.control.set_webhooks(delay_seconds=0.8)
    short_job(simulator, receiver, ["completed"])
    assert receiver.stays_at(0, 0.7)
    receiver.wait_for(1)


def test_two_signatures_hold_the_true_one_second(simulator: RunningSimulator, receiver: Receiver) -> None:
    simulator.control.set_webhooks(two_signatures=True)
    short_job(simulator, receiver, ["completed"])
    received = receiver.wait_for(1)[0]
    other, true = received.headers["webhook-signature"].split(" ")
    verify(simulator, received)
    verify(simulator, Received({**received.headers, "webhook-signature": true}, received.body))
    with pytest.raises(WebhookVerificationError):
        verify(simulator, Received({**received.headers, "webhook-signature": other}, received.body))


def test_bad_signature_does_not_verify(simulator: RunningSimulator, receiver: Receiver) -> None:
    simulator.control.set_webhooks(bad_signature=True)
    short_job(simulator, receiver, ["completed"])
    with pytest.raises(WebhookVerificationError):
        verify(simulator, receiver.wait_for(1)[0])


def test_rotated_secret_signs_from_then_on(simulator: RunningSimulator, receiver: Receiver) -> None:
    before = simulator.control.webhook_secret
    assert simulator.control.rotate_secret() != before
    short_job(simulator, receiver, ["completed"])
    verify(simulator, receiver.wait_for(1)[0])
