"""Second reader of the event stream: jobs that have ended go to the queue of final logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from functions._event_handler import Answer, Event, event_handler
from shared.domain.event import EventType
from shared.domain.job import TERMINAL_STATUSES
from shared.services.logs.keep_final_log import encode_log_request
from shared.wiring import wiring


def route_ended_jobs(event: Event) -> Answer:
    """A batch told twice is queued twice; keeping a log a second time asks nobody."""
    images = [record["dynamodb"].get("NewImage", {}) for record in event["Records"]]
    ended = [image["job_id"]["S"] for image in images if _is_end(image)]
    wiring().final_logs_queue.send([encode_log_request(job_id) for job_id in dict.fromkeys(ended)])
    return {"batchItemFailures": []}


def _is_end(image: Mapping[str, Any]) -> bool:
    """Whatever else has a status, only a change into a terminal one is an end."""
    kind, status = (image.get(name, {}).get("S") for name in ("type", "status"))
    return kind == EventType.STATUS_CHANGED and status in TERMINAL_STATUSES


handler = event_handler(route_ended_jobs)
