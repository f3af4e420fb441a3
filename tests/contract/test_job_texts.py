"""What every store of a job's texts promises: parts, and the lease of one refresher."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from tests.contract.conftest import Stores

JOB = "abc123def456ghij"


def test_a_part_comes_back_byte_for_byte(stores: Stores) -> None:
    stores.clock.now() + timedelta(microseconds=1)
    content = bytes(range(256)) * 1_000
    stores.texts.put(JOB, "log_tail", content)
    assert stores.texts.get(JOB, "log_tail") == content
    assert stores.texts.get(JOB, "history") is None
    assert stores.texts.get("someone-else-0001", "log_tail") is None


def test_an_empty_part_is_stored_and_not_missing(stores: Stores) -> None:
    stores.texts.put(JOB, "log_tail", b"")
    assert stores.texts.get(JOB, "log_tail") == b""
    assert stores.texts.get_many([JOB], "log_tail") == {JOB: b""}


def test_a_range_of_parts_is_read_at_once_in_the_order_of_their_names(stores: Stores) -> None:
    now = stores.clock.now()
    big = b"x" * 300_000
    for number in (3, 1, 2, 0, 10):
        stores.texts.put(JOB, f"log#{number:03d}", big + bytes([number]))
    stores.texts.put(JOB, "log", b"no piece")
    stores.texts.put(JOB, "log_tail", b"no piece")
    stores.texts.put("another-job-0001", "log#001", b"not of this job")
    stores.texts.acquire(JOB, "log#009", now=now, until=now + timedelta(seconds=9))
    found = stores.texts.parts(JOB, "log#001", "log#010")
    assert {part: text[-1] for part, text in found.items()} == {f"log#{n:03d}": n for n in (1, 2, 3, 10)}
    assert list(found) == sorted(found)
    assert stores.texts.parts(JOB, "log#004", "log#008") == {}


def test_parts_that_are_named_go_and_no_other(stores: Stores) -> None:
    stores.clock.now()
    for part in ("log", "log_tail", "progress"):
        stores.texts.put(JOB, part, b"x")
    stores.texts.delete(JOB, ["log_tail", "never-was"])
    stores.texts.delete(JOB, [])
    assert stores.texts.get(JOB, "log_tail") is None
    assert stores.texts.get(JOB, "log") == stores.texts.get(JOB, "progress") == b"x"


def test_one_part_of_many_jobs_is_read_at_once(stores: Stores) -> None:
    now = stores.clock.now()
    jobs = [f"job-number-{number:05d}" for number in range(120)]
    for job_id in jobs:
        stores.texts.put(job_id, "progress", job_id.encode())
    stores.texts.acquire("only-leased-00001", "progress", now=now, until=now + timedelta(seconds=9))
    found = stores.texts.get_many([*jobs, jobs[0], "only-leased-00001", "missing-job-0001"], "progress")
    assert {job_id: text.decode() for job_id, text in found.items()} == {job_id: job_id for job_id in jobs}
    assert stores.texts.get_many([], "progress") == {}


def test_a_lease_is_one_readers_until_it_ends(stores: Stores) -> None:
    now = stores.clock.now()
    until = now + timedelta(seconds=5)
    assert stores.texts.acquire(JOB, "progress", now=now, until=until)
    almost = until - timedelta(microseconds=1)
    assert not stores.texts.acquire(JOB, "progress", now=almost, until=until + timedelta(seconds=5))
    assert stores.texts.acquire(JOB, "history", now=now, until=until)
    assert stores.texts.acquire(JOB, "progress", now=until, until=until + timedelta(seconds=5))


def test_a_lease_is_no_text_and_hides_none(stores: Stores) -> None:
    now = stores.clock.now()
    stores.texts.acquire(JOB, "progress", now=now, until=now + timedelta(seconds=5))
    assert stores.texts.get(JOB, "progress") is None
    stores.texts.put(JOB, "log_tail", b"line")
    stores.texts.acquire(JOB, "log_tail", now=now, until=now + timedelta(seconds=5))
    assert stores.texts.get(JOB, "log_tail") == b"line"


def test_storing_gives_the_lease_back(stores: Stores) -> None:
    now = stores.clock.now()
    until = now + timedelta(seconds=5)
    stores.texts.acquire(JOB, "progress", now=now, until=until)
    stores.texts.put(JOB, "progress", b"fresh")
    assert stores.texts.acquire(JOB, "progress", now=now, until=until)


def test_of_eight_that_want_the_lease_one_gets_it(stores: Stores) -> None:
    now = stores.clock.now()

    def acquire(number: int) -> bool:
        return stores.texts.acquire(JOB, "progress", now=now, until=now + timedelta(seconds=number + 1))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(acquire, range(8))) == 1


def test_all_parts_of_one_job_go_and_no_other(stores: Stores) -> None:
    stores.clock.now()
    for number in range(30):
        stores.texts.put(JOB, f"final_log_{number:02d}", b"x")
    stores.texts.put("another-job-0001", "progress", b"kept")
    stores.texts.delete_all(JOB)
    stores.texts.delete_all("never-was-0000001")
    assert all(stores.texts.get(JOB, f"final_log_{number:02d}") is None for number in range(30))
    assert stores.texts.get("another-job-0001", "progress") == b"kept"
