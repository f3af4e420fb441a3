"""What every provider promises (`ports.Provider`): the fake, Replicate and Kiln over their simulators."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Protocol

import pytest

from infra.simulators.replicate import FaultKind, RunningSimulator, running_simulator
from shared.adapters.clock import SystemClock
from shared.adapters.http.bounded import HttpLimits
from shared.adapters.providers.api import Connection
from shared.adapters.providers.replicate.provider import ReplicateProvider
from shared.domain.errors import (
    ProviderAnswerInvalidError,
    ProviderError,
    ProviderJobNotFoundError,
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderTokenRejectedError,
    ProviderUnavailableError,
)
from shared.domain.job import JobStatus
from shared.domain.observation import Observation
from shared.domain.pricing import Hardware
from shared.ports import Provider
from shared.services.webhooks.verify_webhook import signing_key
from tests.builders import an_observation
from tests.fakes.doubles import FakeProvider
from tests.providers.kiln.provider import KilnProvider
from tests.providers.kiln.simulator import Kiln, KilnFault, Run, running_kiln

LIMITS = HttpLimits(connect_seconds=1, read_seconds=1, call_seconds=2.5, body_bytes=2_000_000)
UNKNOWN_ID = "0123456789abcdefghjkmnpqrs"
UNKNOWN_WORD = "hibernating"


class Fault(Enum):
    """What happens to the next look at a job."""

    THROTTLED_FOR_SEVEN_SECONDS = auto()
    OUT_OF_ORDER = auto()
    A_WEB_PAGE = auto()
    CUT_OFF = auto()
    ENDLESS = auto()


class World(Protocol):
    """A provider, and the hand of a test on its other side."""

    @property
    def provider(self) -> Provider: ...

    def add(self, external_id: str, status: JobStatus, *, age: float = 600, word: str | None = None) -> None:
        """A job that was created `age` seconds ago, in the first list; `word` is shown in place of its status'."""

    def go_wrong(self, fault: Fault) -> None: ...

    def revoke_token(self) -> None: ...

    def webhook_body(self, external_id: str) -> bytes:
        """What the provider would send of this job now."""


class FakeWorld:
    def __init__(self) -> None:
        self.provider = FakeProvider(SystemClock(), page_size=50)

    def add(self, external_id: str, status: JobStatus, *, age: float = 600, word: str | None = None) -> None:
        now = SystemClock().now()
        made = now - timedelta(seconds=age)
        seen = an_observation(external_id, status, created_at=made, observed_at=now)
        if status is not JobStatus.QUEUED:
            seen = replace(seen, started_at=made)
        if status.is_terminal:
            seen = replace(seen, completed_at=now)
        else:
            stopped = an_observation(external_id, JobStatus.CANCELLED, created_at=made, started_at=made)
            self.provider.after_cancel[external_id] = stopped
        self.provider.put(replace(seen, status=None, provider_status=word) if word else seen)
        self.provider.logs[external_id] = "line 1\nline 2\n"

    def go_wrong(self, fault: Fault) -> None:
        errors: dict[Fault, ProviderError] = {
            Fault.THROTTLED_FOR_SEVEN_SECONDS: ProviderThrottledError("Slowly.", retry_after=7),
            Fault.OUT_OF_ORDER: ProviderUnavailableError("Out of order."),
        }
        self.provider.fail("get", errors.get(fault, ProviderAnswerInvalidError("This is no answer.")))

    def revoke_token(self) -> None:
        self.provider.fail("account", ProviderTokenRejectedError("No."))

    def webhook_body(self, external_id: str) -> bytes:
        return json.dumps({"id": external_id, "status": "processing", "urls": {}}).encode()


class ReplicateWorld:
    def __init__(self, simulator: RunningSimulator) -> None:
        self._simulator = simulator
        self._token = "r8_good"
        self.provider = ReplicateProvider(
            Connection(base_url=simulator.base_url, token=lambda: self._token, clock=SystemClock(), limits=LIMITS)
        )

    def add(self, external_id: str, status: JobStatus, *, age: float = 600, word: str | None = None) -> None:
        boot = 86_400 if status is JobStatus.QUEUED else 0
        control = self._simulator.control
        control.create_job(job_id=external_id, age_seconds=age, boot_seconds=boot, run_seconds=86_400, status_word=word)
        if status.is_terminal:
            words = {JobStatus.COMPLETED: "succeeded", JobStatus.FAILED: "failed", JobStatus.CANCELLED: "canceled"}
            control.end_job(external_id, words[status])

    def go_wrong(self, fault: Fault) -> None:
        kinds = {
            Fault.THROTTLED_FOR_SEVEN_SECONDS: FaultKind.THROTTLED_HEADER,
            Fault.OUT_OF_ORDER: FaultKind.SERVER_ERROR,
            Fault.A_WEB_PAGE: FaultKind.HTML,
            Fault.CUT_OFF: FaultKind.TRUNCATED,
            Fault.ENDLESS: FaultKind.ENDLESS,
        }
        self._simulator.control.add_fault(kinds[fault], seconds=7)

    def revoke_token(self) -> None:
        self._token = "r8_revoked"

    def webhook_body(self, external_id: str) -> bytes:
        return json.dumps(self._simulator.control.job(external_id)).encode()


KILN_WORDS = {
    JobStatus.QUEUED: "WAITING",
    JobStatus.RUNNING: "BUSY",
    JobStatus.COMPLETED: "DONE",
    JobStatus.FAILED: "BROKE",
    JobStatus.CANCELLED: "STOPPED",
}


class KilnWorld:
    def __init__(self, kiln: Kiln) -> None:
        self._kiln = kiln
        self._token = kiln.token
        self.provider = KilnProvider(
            Connection(base_url=kiln.base_url, token=lambda: self._token, clock=SystemClock(), limits=LIMITS)
        )

    def add(self, external_id: str, status: JobStatus, *, age: float = 600, word: str | None = None) -> None:
        made = time.time() - age
        began = None if status is JobStatus.QUEUED else made
        output = ("line 1", "line 2") if began else ()
        self._kiln.put(Run(external_id, word or KILN_WORDS[status], made, began, output=output))
        if status.is_terminal:
            self._kiln.end(external_id, KILN_WORDS[status])

    def go_wrong(self, fault: Fault) -> None:
        faults = {
            Fault.THROTTLED_FOR_SEVEN_SECONDS: KilnFault.THROTTLED,
            Fault.OUT_OF_ORDER: KilnFault.OUT_OF_ORDER,
            Fault.A_WEB_PAGE: KilnFault.NO_API,
            Fault.CUT_OFF: KilnFault.CUT,
            Fault.ENDLESS: KilnFault.ENDLESS,
        }
        self._kiln.faults += [faults[fault]] * 2

    def revoke_token(self) -> None:
        self._token = "kiln-revoked-token"

    def webhook_body(self, external_id: str) -> bytes:
        raise AssertionError(f"Kiln never tells of {external_id} by itself")


@contextmanager
def world_of(name: str) -> Iterator[World]:
    match name:
        case "fake":
            yield FakeWorld()
        case "replicate":
            with running_simulator(valid_tokens=frozenset({"r8_good"})) as simulator:
                yield ReplicateWorld(simulator)
        case "kiln":
            with running_kiln() as kiln:
                yield KilnWorld(kiln)


@pytest.fixture(params=["fake", "replicate", "kiln"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with world_of(request.param) as found:
        yield found


def kind_of(world: World) -> str:
    return world.provider.profile.kinds[0]


def look_at(world: World, external_id: str) -> Observation:
    return world.provider.get(external_id, kind_of(world)).observation


def listed(world: World, active_since: datetime | None = None) -> list[Observation]:
    found: list[Observation] = []
    page = None
    for _ in range(20):
        answer = world.provider.list_page(kind_of(world), page=page, active_since=active_since)
        found += answer.observations
        page = answer.next_page
        if page is None:
            return found
    raise AssertionError("The list has no end.")


def test_a_profile_says_all_that_the_house_asks_for(world: World) -> None:
    profile = world.provider.profile
    assert re.fullmatch(r"[a-z][a-z0-9]{1,30}", profile.name)
    assert profile.label
    assert profile.default_hardware in profile.hardware
    assert all(isinstance(one, Hardware) and one.price_per_second > 0 for one in profile.hardware.values())
    assert all(name == one.id and re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) for name, one in profile.hardware.items())
    assert len(set(profile.kinds)) == len(profile.kinds) > 0
    assert profile.token_variable.isupper()
    assert re.fullmatch(r"[a-z0-9_]+", profile.token_secret)
    assert profile.token_url.startswith("https://")
    assert profile.api_base_url.startswith("https://")
    assert profile.job_url is None or "{external_id}" in profile.job_url


def test_the_account_is_whom_the_token_belongs_to(world: World) -> None:
    assert world.provider.account().username


def test_a_revoked_token_is_rejected(world: World) -> None:
    world.revoke_token()
    with pytest.raises(ProviderTokenRejectedError):
        world.provider.account()


def test_every_job_stands_once_in_the_pages_newest_first(world: World) -> None:
    ids = [f"{number:04d}job" for number in range(130)]
    for number, external_id in enumerate(ids):
        world.add(external_id, JobStatus.RUNNING, age=60 + number)
    found = listed(world)
    assert [seen.external_id for seen in found] == ids
    profile = world.provider.profile
    assert {(seen.provider, seen.kind, seen.status) for seen in found} == {
        (profile.name, profile.kinds[0], JobStatus.RUNNING)
    }


def test_a_list_of_what_is_active_since_a_moment_holds_all_of_it(world: World) -> None:
    for number in range(60):
        world.add(f"{number:04d}ended", JobStatus.COMPLETED, age=100 + number)
    for number in range(60):
        world.add(f"{number:04d}going", JobStatus.QUEUED if number % 2 else JobStatus.RUNNING, age=100 + number)
    since = SystemClock().now() - timedelta(seconds=200)
    found = {seen.external_id for seen in listed(world, active_since=since)}
    assert found >= {f"{number:04d}going" for number in range(60)}


def test_a_stored_place_in_a_list_that_is_damaged_is_never_sent(world: World) -> None:
    with pytest.raises(ProviderAnswerInvalidError):
        world.provider.list_page(kind_of(world), page="a b\r\nX: y")


@pytest.mark.parametrize(
    "status",
    [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED],
)
def test_a_job_is_told_in_our_words_by_a_look_and_by_the_list(world: World, status: JobStatus) -> None:
    world.add("abcd1234", status)
    now = SystemClock().now()
    for seen in (look_at(world, "abcd1234"), listed(world)[0]):
        assert (seen.external_id, seen.status, seen.found) == ("abcd1234", status, True)
        assert abs(seen.observed_at - now) < timedelta(seconds=60)
        assert seen.created_at is not None
        assert abs(now - seen.created_at - timedelta(seconds=600)) < timedelta(seconds=60)
        assert (seen.started_at is None) == (status is JobStatus.QUEUED)
        assert (seen.completed_at is None) == status.is_active
        assert seen.hardware is None or seen.hardware in world.provider.profile.hardware


def test_an_end_tells_what_is_billed(world: World) -> None:
    world.add("abcd1234", JobStatus.COMPLETED)
    seen = look_at(world, "abcd1234")
    assert (seen.billed_usd, seen.billed_seconds) != (None, None)
    assert (seen.billed_seconds or 0) >= 0


def test_a_word_that_nobody_knows_is_kept_and_not_guessed(world: World) -> None:
    """I4"""
    world.add("abcd1234", JobStatus.RUNNING, word=UNKNOWN_WORD)
    for seen in (look_at(world, "abcd1234"), listed(world)[0]):
        assert (seen.status, seen.provider_status) == (None, UNKNOWN_WORD)


def test_a_job_that_is_not_there_is_not_found(world: World) -> None:
    for call in (world.provider.get, world.provider.full_log, world.provider.last_look, world.provider.cancel):
        with pytest.raises(ProviderJobNotFoundError):
            call(UNKNOWN_ID, kind_of(world))


@pytest.mark.parametrize("external_id", ["..", "a/b", "a%2Fb", "a?b", "a\r\nX: y", "\ud800", "a" * 65])
def test_an_id_that_could_change_the_address_is_not_found(world: World, external_id: str) -> None:
    """T18"""
    for call in (world.provider.get, world.provider.full_log, world.provider.last_look, world.provider.cancel):
        with pytest.raises(ProviderJobNotFoundError):
            call(external_id, kind_of(world))


def test_a_429_tells_how_long_to_hold_back(world: World) -> None:
    """I29"""
    world.add("abcd1234", JobStatus.RUNNING)
    world.go_wrong(Fault.THROTTLED_FOR_SEVEN_SECONDS)
    with pytest.raises(ProviderThrottledError) as raised:
        look_at(world, "abcd1234")
    assert raised.value.retry_after == 7


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.OUT_OF_ORDER, ProviderUnavailableError),
        (Fault.A_WEB_PAGE, ProviderAnswerInvalidError),
        (Fault.CUT_OFF, ProviderAnswerInvalidError),
        (Fault.ENDLESS, ProviderAnswerInvalidError),
    ],
)
def test_what_is_no_answer_is_an_error_of_its_own(world: World, fault: Fault, expected: type[ProviderError]) -> None:
    """I28"""
    world.add("abcd1234", JobStatus.RUNNING)
    world.go_wrong(fault)
    with pytest.raises(expected):
        look_at(world, "abcd1234")


def test_a_cancel_ends_an_active_job(world: World) -> None:
    world.add("abcd1234", JobStatus.RUNNING)
    world.provider.cancel("abcd1234", kind_of(world))
    assert look_at(world, "abcd1234").status is JobStatus.CANCELLED


def test_a_cancel_of_an_ended_job_changes_nothing(world: World) -> None:
    world.add("abcd1234", JobStatus.COMPLETED)
    with suppress(ProviderRefusedError):
        world.provider.cancel("abcd1234", kind_of(world))
    assert look_at(world, "abcd1234").status is JobStatus.COMPLETED


@pytest.mark.parametrize("status", [JobStatus.RUNNING, JobStatus.COMPLETED])
def test_the_whole_log_is_had_while_a_job_runs_and_after_its_end(world: World, status: JobStatus) -> None:
    """Also where the provider's stream of it has no end."""
    world.add("abcd1234", status)
    log = world.provider.full_log("abcd1234", kind_of(world))
    assert log
    assert log.endswith("\n")
    if status is JobStatus.RUNNING:
        assert world.provider.get("abcd1234", kind_of(world)).log_tail is None
        tail = world.provider.get("abcd1234", kind_of(world), with_log=True).log_tail
        assert tail
        assert tail.splitlines()[0] in log


@pytest.mark.parametrize("status", [JobStatus.RUNNING, JobStatus.COMPLETED])
def test_a_last_look_tells_of_the_job_and_its_whole_log(world: World, status: JobStatus) -> None:
    """Also of a job that runs: whoever asks too early is told so."""
    world.add("abcd1234", status)
    look = world.provider.last_look("abcd1234", kind_of(world))
    seen = look_at(world, "abcd1234")
    assert (look.observation.status, look.observation.billed_seconds is None) == (status, seen.billed_seconds is None)
    assert (bool(look.log), look.is_log_removed) == (True, False)


def test_webhooks_are_signed_and_read_where_there_are_any(world: World) -> None:
    world.add("abcd1234", JobStatus.RUNNING)
    provider = world.provider
    if provider.profile.webhooks is None:
        with pytest.raises(ProviderError):
            provider.webhook_secret()
        with pytest.raises(ProviderError):
            provider.read_webhook(b"{}")
        return
    assert signing_key(provider.webhook_secret())
    seen = provider.read_webhook(world.webhook_body("abcd1234")).observation
    assert (seen.provider, seen.external_id, seen.status) == (provider.profile.name, "abcd1234", JobStatus.RUNNING)
    for raw in (b"", b"[]", b"{}", b'{"id": "abcd1234", "status": NaN}', b"[" * 100_000):
        with pytest.raises(ProviderAnswerInvalidError):
            provider.read_webhook(raw)
