"""One tick from the queue: look at the active jobs of a provider."""

from __future__ import annotations

from functions._event_handler import Answer, Event, event_handler
from shared.domain.errors import InvalidRequestError, UnknownProviderError
from shared.services.polling.poll_provider import PollProvider
from shared.services.polling.start_ticks import Tick
from shared.services.providers.provider_named import provider_named
from shared.telemetry import logger
from shared.wiring import wiring


def poll_provider(event: Event) -> Answer:
    """A tick that is late or not one of ours is dropped; the next one is on its way already."""
    parts = wiring()
    outcomes = []
    for record in event["Records"]:
        try:
            tick = Tick.decode(record["body"])
            provider = provider_named(parts.providers, tick.provider)
        except (InvalidRequestError, UnknownProviderError) as error:
            logger.warning("tick dropped", extra={"reason": error.detail})
            continue
        if tick.is_late(parts.clock.now()):
            outcomes.append("late")
            continue
        outcomes.append(parts.use(PollProvider).run(provider, interval=tick.interval).value)
    return {"outcomes": outcomes}


handler = event_handler(poll_provider)
