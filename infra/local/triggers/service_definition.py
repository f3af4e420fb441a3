"""What invokes which function, read from `serverless.yml`: the one place where triggers are written down."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.names import STAGE
from infra.templates import REPOSITORY, load_template

_FILE = re.compile(r"\$\{file\(([^)]+)\)\}")
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_UNIT_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}


@dataclass(frozen=True, slots=True)
class StreamTrigger:
    """A function that a table's stream wakes. Ages and windows are seconds; -1 retries are endless."""

    function: str
    table: str
    batch_size: int
    batch_window: float
    maximum_retry_attempts: int
    maximum_record_age: float
    from_horizon: bool
    reports_failures: bool
    filter_patterns: tuple[Mapping[str, Any], ...]
    failure_queue: str | None


@dataclass(frozen=True, slots=True)
class QueueTrigger:
    """A function that a queue feeds. `batching_window` is in seconds."""

    function: str
    queue: str
    batch_size: int
    batching_window: float
    maximum_concurrency: int
    reports_failures: bool


@dataclass(frozen=True, slots=True)
class ScheduleTrigger:
    """A function that a clock wakes every so many seconds."""

    function: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ServiceDefinition:
    """The functions of the service and what triggers them. Triggers name a function as `serverless.yml` does.

    `account_names` are the names that the functions have in the local stage of an account; time-outs are seconds,
    memories MB.
    """

    functions: Mapping[str, Mapping[str, Any]]
    account_names: Mapping[str, str]
    timeouts: Mapping[str, float]
    memories: Mapping[str, int]
    stream_triggers: tuple[StreamTrigger, ...]
    queue_triggers: tuple[QueueTrigger, ...]
    schedule_triggers: tuple[ScheduleTrigger, ...]
    warm_up_paths: tuple[str, ...]


def read_service(path: Path = REPOSITORY / "serverless.yml") -> ServiceDefinition:
    """Raises ValueError when a stream or queue trigger does not name a resource of ours."""
    service = load_template(path)
    functions = dict(_functions(service, path.parent))
    provider = service["provider"]
    streams: list[StreamTrigger] = []
    queues: list[QueueTrigger] = []
    schedules: list[ScheduleTrigger] = []
    for name, function in functions.items():
        for event in function.get("events", []):
            if "stream" in event:
                streams.append(_stream_trigger(name, event["stream"]))
            if "sqs" in event:
                queues.append(_queue_trigger(name, event["sqs"]))
            if "schedule" in event:
                schedules.append(ScheduleTrigger(name, _seconds_of(event["schedule"])))
    return ServiceDefinition(
        functions=functions,
        account_names={name: f"{service['service']}-{STAGE}-{name}" for name in functions},
        timeouts={name: float(one.get("timeout", provider.get("timeout", 6))) for name, one in functions.items()},
        memories={name: int(one.get("memorySize", provider["memorySize"])) for name, one in functions.items()},
        stream_triggers=tuple(streams),
        queue_triggers=tuple(queues),
        schedule_triggers=tuple(schedules),
        warm_up_paths=tuple(service.get("custom", {}).get("warmUpPaths", ())),
    )


def _seconds_of(rate: str) -> float:
    """`rate(1 minute)` to 60. Raises ValueError for another form."""
    match = _RATE.fullmatch(rate)
    if match is None:
        raise ValueError(f"a schedule is written `rate(n minutes)` here, not {rate!r}")
    return int(match.group(1)) * _UNIT_SECONDS[match.group(2)]


def _functions(service: Mapping[str, Any], root: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    declared = service["functions"]
    for block in declared if isinstance(declared, list) else [declared]:
        included = _FILE.fullmatch(block) if isinstance(block, str) else None
        yield from (load_template(root / included.group(1)) if included else block).items()


def _logical_id(reference: Any, suffix: str) -> str:
    """`!GetAtt X.Arn` or `!Ref X<suffix>` to X."""
    match reference:
        case {"Fn::GetAtt": [str(logical_id), _]}:
            return logical_id
        case {"Ref": str(parameter)} if parameter.endswith(suffix):
            return parameter.removesuffix(suffix)
    raise ValueError(f"a trigger must refer to a resource of ours, not {reference!r}")


def _stream_trigger(function: str, stream: Mapping[str, Any]) -> StreamTrigger:
    failure = stream.get("destinations", {}).get("onFailure", {}).get("arn")
    return StreamTrigger(
        function=function,
        table=_logical_id(stream["arn"], "StreamArn"),
        batch_size=int(stream.get("batchSize", 100)),
        batch_window=float(stream.get("batchWindow", 0)),
        maximum_retry_attempts=int(stream.get("maximumRetryAttempts", -1)),
        maximum_record_age=float(stream.get("maximumRecordAgeInSeconds", -1)),
        from_horizon=stream.get("startingPosition", "TRIM_HORIZON") == "TRIM_HORIZON",
        reports_failures=stream.get("functionResponseType") == "ReportBatchItemFailures",
        filter_patterns=tuple(stream.get("filterPatterns", ())),
        failure_queue=_logical_id(failure, "Arn") if failure else None,
    )


def _queue_trigger(function: str, queue: Mapping[str, Any]) -> QueueTrigger:
    return QueueTrigger(
        function=function,
        queue=_logical_id(queue["arn"], "Arn"),
        batch_size=int(queue.get("batchSize", 10)),
        batching_window=float(queue.get("maximumBatchingWindow", 0)),
        maximum_concurrency=int(queue.get("maximumConcurrency", 2)),
        reports_failures=queue.get("functionResponseType") == "ReportBatchItemFailures",
    )
