"""The key that signs page cursors: made once per deployment, shared by all functions (T19)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.domain import state_keys
from shared.domain.stored import StateItem
from shared.ports import Clock, StateStore
from shared.services.update_state import update_state


@dataclass
class CursorKey:
    state: StateStore
    clock: Clock
    new_secret: Callable[[], str]
    _known: bytes | None = None

    def read(self) -> bytes:
        """One read a process; of several that make it at the same moment the first one's counts."""
        if self._known is None:
            kept = update_state(self.state, self.clock, state_keys.CURSOR_KEY, self._made_once)
            assert kept is not None
            self._known = str(kept.value["key"]).encode()
        return self._known

    def _made_once(self, item: StateItem | None) -> dict[str, object] | None:
        return None if item else {"key": self.new_secret()}
