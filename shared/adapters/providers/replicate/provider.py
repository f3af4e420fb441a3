"""Replicate as a `ports.Provider`: its HTTP API, asked within bounds and believed with care."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote

from shared.adapters.providers.api import Connection, ProviderApi
from shared.adapters.providers.json_body import read_object
from shared.adapters.providers.replicate.answers import (
    full_log,
    is_external_id,
    is_page_query,
    last_look_from_body,
    look_from_body,
    observation_from_body,
    page_from_body,
    problem_from_body,
)
from shared.adapters.providers.replicate.profile import PREDICTION, PROFILE, TRAINING
from shared.adapters.providers.replicate.status_page import SUMMARY_URL, status_from_summary
from shared.adapters.providers.texts import plain_text
from shared.domain.account import Account
from shared.domain.errors import ProviderAnswerInvalidError, ProviderJobNotFoundError
from shared.domain.job import MAX_NAME_LENGTH, to_iso
from shared.domain.observation import LastLook, Look, ObservationPage
from shared.domain.provider_profile import ProviderProfile
from shared.domain.system_status import SystemStatus

_PATHS: Mapping[str, str] = {PREDICTION: "predictions", TRAINING: "trainings"}
_WEBHOOK_SECRET = re.compile(r"whsec_[!-~]{1,500}", re.ASCII)


class ReplicateProvider:
    """`ports.Provider` over Replicate's HTTP API. No address is ever taken from an answer."""

    def __init__(self, connection: Connection) -> None:
        """Raises ConfigurationError for a bad URL."""
        self._clock = connection.clock
        self._api = ProviderApi(PROFILE, connection, problem_from_body)

    @property
    def profile(self) -> ProviderProfile:
        return PROFILE

    def account(self, token: str | None = None) -> Account:
        body = self._api.object_of("GET", "account", token=token)
        username = plain_text(body.get("username"), MAX_NAME_LENGTH)
        if username is None:
            raise ProviderAnswerInvalidError("Replicate did not say whom the API token belongs to; please try again.")
        return Account(username, plain_text(body.get("name"), MAX_NAME_LENGTH))

    def list_page(self, kind: str, *, page: str | None = None, active_since: datetime | None = None) -> ObservationPage:
        """One page; trainings know no date filter. `page` is the query of `next`, which repeats the filters."""
        path = _PATHS[kind]
        if page is not None and not is_page_query(page):
            raise ProviderAnswerInvalidError("The stored place in Replicate's list is damaged; please sync again.")
        if page is None and active_since is not None and kind == PREDICTION:
            page = f"created_after={quote(to_iso(active_since), safe='')}"
        return page_from_body(
            self._api.object_of("GET", f"{path}?{page}" if page else path),
            list_url=f"{self._api.base_url}/{path}",
            kind=kind,
            observed_at=self._clock.now(),
        )

    def get(self, external_id: str, kind: str, *, with_log: bool = False) -> Look:
        body, now = self._job(external_id, kind), self._clock.now()
        if with_log:
            return look_from_body(body, kind=kind, observed_at=now)
        return Look(observation_from_body(body, kind=kind, observed_at=now))

    def full_log(self, external_id: str, kind: str) -> str | None:
        return full_log(self._job(external_id, kind))

    def last_look(self, external_id: str, kind: str) -> LastLook:
        return last_look_from_body(self._job(external_id, kind), kind=kind, observed_at=self._clock.now())

    def cancel(self, external_id: str, kind: str) -> None:
        answer = self._api.call("POST", f"{_job_path(external_id, kind)}/cancel", of_job=True)
        if answer.body:
            # What it says of the job is no observation, but a page of some proxy is no cancel.
            read_object(answer.body, PROFILE)

    def webhook_secret(self) -> str:
        key = self._api.object_of("GET", "webhooks/default/secret").get("key")
        if not isinstance(key, str) or _WEBHOOK_SECRET.fullmatch(key) is None:
            raise ProviderAnswerInvalidError("Replicate answered without a webhook signing secret; please try again.")
        return key

    def read_webhook(self, raw: bytes) -> Look:
        return look_from_body(read_object(raw, PROFILE, is_pushed=True), observed_at=self._clock.now())

    def system_status(self) -> SystemStatus | None:
        if not self._api.is_the_real_one:
            return None
        return status_from_summary(self._api.public_object(SUMMARY_URL))

    def _job(self, external_id: str, kind: str) -> Mapping[str, object]:
        body = self._api.object_of("GET", _job_path(external_id, kind), of_job=True)
        if body.get("id") != external_id:
            raise ProviderAnswerInvalidError("Replicate answered about another job than the one asked for; try again.")
        return body


build = ReplicateProvider


def _job_path(external_id: str, kind: str) -> str:
    if not is_external_id(external_id):
        raise ProviderJobNotFoundError("No job at Replicate can have this id: check it and ask again.")
    return f"{_PATHS[kind]}/{external_id}"
