"""Replicate's status page: incident.io's summary."""

from __future__ import annotations

from collections.abc import Mapping

from shared.adapters.providers.replicate.profile import PROFILE
from shared.domain.system_status import StatusEntry, SystemStatus
from shared.domain.text import shorten_line

SUMMARY_URL = f"{PROFILE.status_page_url}/api/v1/summary"
MAX_ENTRIES = 20
MAX_TEXT = 300

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


def status_from_summary(summary: Mapping[str, object]) -> SystemStatus:
    """The three lists, as far as they can be read; nothing of the summary is required."""
    return SystemStatus(
        ongoing_incidents=_entries(summary.get("ongoing_incidents")),
        in_progress_maintenances=_entries(summary.get("in_progress_maintenances")),
        scheduled_maintenances=_entries(summary.get("scheduled_maintenances")),
    )


def _entries(found: object) -> tuple[StatusEntry, ...]:
    """The entries of a list with the fields we know, as texts of bounded length; links only to https."""
    entries: list[StatusEntry] = []
    for item in found[:MAX_ENTRIES] if isinstance(found, list) else []:
        if isinstance(item, Mapping):
            entry = {name: shorten_line(item[name], MAX_TEXT) for name in _TEXTS if isinstance(item.get(name), str)}
            url = item.get("url")
            if isinstance(url, str) and url.startswith("https://") and len(url) <= MAX_TEXT and url.isprintable():
                entry["url"] = url
            entries.append(entry)
    return tuple(entries)
