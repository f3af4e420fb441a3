"""The key that signs page cursors: made once per deployment, shared by all functions (T19)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from shared.domain.errors import StaleWrite
from shared.ports import Clock, StateStore

CURSOR_KEY_STATE = "signing-key#cursor"


@dataclass
class CursorKey:
    state: StateStore
    clock: Clock
    new_secret: Callable[[], str]
    _known: bytes | None = field(default=None)

    def read(self) -> bytes:
        """One read a process; of several that make it at the same moment the first one's counts."""
        if self._known is None:
            now = self.clock.now()
            item = self.state.get(CURSOR_KEY_STATE, now=now)
            if item is None:
                with suppress(StaleWrite):
                    self.state.put(CURSOR_KEY_STATE, {"key": self.new_secret()}, now=now, if_version=0)
                item = self.state.get(CURSOR_KEY_STATE, now=now)
                assert item is not None
            self._known = str(item.value["key"]).encode()
        return self._known
