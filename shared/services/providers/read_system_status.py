"""What the provider says of itself on its status page, asked at most once a minute by all functions together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.domain import state_keys
from shared.domain.errors import ProviderError, StaleWrite
from shared.ports import Clock, StateStore

KEPT = timedelta(seconds=60)
MAX_ENTRIES = 20
MAX_TEXT = 300
LISTS = ("ongoing_incidents", "in_progress_maintenances", "scheduled_maintenances")
_TEXTS = (
    "id",
    "name",
    "status",
    "current_worst_impact",
    "last_update_at",
    "last_update_message",
    "starts_at",
    "ends_at",
)


@dataclass(frozen=True)
class ReadSystemStatus:
    """`fetch_status_page` reads the page's summary; None: there is none to ask, because the provider is simulated."""

    state: StateStore
    clock: Clock
    fetch_status_page: Callable[[], Mapping[str, object]] | None
    status_page_url: str

    def run(self) -> dict[str, object]:
        """`operational`, the three lists, `error` and `status_page_url`; never raises a ProviderError.

        A page that cannot be read counts as operational with an `error`, as SimpleTuner's clients expect.
        """
        if self.fetch_status_page is None:
            return self._answer({}, "The provider is simulated here, so its status page is not asked.")
        now = self.clock.now()
        item = self.state.get(state_keys.system_status("replicate"), now=now)
        if item is not None:
            return dict(item.value)
        try:
            answer = self._answer(self.fetch_status_page(), None)
        except ProviderError as error:
            answer = self._answer({}, error.detail)
        try:
            self.state.put(state_keys.system_status("replicate"), answer, now=now, expires_at=now + KEPT)
        except StaleWrite:
            return answer
        return answer

    def _answer(self, summary: Mapping[str, object], error: str | None) -> dict[str, object]:
        lists = {name: _entries(summary.get(name)) for name in LISTS}
        is_well = not lists["ongoing_incidents"] and not lists["in_progress_maintenances"]
        return {"operational": is_well, **lists, "error": error, "status_page_url": self.status_page_url}


def _entries(found: object) -> list[dict[str, object]]:
    """The entries of a list with the fields we know, as texts of bounded length; links only to https."""
    entries: list[dict[str, object]] = []
    for item in found[:MAX_ENTRIES] if isinstance(found, list) else []:
        if isinstance(item, Mapping):
            entry: dict[str, object] = {name: _clean(item[name]) for name in _TEXTS if isinstance(item.get(name), str)}
            url = item.get("url")
            if isinstance(url, str) and url.startswith("https://") and len(url) <= MAX_TEXT and url.isprintable():
                entry["url"] = url
            entries.append(entry)
    return entries


def _clean(text: object) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in str(text)[:MAX_TEXT])
