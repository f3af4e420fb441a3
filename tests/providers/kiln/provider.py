"""Kiln as a `ports.Provider`: states to filter by, times in seconds, bills by the started minute, logs as a stream."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal

from shared.adapters.http.bounded import Enough
from shared.adapters.providers.api import Connection, Problem, ProviderApi
from shared.adapters.providers.json_body import amount, read_json
from shared.adapters.providers.texts import FULL_LOG_BYTES, log_tail, one_line, plain_text, whole_log
from shared.domain.account import Account
from shared.domain.errors import (
    ProviderAnswerInvalidError,
    ProviderError,
    ProviderJobNotFoundError,
    ProviderRefusedError,
)
from shared.domain.job import MAX_NAME_LENGTH, JobStatus
from shared.domain.observation import LastLook, Look, Observation, ObservationPage
from shared.domain.provider_profile import ProviderProfile
from shared.domain.system_status import SystemStatus
from tests.providers.kiln.profile import PROFILE, RUN

STATUSES: Mapping[str, JobStatus] = {
    "WAITING": JobStatus.QUEUED,
    "BUSY": JobStatus.RUNNING,
    "DONE": JobStatus.COMPLETED,
    "BROKE": JobStatus.FAILED,
    "STOPPED": JobStatus.CANCELLED,
}
LAST_LINE = b"~end"
IDLE_SECONDS = 0.5

_RUN_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_PAGE = re.compile(r"[A-Za-z0-9]{1,40}", re.ASCII)
_LATEST = Decimal(4_000_000_000)


class KilnProvider:
    """`ports.Provider` over Kiln's HTTP API."""

    def __init__(self, connection: Connection) -> None:
        self._clock = connection.clock
        self._api = ProviderApi(PROFILE, connection, _problem)

    @property
    def profile(self) -> ProviderProfile:
        return PROFILE

    def account(self, token: str | None = None) -> Account:
        login = plain_text(self._api.object_of("GET", "me", token=token).get("login"), MAX_NAME_LENGTH)
        if login is None:
            raise ProviderAnswerInvalidError("Kiln did not say whose token this is.")
        return Account(login)

    def list_page(self, kind: str, *, page: str | None = None, active_since: datetime | None = None) -> ObservationPage:
        if page is not None and _PAGE.fullmatch(page) is None:
            raise ProviderAnswerInvalidError("The stored place in Kiln's list is damaged.")
        filters = ["state=WAITING", "state=BUSY"] if active_since is not None else []
        query = "&".join([*filters, *([f"from={page}"] if page else [])])
        answer = self._api.call("GET", f"runs?{query}" if query else "runs")
        runs = read_json(answer.body, PROFILE)
        following = answer.headers.get("x-next")
        if not isinstance(runs, list) or (following and _PAGE.fullmatch(following) is None):
            raise ProviderAnswerInvalidError("Kiln's list of runs could not be read.")
        return ObservationPage(tuple(self._readable(runs)), following or None)

    def get(self, external_id: str, kind: str, *, with_log: bool = False) -> Look:
        seen = self._observation(self._run(external_id))
        is_told = with_log and seen.status is JobStatus.RUNNING
        return Look(seen, log_tail(self._output(external_id)) if is_told else None)

    def full_log(self, external_id: str, kind: str) -> str | None:
        return whole_log(self._output(external_id)) or None

    def last_look(self, external_id: str, kind: str) -> LastLook:
        return LastLook(self._observation(self._run(external_id)), self.full_log(external_id, kind))

    def cancel(self, external_id: str, kind: str) -> None:
        try:
            self._api.call("POST", f"{_path(external_id)}/stop", of_job=True)
        except ProviderRefusedError:
            # Over already: the look after the cancel sees how.
            self._run(external_id)

    def webhook_secret(self) -> str:
        raise ProviderError("Kiln sends no webhooks.")

    def read_webhook(self, raw: bytes) -> Look:
        raise ProviderError("Kiln sends no webhooks.")

    def system_status(self) -> SystemStatus | None:
        return None

    def _run(self, external_id: str) -> Mapping[str, object]:
        run = self._api.object_of("GET", _path(external_id), of_job=True)
        if run.get("run") != external_id:
            raise ProviderAnswerInvalidError("Kiln answered about another run than the one asked for.")
        return run

    def _output(self, external_id: str) -> str:
        """The output so far: the stream itself goes on for as long as anybody listens."""
        enough = Enough(
            body_bytes=2 * FULL_LOG_BYTES, idle_seconds=IDLE_SECONDS, is_last_line=lambda line: line == LAST_LINE
        )
        stream = self._api.call("GET", f"{_path(external_id)}/output", of_job=True, enough=enough).body
        lines = [line[1:] for line in stream.split(b"\n") if line.startswith(b">")]
        return "".join(line.decode("utf-8", "replace") + "\n" for line in lines)

    def _readable(self, runs: Iterable[object]) -> Iterator[Observation]:
        """One run that cannot be read loses no other."""
        for run in runs:
            with suppress(ProviderAnswerInvalidError):
                yield self._observation(run)

    def _observation(self, run: object) -> Observation:
        external_id = run.get("run") if isinstance(run, dict) else None
        state = run.get("state") if isinstance(run, dict) else None
        word = plain_text(state.get("word"), MAX_NAME_LENGTH) if isinstance(state, dict) else None
        if not isinstance(run, dict) or not isinstance(state, dict) or not isinstance(external_id, str) or word is None:
            raise ProviderAnswerInvalidError("Kiln told of a run without id or state.")
        began, finished = _seconds(run.get("began")), _seconds(run.get("finished"))
        charge = amount(run.get("charge_micros"), _LATEST)
        machine = run.get("machine")
        return Observation(
            provider=PROFILE.name,
            external_id=external_id,
            observed_at=self._clock.now(),
            kind=RUN,
            status=STATUSES.get(word),
            provider_status=word,
            created_at=_moment(_seconds(run.get("made"))),
            started_at=_moment(began),
            completed_at=_moment(finished),
            billed_seconds=_started_minutes(began, finished) * 60 if finished is not None and charge is None else None,
            billed_usd=None if charge is None else charge / 1_000_000,
            error=plain_text(state.get("why"), 20_000),
            hardware=machine if isinstance(machine, str) else None,
        )


build = KilnProvider


def _problem(body: Mapping[str, object], token: str) -> Problem:
    return Problem(one_line(body.get("error"), secret=token))


def _path(external_id: str) -> str:
    if _RUN_ID.fullmatch(external_id) is None:
        raise ProviderJobNotFoundError("No run can have this id.")
    return f"runs/{external_id}"


def _seconds(value: object) -> Decimal | None:
    return amount(value, _LATEST)


def _moment(seconds: Decimal | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(float(seconds), UTC)


def _started_minutes(began: Decimal | None, finished: Decimal) -> Decimal:
    """None began, none is billed."""
    return Decimal(0) if began is None else Decimal(math.ceil(max(Decimal(0), finished - began) / 60))
