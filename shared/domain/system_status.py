"""What a provider says of itself on its status page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

StatusEntry = Mapping[str, str]
"""An incident or a maintenance: short printable texts by field, `url` an https address."""


@dataclass(frozen=True, slots=True)
class SystemStatus:
    ongoing_incidents: tuple[StatusEntry, ...] = ()
    in_progress_maintenances: tuple[StatusEntry, ...] = ()
    scheduled_maintenances: tuple[StatusEntry, ...] = ()

    @property
    def is_operational(self) -> bool:
        return not self.ongoing_incidents and not self.in_progress_maintenances
