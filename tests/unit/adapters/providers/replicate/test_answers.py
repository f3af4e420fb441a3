"""What is read from Replicate's bodies: both shapes, every trap, and nothing that could hurt later."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.providers.json_body import read_object
from shared.adapters.providers.replicate.answers import (
    full_log,
    is_external_id,
    is_page_query,
    kind_of,
    look_from_body,
    observation_from_body,
    output_url,
    page_from_body,
    problem_from_body,
)
from shared.adapters.providers.replicate.profile import HARDWARE, PREDICTION, PROFILE, TRAINING
from shared.adapters.providers.texts import FULL_LOG_BYTES, LOG_TAIL_BYTES
from shared.domain.errors import ProviderAnswerInvalidError
from shared.domain.job import JobStatus
from shared.domain.observation import Observation, first_observed

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ID = "rrr4z55ocneqzikepnug6xezpe"
LIST_URL = "https://api.replicate.com/v1/predictions"
RECORDED = Path(__file__).parents[6] / "shared" / "replicate-payloads"

HOT_STARTING: dict[str, object] = {
    "id": ID,
    "model": "simpletuner/advanced-trainer-h100",
    "version": "dp-0123",
    "input": {"hf_token": "hf_canary"},
    "logs": "",
    "error": None,
    "status": "starting",
    "created_at": "2026-03-01T11:59:08.36078514Z",
    "urls": {"get": f"https://api.replicate.com/v1/predictions/{ID}"},
}
COLD_SUCCEEDED: dict[str, object] = {
    "completed_at": "2026-03-01T11:59:12.170420Z",
    "created_at": "2026-03-01T11:59:08.363000Z",
    "data_removed": False,
    "error": None,
    "id": ID,
    "input": {},
    "logs": "step 1\nstep 2\n",
    "metrics": {"predict_time": 3.804328, "total_time": 3.807},
    "output": ["https://replicate.delivery/pbxt/abc/out-0.png"],
    "started_at": "2026-03-01T11:59:08.366092Z",
    "status": "succeeded",
}


def observe(body: dict[str, object], **changes: object) -> Observation:
    """As the wire brings it."""
    raw = json.dumps({**body, **changes}).encode()
    return observation_from_body(read_object(raw, PROFILE), observed_at=NOW)


def tail(body: dict[str, object], **changes: object) -> str | None:
    return look_from_body({**body, **changes}, observed_at=NOW).log_tail


def recorded(*kinds: str) -> list[Path]:
    files = sorted(RECORDED.glob("*.json"))
    return [file for file in files if json.loads(file.read_text("utf-8"))["kind"] in kinds]


def raw_of(file: Path) -> bytes:
    payload = json.loads(file.read_text("utf-8"))
    return cast("str", payload.get("raw_body") or json.dumps(payload["body"])).encode()


needs_recordings = pytest.mark.skipif(
    not RECORDED.is_dir(), reason="the recorded payloads are not beside this checkout"
)

STATUSES = {
    "starting": JobStatus.QUEUED,
    "processing": JobStatus.RUNNING,
    "succeeded": JobStatus.COMPLETED,
    "failed": JobStatus.FAILED,
    "canceled": JobStatus.CANCELLED,
    "aborted": JobStatus.CANCELLED,
}


@needs_recordings
def test_every_recorded_job_is_read_with_its_status_and_makes_a_job() -> None:
    files = recorded("prediction", "training", "webhook")
    assert len(files) > 40
    for file in files:
        body = read_object(raw_of(file), PROFILE)
        seen = observation_from_body(body, observed_at=NOW)
        assert seen.status is STATUSES[str(body["status"])], file.name
        assert seen.created_at is not None, file.name
        assert first_observed([seen], HARDWARE["h100"]) is not None, file.name


@needs_recordings
def test_every_recorded_list_is_read_and_leads_to_its_next_page() -> None:
    files = recorded("prediction_list", "training_list")
    assert len(files) >= 5
    for file in files:
        body = read_object(raw_of(file), PROFILE)
        results = cast("list[dict[str, object]]", body["results"])
        kind = TRAINING if "training" in file.name else PREDICTION
        page = page_from_body(body, list_url=f"https://api.replicate.com/v1/{kind}s", kind=kind, observed_at=NOW)
        readable = [item for item in results if "status" in item]
        assert [seen.external_id for seen in page.observations] == [item["id"] for item in readable], file.name
        assert (page.next_page is None) == (body["next"] is None), file.name


@needs_recordings
def test_every_recorded_problem_has_a_sentence_on_one_line() -> None:
    for file in recorded("error"):
        told = problem_from_body(read_object(raw_of(file), PROFILE), "unused").sentence
        assert told, file.name
        assert told.isprintable(), file.name


@pytest.mark.parametrize(("word", "status"), STATUSES.items())
def test_each_status_word_has_its_meaning(word: str, status: JobStatus) -> None:
    assert observe(HOT_STARTING, status=word).status is status


@pytest.mark.parametrize("word", ["paused", "SUCCEEDED", "booting", "succeeded "])
def test_an_unknown_status_word_is_kept_and_not_guessed(word: str) -> None:
    seen = observe(HOT_STARTING, status=word)
    assert (seen.status, seen.provider_status) == (None, word)


@pytest.mark.parametrize("changes", [{"status": None}, {"status": 3}, {"status": ""}, {"id": None}, {"id": "a/../b"}])
def test_a_body_without_usable_id_or_status_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ProviderAnswerInvalidError):
        observe(HOT_STARTING, **changes)


def test_absent_fields_say_nothing() -> None:
    seen = observation_from_body({"id": ID, "status": "failed"}, observed_at=NOW)
    assert seen == Observation(
        provider="replicate",
        external_id=ID,
        observed_at=NOW,
        kind=PREDICTION,
        status=JobStatus.FAILED,
        provider_status="failed",
    )


def test_null_fields_are_the_same_as_absent_ones() -> None:
    nulls = dict.fromkeys(("logs", "output", "metrics", "error", "started_at", "completed_at", "urls", "model"))
    assert observe({"id": ID, "status": "starting"}, **nulls) == observe({"id": ID, "status": "starting"})


def test_hot_and_cold_answers_tell_the_same() -> None:
    hot = {key: value for key, value in COLD_SUCCEEDED.items() if key != "data_removed"} | {
        "completed_at": "2026-03-01T11:59:12.17042Z",
        "started_at": "2026-03-01T11:59:08.366092000Z",
        "created_at": "2026-03-01T11:59:08.363Z",
        "metrics": {"predict_time": 3.804328},
    }
    assert observe(hot) == observe(COLD_SUCCEEDED)


def test_a_failed_job_without_metrics_has_no_measured_time() -> None:
    assert observe(HOT_STARTING, status="failed", error="boom").billed_seconds is None


def test_a_finished_output_of_a_job_still_processing_does_not_end_it() -> None:
    seen = observe(HOT_STARTING, status="processing", output="https://replicate.delivery/x/y.png")
    assert seen.status is JobStatus.RUNNING


def test_removed_data_erases_neither_log_nor_output() -> None:
    for logs in ("", None):
        seen = observe(COLD_SUCCEEDED, data_removed=True, input={}, output=None, logs=logs)
        assert (seen.output_url, seen.billed_seconds) == (None, Decimal("3.804328"))
        assert tail(COLD_SUCCEEDED, data_removed=True, logs=logs) is None


def test_input_is_kept_nowhere() -> None:
    assert "hf_canary" not in repr(observe(HOT_STARTING))


@pytest.mark.parametrize("version", ["hidden", "dp-4a4b", "d-1", "f" * 64, None, 7])
def test_any_version_is_taken(version: object) -> None:
    assert observe(HOT_STARTING, version=version).status is JobStatus.QUEUED


def test_the_last_of_two_equal_keys_counts() -> None:
    raw = b'{"id":"abc","status":"starting","model":"a/first","model":"a/last"}'
    assert observation_from_body(read_object(raw, PROFILE), observed_at=NOW).model == "a/last"


def test_raw_control_characters_in_a_log_are_read() -> None:
    raw = b'{"id":"abc","status":"processing","logs":"1%|\x1b[A\r\n2%|"}'
    assert look_from_body(read_object(raw, PROFILE), observed_at=NOW).log_tail == "1%|\x1b[A\r\n2%|"


def test_lone_surrogates_never_reach_the_store() -> None:
    raw = b'{"id":"abc","status":"failed","logs":"a\\ud800b","error":"x\\udfff","model":"m/\\ud800"}'
    look = look_from_body(read_object(raw, PROFILE), observed_at=NOW)
    assert (look.log_tail, look.observation.error, look.observation.model) == ("a?b", "x?", "m/?")


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("12", Decimal(12)),
        ("3e-06", Decimal("0.000003")),
        ("5.247161016", Decimal("5.247161")),
        ("-4.2", None),
        ("0e99999", Decimal(0)),
        ("1e-9999", Decimal(0)),
        ("1e400", None),
        ("1e99999999999999999999", None),
        ("9" * 5000, None),
        ("NaN", None),
        ("-Infinity", None),
        ("true", None),
        ('"3.5"', None),
        ("[1]", None),
    ],
)
def test_measured_time_is_a_storable_amount_or_nothing(number: str, expected: Decimal | None) -> None:
    raw = f'{{"id":"abc","status":"succeeded","metrics":{{"predict_time":{number}}}}}'.encode()
    seconds = observation_from_body(read_object(raw, PROFILE), observed_at=NOW).billed_seconds
    assert seconds == expected
    assert seconds is None or len(seconds.as_tuple().digits) <= 38


@pytest.mark.parametrize("metrics", [None, {}, [], "3.5", 3, {"predict_time": None}, {"predict_time": float("inf")}])
def test_metrics_of_any_form_are_no_fault(metrics: object) -> None:
    assert observe(COLD_SUCCEEDED, metrics=metrics).billed_seconds is None


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (None, None),
        ("Training complete. Output: output/cog/cog-1", None),
        ("https://huggingface.co/me/my-lora", "https://huggingface.co/me/my-lora"),
        ("see https://example.com", None),
        ("http://example.com/a", None),
        ("javascript:alert(1)", None),
        ("https://example.com/a b", None),
        ("https://example.com/\"onload='x'", None),
        ("https://user:secret@example.com/a", None),
        ("https://example.com\\@evil.example/a", None),
        ("https://exämple.com/a", None),
        ("data:image/png;base64," + "A" * 400_000, None),
        ("https://example.com/" + "a" * 400, None),
        (["no", "https://example.com/1", "https://example.com/2"], "https://example.com/1"),
        ({"version": "https://example.com/v", "weights": "https://example.com/w"}, "https://example.com/w"),
        ({"images": [{"url": "https://example.com/deep"}]}, "https://example.com/deep"),
        (42, None),
        (True, None),
        ([], None),
        ([["x"] * 1000] * 1000, None),
    ],
)
def test_an_output_url_is_taken_from_any_form_of_output(output: object, expected: str | None) -> None:
    assert output_url(output) == expected


def test_of_a_huge_output_only_the_beginning_is_searched() -> None:
    huge: object = "end"
    for _ in range(12):
        huge = [huge] * 300
    # Searched whole it would hold this test up for centuries.
    assert output_url(huge) is None


@pytest.mark.parametrize(
    ("webhook", "told"),
    [(None, None), (7, None), ("", None), ("https://us.example/hook?job=a", "https://us.example/hook?job=a")],
)
def test_a_job_tells_where_its_webhooks_go(webhook: object, told: str | None) -> None:
    assert observe(HOT_STARTING, webhook=webhook).webhook_url == told


@pytest.mark.parametrize(
    ("status", "metrics", "seconds"),
    [("aborted", None, 0), ("aborted", {"predict_time": 3}, 3), ("canceled", None, None), ("failed", {}, None)],
)
def test_what_was_aborted_is_billed_nothing_and_another_end_what_it_tells(
    status: str, metrics: object, seconds: int | None
) -> None:
    assert observe(HOT_STARTING, status=status, metrics=metrics).billed_seconds == seconds


def test_what_was_aborted_after_a_start_is_not_known_to_be_free() -> None:
    begun = observe(HOT_STARTING, status="aborted", started_at="2026-03-01T12:00:00Z")
    assert begun.billed_seconds is None


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, PREDICTION),
        ({"urls": None}, PREDICTION),
        ({"urls": {"get": f"https://api.replicate.com/v1/trainings/{ID}"}}, TRAINING),
        ({"output": {"version": "me/x:1", "weights": "https://x.example/w"}}, TRAINING),
        ({"output": {"version": "me/x:1"}}, PREDICTION),
    ],
)
def test_a_webhook_body_tells_its_kind_where_it_can(changes: dict[str, object], kind: str) -> None:
    assert kind_of({**HOT_STARTING, **changes}) is kind


def test_a_long_log_is_kept_from_its_newest_whole_line_on() -> None:
    log = "".join(f"line {number} ünïcode\n" for number in range(20_000))
    kept = tail(HOT_STARTING, status="processing", logs=log)
    assert kept is not None
    assert LOG_TAIL_BYTES - 100 < len(kept.encode()) <= LOG_TAIL_BYTES
    assert kept.startswith("line ")
    assert log.endswith(kept)


def test_a_log_without_line_ends_is_cut_between_characters() -> None:
    assert tail(HOT_STARTING, status="processing", logs="€" * 50_000) == "€" * (LOG_TAIL_BYTES // 3)


def test_the_full_log_is_whole_up_to_four_megabytes() -> None:
    log = "x" * (FULL_LOG_BYTES - 1) + "\n"
    assert full_log({"logs": log}) == log


def test_a_longer_full_log_keeps_its_beginning_and_says_so() -> None:
    told = full_log({"logs": "€" * 2_000_000})
    assert told is not None
    assert len(told.encode()) <= FULL_LOG_BYTES
    assert told.startswith("€€")
    assert "first 4 MB" in told.splitlines()[-1]


@pytest.mark.parametrize("body", [{"logs": "", "data_removed": True}, {"logs": None}, {}, {"logs": ["x"]}])
def test_a_removed_full_log_is_none(body: dict[str, object]) -> None:
    assert full_log(body) is None


def test_tokens_that_a_program_printed_are_taken_out() -> None:
    hugging, replicate = "hf_" + "aB3" * 12, "r8_" + "Zz9" * 12
    assert tail(HOT_STARTING, status="failed", logs=f"login with {hugging}\n") == "login with hf_[removed]\n"
    seen = observe(HOT_STARTING, status="failed", error=f"bad token {replicate}!")
    assert seen.error == "bad token r8_[removed]!"
    assert full_log({"logs": hugging}) == "hf_[removed]"


def test_names_that_look_like_tokens_stay() -> None:
    line = "hf_hub_download hf_transfer_enabled r8_model\n"
    assert tail(HOT_STARTING, logs=line) == line


@pytest.mark.parametrize(
    ("error", "expected"),
    [("boom", "boom"), ("", None), ({"detail": "deep"}, "deep"), (["first", "second"], "first"), (17, None)],
)
def test_an_error_of_any_form_becomes_a_sentence(error: object, expected: str | None) -> None:
    assert observe(HOT_STARTING, status="failed", error=error).error == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("\x1b[31mboom\x1b[0m", "boom"),
        ("\x1b]0;title\x07boom", "boom"),
        ("bo\u202eom\u2066", "boom"),
        ("bo\x00om\x07", "boom"),
        ("line one\r\nline two\ttabbed", "line one\nline two\ttabbed"),
        ("Fehler: é 日本", "Fehler: é 日本"),
    ],
)
def test_no_text_brings_control_characters_to_a_terminal(given: str, kept: str) -> None:
    seen = observe(HOT_STARTING, status="failed", error=given, model=given)
    assert (seen.error, seen.model) == (kept, kept)
    assert observe(HOT_STARTING, status=given).provider_status == kept
    assert observe(HOT_STARTING, status="succeeded\u200b").status is None
    assert observe(HOT_STARTING, status="failed", error="\x1b[0m").error is None


FIELDS = ("model", "output", "logs", "error", "created_at", "started_at", "completed_at", "metrics", "urls", "webhook")


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys((*FIELDS, "data_removed", "input", "version"), JSON)))
def test_no_field_of_any_form_crashes_the_reading(fields: dict[str, object]) -> None:
    seen = observe({"id": ID, "status": "succeeded"}, **fields)
    created = first_observed([seen], HARDWARE["h100"])
    assert created is not None
    assert created.job.status is JobStatus.COMPLETED


def page(results: object, following: object = None) -> dict[str, object]:
    return {"results": results, "next": following, "previous": None}


def test_one_malformed_item_loses_no_other() -> None:
    results: list[object] = [HOT_STARTING, None, "x", {"id": ID}, {"id": 3, "status": "starting"}, [], COLD_SUCCEEDED]
    read = page_from_body(page(results), list_url=LIST_URL, kind=PREDICTION, observed_at=NOW)
    assert [seen.status for seen in read.observations] == [JobStatus.QUEUED, JobStatus.COMPLETED]


def test_a_list_item_may_come_without_logs() -> None:
    item = {key: value for key, value in COLD_SUCCEEDED.items() if key != "logs"}
    read = page_from_body(page([item]), list_url=LIST_URL, kind=PREDICTION, observed_at=NOW)
    assert read.observations[0].external_id == COLD_SUCCEEDED["id"]


def test_the_list_tells_the_kind_of_its_items() -> None:
    read = page_from_body(
        page([HOT_STARTING]),
        list_url="https://api.replicate.com/v1/trainings",
        kind=TRAINING,
        observed_at=NOW,
    )
    assert read.observations[0].kind == TRAINING


def test_a_list_of_which_nothing_can_be_read_is_never_an_empty_one() -> None:
    with pytest.raises(ProviderAnswerInvalidError):
        page_from_body(page([{}, {}]), list_url=LIST_URL, kind=PREDICTION, observed_at=NOW)


@pytest.mark.parametrize("results", [None, {}, "x"])
def test_a_page_without_results_is_invalid(results: object) -> None:
    with pytest.raises(ProviderAnswerInvalidError):
        page_from_body(page(results), list_url=LIST_URL, kind=PREDICTION, observed_at=NOW)


@pytest.mark.parametrize(
    ("list_url", "following", "query"),
    [
        (LIST_URL, None, None),
        (LIST_URL, "", None),
        (LIST_URL, f"{LIST_URL}?cursor=cD0yMDIy", "cursor=cD0yMDIy"),
        (
            LIST_URL,
            f"{LIST_URL}?cursor=a%3D%3D&created_after=2026-03-01T00%3A00",
            "cursor=a%3D%3D&created_after=2026-03-01T00%3A00",
        ),
        (LIST_URL, "http://api.replicate.com/v1/predictions?cursor=x", "cursor=x"),
        (LIST_URL, "https://API.replicate.com:443/v1/predictions?cursor=x", "cursor=x"),
        ("http://127.0.0.1:23456/v1/predictions", "http://127.0.0.1:23456/v1/predictions?cursor=x", "cursor=x"),
        ("http://[::1]:23456/v1/predictions", "http://[::1]:23456/v1/predictions?cursor=x", "cursor=x"),
    ],
)
def test_the_next_page_is_the_cursor_behind_our_own_address(
    list_url: str, following: str | None, query: str | None
) -> None:
    read = page_from_body(page([], following), list_url=list_url, kind=PREDICTION, observed_at=NOW)
    assert read.next_page == query
    assert query is None or is_page_query(query)


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.example/v1/predictions?cursor=x",
        "https://api.replicate.com@evil.example/v1/predictions?cursor=x",
        "https://evil.example\\@api.replicate.com/v1/predictions?cursor=x",
        "https://api.replicate.com.evil.example/v1/predictions?cursor=x",
        "https://api.replicate.com:8443/v1/predictions?cursor=x",
        "http://api.replicate.com:80/v1/predictions?cursor=x",
        "https://api.replicate.com/v1/trainings?cursor=x",
        "https://api.replicate.com/v1/predictions/../account?cursor=x",
        "https://api.replicate.com/v1/predictions?cursor=x#frag",
        "https://api.replicate.com/v1/predictions",
        "//api.replicate.com/v1/predictions?cursor=x",
        "/v1/predictions?cursor=x",
        "file:///etc/passwd?cursor=x",
        "https://169.254.169.254/v1/predictions?cursor=x",
        "https://аpi.replicate.com/v1/predictions?cursor=x",
        "https://api.replicate.com/v1/predictions?cursor=x\r\nX: y",
        "https://api.replicate.com/v1/predictions?cursor=" + "x" * 5000,
        17,
        ["https://api.replicate.com/v1/predictions?cursor=x"],
    ],
)
def test_a_next_page_anywhere_else_is_an_invalid_answer(following: object) -> None:
    with pytest.raises(ProviderAnswerInvalidError):
        page_from_body(page([], following), list_url=LIST_URL, kind=PREDICTION, observed_at=NOW)


@pytest.mark.parametrize("text", ["", "a" * 65, "a/b", "..", "a%2Fb", "a\x00", "\ud800", "ü", "a b", None, 3])
def test_what_could_change_an_address_is_no_external_id(text: object) -> None:
    assert not is_external_id(text)


def test_times_out_of_order_make_no_negative_duration() -> None:
    seen = observe(COLD_SUCCEEDED, started_at="2026-03-01T11:59:08.3Z", completed_at="2026-03-01T11:59:07Z")
    created = first_observed([seen], HARDWARE["h100"])
    assert created is not None
    assert created.job.duration_seconds(NOW + timedelta(hours=1)) == 0


def sentence(body: dict[str, object]) -> str | None:
    return problem_from_body(body, "r8-canary").sentence


def test_a_problem_is_told_on_one_line_without_the_token() -> None:
    told = sentence({"title": "Bad", "detail": "- input: prompt is required\n- token r8-canary is odd\n"})
    assert told == "input: prompt is required - token [token] is odd"


def test_a_problem_is_told_without_what_turns_a_terminal_around() -> None:
    """T10: a token is found though something invisible stands in it."""
    assert sentence({"detail": "no\u202e\x1b[31mt r8-\u200bcanary\ud800"}) == "not [token]\ufffd"


def test_a_long_problem_is_cut() -> None:
    assert len(sentence({"detail": "x" * 5000}) or "") == 300


@pytest.mark.parametrize("body", [{}, {"detail": [1]}, {"detail": " "}, {"title": None}])
def test_a_problem_without_a_sentence_has_none(body: dict[str, object]) -> None:
    assert sentence(body) is None
