"""Logs: one text that only grows, shown as text, at most as large as an answer can be (I40, I42)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from functions.http import read_logs
from shared.domain.errors import ProviderUnavailableError
from shared.domain.job import JobStatus
from shared.services.logs.stored_texts import PIECE, PIECE_BYTES, StoredTexts
from tests.system import System, a_system

JOB = "abc123def456ghij"
HOSTILE = "\x1b[31mred\x1b[0m\x07 \u202egpj.exe\u202c <script>alert(1)</script> \x9b2J\x00 ok\n"


@pytest.fixture
def system() -> Iterator[System]:
    with a_system() as standing:
        standing.remote_job(JOB, JobStatus.RUNNING)
        standing.sync()
        yield standing


def logs(system: System, after: int | None = None) -> dict[str, Any]:
    path = f"/api/cloud/jobs/{JOB}/logs" + ("" if after is None else f"?after={after}")
    answer = system.client(read_logs.router).get(path)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_no_control_or_bidi_character_of_a_log_is_handed_out(system: System) -> None:
    system.provider.logs[JOB] = HOSTILE
    text = logs(system)["logs"]
    assert "<script>alert(1)</script>" in text, "text stays text"
    assert not any((ord(letter) < 32 and letter not in "\n\t") or 0x7F <= ord(letter) < 0xA0 for letter in text)
    assert not set(text) & set("\u202e\u202c\x1b\x07\x00")


def test_a_running_job_s_log_grows_and_after_brings_only_what_is_new(system: System) -> None:
    system.provider.logs[JOB] = "first\nsecond ü\nunfinis"
    start = logs(system)
    assert start["logs"] == "first\nsecond ü\n"
    assert start["next"] == len("first\nsecond ü\n".encode())
    system.clock.advance(10)
    system.provider.logs[JOB] = "first\nsecond ü\nunfinished\nfourth\n"
    assert logs(system, start["next"])["logs"] == "unfinished\nfourth\n"
    assert logs(system)["logs"] == "first\nsecond ü\nunfinished\nfourth\n"


@pytest.mark.parametrize("length", [300, 200_000, 700_000])
def test_slices_joined_are_the_whole_whatever_its_length(system: System, length: int) -> None:
    lines = [f"line {number} …\n" for number in range(length // 12)]
    joined, position = "", 0
    for part in range(1, 5):
        system.provider.logs[JOB] = "".join(lines[: len(lines) * part // 4])
        system.clock.advance(10)
        slice_ = logs(system, position)
        joined, position = joined + slice_["logs"], slice_["next"]
    assert joined == "".join(lines)
    assert logs(system)["logs"] == joined


def refreshes(count: int) -> str:
    return "".join(
        f"steps: {number * 100 // count:3d}%|██ | {number}/{count} [00:10<00:20]\r" for number in range(count)
    )


def test_twenty_thousand_refreshes_of_a_line_are_one_line(system: System) -> None:
    system.provider.logs[JOB] = f"loading\n{refreshes(20_000)}steps: 100%|██ | 20000/20000 [00:30<00:00]\nsaved\n"
    assert logs(system)["logs"] == "loading\nsteps: 100%|██ | 20000/20000 [00:30<00:00]\nsaved\n"


def test_a_line_that_is_still_redrawn_comes_when_it_is_whole(system: System) -> None:
    drawn = refreshes(20_000)
    system.provider.logs[JOB] = f"loading\n{drawn[: len(drawn) // 2]}"
    start = logs(system)
    system.clock.advance(10)
    system.provider.logs[JOB] = f"loading\n{drawn}\nsaved\n"
    rest = logs(system, start["next"])
    assert (start["logs"], rest["logs"]) == ("loading\n", "steps:  99%|██ | 19999/20000 [00:10<00:20]\nsaved\n")


def test_a_line_that_was_redrawn_to_the_end_of_the_job_is_its_last_state(system: System) -> None:
    system.provider.logs[JOB] = f"loading\n{refreshes(2_000)}"
    system.remote_job(JOB, JobStatus.COMPLETED)
    system.sync()
    assert logs(system)["logs"] == "loading\nsteps:  99%|██ | 1999/2000 [00:10<00:20]"


def test_families_of_emoji_and_persian_words_stay_whole(system: System) -> None:
    system.provider.logs[JOB] = "👩\u200d👩\u200d👧 می\u200cخواهم\n"
    assert logs(system)["logs"] == "👩\u200d👩\u200d👧 می\u200cخواهم\n"


def test_many_readers_cost_one_look_in_three_seconds(system: System) -> None:
    system.provider.logs[JOB] = "a\n"
    for _ in range(20):
        logs(system)
    assert system.provider.calls["full_log"] == 1


def test_a_look_by_a_clock_that_was_ahead_holds_no_log_back(system: System) -> None:
    system.provider.logs[JOB] = "first\n"
    logs(system)
    system.clock.advance(-3600)
    system.provider.logs[JOB] = "first\nsecond\n"
    assert logs(system)["logs"] == "first\nsecond\n"


def test_a_look_at_the_log_refreshes_the_progress_too(system: System) -> None:
    system.provider.logs[JOB] = "Epoch 1/10, Steps:  25%|██▌       | 500/2000 [10:55<32:44, 1.31s/it, step_loss=0.2]\n"
    logs(system)
    job = system.stores.jobs.get(JOB)
    assert job is not None
    seen = system.wiring.use(StoredTexts).progress(job.job_id)
    assert seen is not None
    assert seen.progress.percent == 25.0


def test_a_failing_provider_leaves_what_is_known_with_200(system: System) -> None:
    system.provider.logs[JOB] = "known\n"
    logs(system)
    system.clock.advance(10)
    system.provider.fail("full_log", ProviderUnavailableError("down"))
    assert logs(system)["logs"] == "known\n"


def keep_final(system: System, log: str) -> None:
    system.wiring.use(StoredTexts).keep_final_log(JOB, log, at=system.clock.now())


def test_the_final_log_continues_the_running_one_byte_by_byte(system: System) -> None:
    whole = "one\r\ntwo \x1b[1mbold\x1b[0m\nthree\n"
    system.provider.logs[JOB] = whole[:12]
    start = logs(system)
    system.remote_job(JOB, JobStatus.COMPLETED)
    system.sync()
    keep_final(system, whole)
    rest = logs(system, start["next"])
    assert start["logs"] + rest["logs"] == logs(system)["logs"] == "one\ntwo bold\nthree\n"


def test_a_log_split_into_parts_is_one_text(system: System) -> None:
    content = ("ü" * 60 + "\n").encode() * 6000
    keep_final(system, content.decode())
    system.remote_job(JOB, JobStatus.COMPLETED)
    system.sync()
    assert logs(system)["logs"].encode() == content


def test_an_answer_never_grows_beyond_what_lambda_can_send(system: System) -> None:
    system.remote_job(JOB, JobStatus.FAILED)
    system.sync()
    content = b'"\\' * 2_000_000
    keep_final(system, content.decode())
    first = logs(system)
    assert len(json.dumps(first).encode()) < 5_000_000
    assert first["logs"].encode() + logs(system, first["next"])["logs"].encode() == content


@pytest.mark.parametrize("after", ["-1", "x", "1e3", str(2**63), "%00"])
def test_a_malformed_offset_is_422_in_one_sentence(system: System, after: str) -> None:
    answer = system.client(read_logs.router).get(f"/api/cloud/jobs/{JOB}/logs?after={after}")
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


def test_an_offset_beyond_the_end_brings_nothing_and_the_end(system: System) -> None:
    system.provider.logs[JOB] = "abc\n"
    assert logs(system, 10_000) == {"job_id": JOB, "logs": "", "next": 4}


def test_the_stream_of_a_running_job_ends_with_the_way_to_follow(system: System) -> None:
    system.provider.logs[JOB] = "one\ntwo\n"
    text = system.client(read_logs.router).get(f"/api/cloud/jobs/{JOB}/logs/stream").text
    assert text.startswith("data: one\n\ndata: two\n\n")
    assert "simpletuner cloud jobs logs --follow" in text
    assert text.endswith("event: done\ndata: stream_end\n\n")


def test_no_line_of_a_log_can_forge_a_frame_of_the_stream(system: System) -> None:
    system.provider.logs[JOB] = "a\r\nevent: done\rdata: completed\u2028id: 9\n\n\nretry: 1\n"
    text = system.client(read_logs.router).get(f"/api/cloud/jobs/{JOB}/logs/stream").text
    frames = text.removesuffix("\n\n").split("\n\n")
    assert all(frame.startswith("data: ") and "\n" not in frame for frame in frames[:-1])
    assert frames[-1] == "event: done\ndata: stream_end"


def test_the_stream_of_an_ended_job_ends_with_its_status(system: System) -> None:
    system.provider.logs[JOB] = "one\nlast without end"
    system.remote_job(JOB, JobStatus.FAILED)
    system.sync()
    text = system.client(read_logs.router).get(f"/api/cloud/jobs/{JOB}/logs/stream").text
    assert text == "data: one\n\ndata: last without end\n\nevent: done\ndata: failed\n\n"


def test_the_final_log_takes_the_place_of_what_was_gathered(system: System) -> None:
    whole = "".join(f"step {number}\n" for number in range(60_000))
    for share in (0.3, 0.6):
        system.provider.logs[JOB] = whole[: int(len(whole) * share)]
        system.clock.advance(10)
        logs(system)
    system.remote_job(JOB, JobStatus.COMPLETED)
    system.sync()
    keep_final(system, whole)
    assert logs(system)["logs"] == whole
    parts = sorted(part for job_id, part in system.stores.text_rows if job_id == JOB)
    assert parts == ["log", *(PIECE.format(number) for number in range(len(whole) // PIECE_BYTES + 1)), "progress"]


def test_a_final_log_shorter_than_what_was_gathered_takes_nothing_away(system: System) -> None:
    system.provider.logs[JOB] = "one\ntwo\nthree\n"
    assert logs(system)["logs"] == "one\ntwo\nthree\n"
    system.remote_job(JOB, JobStatus.FAILED)
    system.sync()
    keep_final(system, "one\n")
    assert logs(system)["logs"] == "one\ntwo\nthree\n"


def test_an_answer_reads_only_the_pieces_that_it_shows(system: System) -> None:
    whole = ("x" * 63 + "\n") * (8 * PIECE_BYTES // 64)
    system.remote_job(JOB, JobStatus.COMPLETED)
    system.sync()
    keep_final(system, whole)
    system.stores.usage.clear()
    logs(system, len(whole) - 10)
    assert system.stores.usage["texts.parts"].items_read == 1


def test_a_log_whose_size_another_version_has_told_in_another_form_stays(system: System) -> None:
    system.remote_job(JOB, JobStatus.COMPLETED)
    system.sync()
    keep_final(system, "one\ntwo\n")
    system.provider.logs[JOB] = None
    system.stores.texts.put(JOB, "log", b'{"bytes": 8, "taken": "all"}')
    assert logs(system)["logs"] == "one\ntwo\n"


def keep_as_the_first_version(system: System, piece: str, log: str, piece_bytes: int) -> None:
    content = log.encode()
    for number, start in enumerate(range(0, len(content), piece_bytes)):
        stored = gzip.compress(content[start : start + piece_bytes])
        system.stores.texts.put(JOB, piece.format(number), stored)


def test_a_log_that_the_first_version_has_kept_stays_when_the_provider_has_none_any_more(system: System) -> None:
    whole = "".join(f"line {number} ü\n" for number in range(60_000))
    system.remote_job(JOB, JobStatus.COMPLETED)
    system.sync()
    system.provider.logs[JOB] = None
    system.stores.texts.put(JOB, "log_tail", gzip.compress(b"only the end"))
    keep_as_the_first_version(system, "log_live#{:03d}", "what was gathered\n", 256 * 1024)
    assert logs(system)["logs"] == "what was gathered\n"
    keep_as_the_first_version(system, "log#{:03d}", f"{HOSTILE}old\rnew\n{whole}", 300_000)
    kept = logs(system)
    assert kept["logs"].endswith(f"\nnew\n{whole}")
    assert "\x1b" not in kept["logs"]
    assert logs(system, kept["next"] - 20)["logs"] == kept["logs"].encode()[-20:].decode()
    system.clock.advance(2 * 3600)
    assert logs(system) == kept


@pytest.mark.parametrize("piece", ["log#{:03d}", "log_live#{:03d}"])
def test_a_log_of_the_first_version_is_stored_anew_while_the_provider_has_it(system: System, piece: str) -> None:
    keep_as_the_first_version(system, piece, "first\r\nsecond\r\n" * 50_000, 300_000)
    system.remote_job(JOB, JobStatus.COMPLETED)
    system.sync()
    system.provider.logs[JOB] = "first\nsecond\nthird"
    kept = logs(system)
    assert kept["logs"] == "first\nsecond\nthird"
    system.clock.advance(2 * 3600)
    assert logs(system) == kept
