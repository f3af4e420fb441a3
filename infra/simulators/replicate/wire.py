"""Jobs as the provider writes them: two shapes, list items, times, cursors."""

import base64
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode

from .clock import NANOSECONDS
from .job_log import job_log
from .jobs import JobView, Shape, SimulatedJob, SimulatedKind, Status

Body = dict[str, object]

_MILLISECOND = 1_000_000
_LARGEST_SHIFT_MS = 60
_SUB_MICROSECOND = re.compile(r"(\.\d{6})\d+")


def hot_time(at_ns: int) -> str:
    """`…:08.36078514Z`: as many of nine digits as are needed, none for a whole second."""
    seconds, fraction = divmod(at_ns, NANOSECONDS)
    digits = f"{fraction:09d}".rstrip("0")
    return f"{_to_second(seconds)}{'.' + digits if digits else ''}Z"


def cold_time(at_ns: int) -> str:
    """`…:08.360785Z`: always six digits."""
    seconds, fraction = divmod(at_ns, NANOSECONDS)
    return f"{_to_second(seconds)}.{fraction // 1000:06d}Z"


def hot_created(job: SimulatedJob) -> str:
    return hot_time(job.created_ns // _MILLISECOND * _MILLISECOND)


def cold_created_ns(job: SimulatedJob) -> int:
    """The cold back end saw the job some milliseconds after the hot one."""
    return job.created_ns // _MILLISECOND * _MILLISECOND + job.seed % _LARGEST_SHIFT_MS * _MILLISECOND


def parse_time(text: str) -> int:
    """An RFC 3339 time as nanoseconds; raises ValueError if it is none."""
    parsed = datetime.fromisoformat(_SUB_MICROSECOND.sub(r"\1", text.replace(" ", "+")))
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    since = parsed - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def _to_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def job_body(
    job: SimulatedJob, seen: JobView, *, shape: Shape, origin: str, trainings_url: bool = False, removed: bool = False
) -> Body:
    """One job in full. `removed`: the hour after its end is over, so input, output and logs are gone."""
    log = "" if removed else job_log(job, seen)
    if shape is Shape.COLD:
        return _cold(job, seen, origin, trainings_url=trainings_url, removed=removed) | {"logs": log or None}
    return _hot(job, seen, origin, log, trainings_url=trainings_url, removed=removed)


def list_item(job: SimulatedJob, seen: JobView, *, origin: str, removed: bool = False) -> Body:
    """One job as a list shows it: the cold shape without logs; a training also without data_removed."""
    body = _cold(job, seen, origin, trainings_url=job.kind is SimulatedKind.TRAINING, removed=removed)
    del body["logs"]
    if job.kind is SimulatedKind.TRAINING:
        del body["data_removed"]
    return body


def webhook_body(job: SimulatedJob, seen: JobView, *, origin: str) -> Body:
    """One job as a webhook tells it: the hot shape plus the webhook's own fields."""
    body = _hot(job, seen, origin, job_log(job, seen), trainings_url=False, removed=False)
    body["webhook"] = job.webhook
    if job.webhook_events is not None:
        body["webhook_events_filter"] = list(job.webhook_events)
    return body


def _hot(job: SimulatedJob, seen: JobView, origin: str, log: str, *, trainings_url: bool, removed: bool) -> Body:
    body: Body = {
        "id": job.id,
        "model": job.model,
        "version": job.version,
        "input": {} if removed else dict(job.input),
        "logs": log,
        "output": None if removed else _output(job, seen),
        "data_removed": removed,
        "error": seen.error,
        "status": job.status_word or seen.status.value,
        "created_at": hot_created(job),
    }
    if seen.started_ns is not None:
        body["started_at"] = hot_time(seen.started_ns)
    if seen.completed_ns is not None:
        body["completed_at"] = hot_time(seen.completed_ns)
        if seen.started_ns is not None and job.has_metrics:
            body["metrics"] = {"predict_time": (seen.completed_ns - seen.started_ns) / NANOSECONDS}
    if job.deadline_ns is not None:
        body["deadline"] = hot_time(job.deadline_ns)
    body["urls"] = _urls(job, origin, trainings_url)
    return body


def _cold(job: SimulatedJob, seen: JobView, origin: str, *, trainings_url: bool, removed: bool) -> Body:
    """The cold shape; `logs` stands in its place, still null."""
    body: Body = {
        "completed_at": None if seen.completed_ns is None else cold_time(seen.completed_ns),
        "created_at": cold_time(cold_created_ns(job)),
        "data_removed": removed,
        "error": seen.error,
        "id": job.id,
        "input": {} if removed else dict(job.input),
        "logs": None,
    }
    metrics = _cold_metrics(job, seen)
    if metrics is not None:
        body["metrics"] = metrics
    body["output"] = None if removed else _output(job, seen)
    body["started_at"] = None if seen.started_ns is None else cold_time(seen.started_ns)
    body["source"] = job.source
    body["status"] = job.status_word or seen.status.value
    if job.deadline_ns is not None:
        body["deadline"] = cold_time(job.deadline_ns)
    body["urls"] = {**_urls(job, origin, trainings_url), "web": f"https://replicate.com/p/{job.id}"}
    body["model"] = job.model
    body["version"] = job.version
    return body


def _cold_metrics(job: SimulatedJob, seen: JobView) -> Mapping[str, float] | None:
    if not seen.is_terminal:
        return {}
    if seen.started_ns is None or seen.completed_ns is None or not job.has_metrics:
        return None
    total = max(0, seen.completed_ns - cold_created_ns(job)) / NANOSECONDS
    return {
        "predict_time": (seen.completed_ns - seen.started_ns) / NANOSECONDS,
        "total_time": round(total, 6),
    }


def _output(job: SimulatedJob, seen: JobView) -> object:
    return job.output if seen.status is Status.SUCCEEDED else None


def _urls(job: SimulatedJob, origin: str, trainings_url: bool) -> dict[str, str]:
    home = f"{origin}/v1/{'trainings' if trainings_url else 'predictions'}/{job.id}"
    return {"cancel": f"{home}/cancel", "get": home}


def encode(body: Body, *, raw_controls: bool = False) -> bytes:
    """JSON as the provider sends it; with `raw_controls` the logs stand in it unescaped, which strict JSON forbids."""
    logs = body.get("logs")
    if not raw_controls or not isinstance(logs, str):
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    placeholder = "\x00logs\x00"
    text = json.dumps({**body, "logs": placeholder}, ensure_ascii=False, separators=(",", ":"))
    raw = (logs + "\x1b[A\r").replace("\\", "\\\\").replace('"', '\\"')
    return text.replace(json.dumps(placeholder), f'"{raw}"', 1).encode("utf-8", "replace")


def make_cursor(created_ns: int, job_id: str) -> str:
    """An opaque position in a list: base64 of a query string, as Django REST framework makes it."""
    return base64.b64encode(urlencode({"p": str(created_ns), "i": job_id}).encode()).decode()


def read_cursor(cursor: str) -> tuple[int, str]:
    """(created_ns, id); raises ValueError for anything that make_cursor did not write."""
    try:
        position = parse_qs(base64.b64decode(cursor, validate=True).decode("ascii"), strict_parsing=True)
        return int(position["p"][0]), position["i"][0]
    except KeyError as missing:
        raise ValueError("not a cursor") from missing
