"""A relay that ends by a fault ends the stack: changes would go untold, and nobody would know (I45)."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

from infra.local.queues.definitions import queue_names, queue_rules
from infra.local.queues.kept_queues import KeptQueues, NewMessage
from infra.local.triggers.activity import Activity
from infra.local.triggers.relays import Relays
from infra.local.triggers.service_definition import read_service


def test_the_death_of_a_relay_is_told(tmp_path: Path) -> None:
    queues = KeptQueues(tmp_path / "queues.db", queue_rules())
    stop, died = threading.Event(), threading.Event()

    def broken(function: str, event: dict[str, Any]) -> Any:
        raise ZeroDivisionError(function)

    nothing = cast(Any, None)
    relays = Relays(
        service=read_service(),
        dynamodb=nothing,
        streams=nothing,
        queues=queues,
        tables={},
        queue_names=queue_names(),
        invoke=broken,
        activity=Activity(),
        stop=stop,
        on_death=died.set,
    )
    hook, threading.excepthook = threading.excepthook, lambda told: None
    try:
        relays.start()
        queues.send(queue_names()["TicksQueue"], [NewMessage("a tick")])
        assert died.wait(30)
    finally:
        stop.set()
        queues.wake()
        threading.excepthook = hook
