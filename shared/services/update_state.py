"""Read a piece of shared state, change it, and write it if nobody was first; else once more on what is there now."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import timedelta

from shared.domain.errors import StaleWrite, StoreUnavailableError
from shared.domain.stored import StateItem
from shared.ports import Clock, StateStore

TRIES = 8

Change = Callable[[StateItem | None], Mapping[str, object] | None]
"""The new value from what is stored (None: absent or expired); None: nothing is to be written."""


def update_state(
    state: StateStore,
    clock: Clock,
    key: str,
    change: Change,
    *,
    life: timedelta | None = None,
) -> StateItem | None:
    """What is stored afterwards; `life` is how long it then lasts, None: for good.

    Raises StoreUnavailableError when others were first every time, and whatever `change` raises.
    """
    for attempt in range(TRIES):
        if attempt:
            clock.sleep(random.uniform(0.01, 0.05))
        now = clock.now()
        item = state.get(key, now=now)
        value = change(item)
        if value is None:
            return item
        try:
            version = state.put(
                key,
                value,
                now=now,
                expires_at=now + life if life else None,
                if_version=item.version if item else 0,
            )
        except StaleWrite:
            continue
        return StateItem(value, version)
    raise StoreUnavailableError("This is being changed by others; try again in a moment.")
