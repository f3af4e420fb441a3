"""Second reader of the event stream: jobs that have ended go to the queue of final logs."""

from __future__ import annotations

from functions._event_handler import Answer, Event, event_handler
from shared.services.logs.keep_final_log import encode_log_request
from shared.wiring import wiring


def route_ended_jobs(event: Event) -> Answer:
    """A batch told twice is queued twice; keeping a log a second time asks nobody."""
    images = [record["dynamodb"].get("NewImage", {}) for record in event["Records"]]
    ended = [job_id for image in images if "ended" in image for job_id in image["ended"]["S"].split()]
    wiring().final_logs_queue.send([encode_log_request(job_id) for job_id in dict.fromkeys(ended)])
    return {"batchItemFailures": []}


handler = event_handler(route_ended_jobs)
