"""The fakes' own switches: what AWS does now and then and no engine on one machine ever does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.adapters.providers.replicate.profile import PREDICTION
from shared.domain.errors import ProviderUnavailableError, StaleWrite, StoreUnavailableError
from shared.domain.job import JobStatus
from tests.builders import a_job, an_observation
from tests.contract.changes import commit, edited, found, known, stored
from tests.contract.conftest import fake_stores
from tests.fakes.clock import FakeClock
from tests.fakes.doubles import FakeProvider
from tests.fakes.faults import Crash
from tests.fakes.stores import FakeStores


def test_an_index_lags_behind_the_table(fakes: FakeStores) -> None:
    stores = fake_stores(fakes)
    fakes.faults.index_lag = timedelta(seconds=1)
    job = stored(stores, a_job())
    assert stores.jobs.page(status=None, after=None, limit=10).entries == ()
    assert stores.jobs.active("replicate") == ()
    assert stores.jobs.ids_with_prefix(job.job_id, 5) == ()
    stores.clock.advance(1)
    assert len(stores.jobs.page(status=None, after=None, limit=10).entries) == 1
    commit(stores, edited(job, status=JobStatus.RUNNING))
    assert stores.jobs.active("replicate")[0].status is JobStatus.QUEUED


def test_a_planned_call_is_throttled_and_writes_nothing(fakes: FakeStores) -> None:
    head = fakes.jobs.snapshot().head
    fakes.faults.throttle_call(1)
    with pytest.raises(StoreUnavailableError):
        fakes.jobs.commit([found(a_job())], head=head, at=fakes.clock.now())
    assert fakes.job_rows == {}
    fakes.jobs.commit([found(a_job())], head=head, at=fakes.clock.now())


def test_a_planned_conflict_writes_nothing_though_nothing_moved(fakes: FakeStores) -> None:
    head = fakes.jobs.snapshot().head
    fakes.faults.conflict_on_commit(1)
    with pytest.raises(StaleWrite) as caught:
        fakes.jobs.commit([found(a_job())], head=head, at=fakes.clock.now())
    assert (caught.value.head, caught.value.jobs) == (True, frozenset())
    assert fakes.job_rows == {}


@pytest.mark.parametrize(("is_after", "is_stored"), [(False, False), (True, True)])
def test_a_crash_comes_before_or_after_the_write(fakes: FakeStores, is_after: bool, is_stored: bool) -> None:
    head = fakes.jobs.snapshot().head
    plan = fakes.faults.crash_after_write if is_after else fakes.faults.crash_before_write
    plan(1)
    with pytest.raises(Crash):
        fakes.jobs.commit([found(a_job())], head=head, at=fakes.clock.now())
    assert bool(fakes.job_rows) is is_stored
    assert bool(fakes.commit_rows) is is_stored


def test_a_second_writer_gets_in_between_once(fakes: FakeStores) -> None:
    stores = fake_stores(fakes)
    job = stored(stores, a_job())
    fakes.before_commit(lambda _: commit(stores, edited(known(stores, job.job_id), model="theirs")))
    with pytest.raises(StaleWrite):
        commit(stores, edited(job, model="ours"))
    commit(stores, edited(known(stores, job.job_id), config_name="ours"))
    assert known(stores, job.job_id) == replace(job, model="theirs", config_name="ours", version=3)


def test_usage_tells_requests_and_items(fakes: FakeStores) -> None:
    stores = fake_stores(fakes)
    commit(stores, found(a_job(), delivery_ids=["msg_1"]))
    usage = fakes.usage["jobs.commit"]
    assert (usage.calls, usage.requests, usage.items_written) == (1, 1, 5)
    fakes.reset_usage()
    stores.jobs.get_many([f"job-number-{number:05d}" for number in range(120)])
    assert (fakes.total_usage.requests, fakes.total_usage.items_read) == (2, 120)


def test_a_provider_fails_as_planned_and_then_recovers() -> None:
    provider = FakeProvider(FakeClock())
    provider.put(an_observation("remote-1"))
    provider.fail("get", ProviderUnavailableError("down"), external_id="remote-1")
    with pytest.raises(ProviderUnavailableError):
        provider.get("remote-1", PREDICTION)
    assert provider.get("remote-1", PREDICTION).observation.external_id == "remote-1"
