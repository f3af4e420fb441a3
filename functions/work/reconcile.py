"""Every minute: the slow look at active jobs that webhooks should have told about, when it is due."""

from __future__ import annotations

from functions._event_handler import Answer, Event, event_handler
from shared.services.polling.reconcile import Reconcile
from shared.wiring import wiring


def reconcile(event: Event) -> Answer:
    parts = wiring()
    outcomes = parts.use(Reconcile).run(list(parts.providers.values()))
    return {"outcomes": {name: outcome.value for name, outcome in outcomes.items()}}


handler = event_handler(reconcile)
