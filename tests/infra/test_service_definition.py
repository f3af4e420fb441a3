"""serverless.yml and the code agree: every function file is a function, every route reaches its function."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute

from infra.local.queues.definitions import queue_definitions
from infra.local.stack.tables import table_definitions
from infra.local.triggers.service_definition import read_service
from infra.templates import REPOSITORY, load_template

SERVICE = read_service()
FOLDERS = ("http", "socket", "work")


def _function_files() -> Iterator[str]:
    for folder in FOLDERS:
        for path in (REPOSITORY / "functions" / folder).glob("*.py"):
            if not path.name.startswith("_"):
                yield f"functions/{folder}/{path.stem}.handler"


def test_every_function_file_is_a_function_and_every_function_has_its_file() -> None:
    assert sorted(_function_files()) == sorted(str(function["handler"]) for function in SERVICE.functions.values())


def test_every_function_is_named_after_its_file() -> None:
    for key, function in SERVICE.functions.items():
        assert str(function["handler"]).split("/")[-1] == f"{key}.handler"


@pytest.mark.parametrize("key", SERVICE.functions)
def test_every_function_states_its_own_rights_and_what_it_is_for(key: str) -> None:
    function = SERVICE.functions[key]
    assert isinstance(function.get("iamRoleStatements"), list), "without them the shared role would be used"
    assert function.get("description")


@pytest.mark.parametrize("key", [key for key, f in SERVICE.functions.items() if "functions/http/" in f["handler"]])
def test_every_route_of_a_function_reaches_it(key: str) -> None:
    function = SERVICE.functions[key]
    declared = {event["httpApi"] for event in function["events"] if "httpApi" in event}
    if declared == {"*"}:
        return
    router = importlib.import_module(f"functions.http.{key}").router
    served = {
        f"{method} {route.path.replace(':path}', '+}')}"
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert {_without_names(route) for route in declared} == {_without_names(route) for route in served}


def test_no_route_is_declared_twice() -> None:
    routes = [
        _without_names(event["httpApi"])
        for function in SERVICE.functions.values()
        for event in function.get("events", [])
        if "httpApi" in event
    ]
    assert len(routes) == len(set(routes))


def test_triggers_name_tables_and_queues_that_exist() -> None:
    for stream in SERVICE.stream_triggers:
        assert "StreamSpecification" in table_definitions()[stream.table]
        assert stream.failure_queue in queue_definitions()
    for queue in SERVICE.queue_triggers:
        assert queue.queue in queue_definitions()


def test_batches_above_ten_have_a_window_as_sqs_demands() -> None:
    for queue in SERVICE.queue_triggers:
        assert queue.batch_size <= 10 or queue.batching_window >= 1


def test_a_queue_hides_a_message_for_six_time_outs_of_its_reader() -> None:
    for queue in SERVICE.queue_triggers:
        assert int(queue_definitions()[queue.queue]["VisibilityTimeout"]) >= 6 * SERVICE.timeouts[queue.function]


def test_stream_readers_give_up_and_report_instead_of_blocking_their_shard() -> None:
    for stream in SERVICE.stream_triggers:
        assert 0 <= stream.maximum_retry_attempts <= 10
        assert 0 < stream.maximum_record_age <= 86_400
        assert stream.reports_failures
        assert stream.failure_queue


def test_what_was_told_before_there_was_a_mapping_is_heard_all_the_same() -> None:
    """A first start, or a renamed function: the stream keeps a day, and both readers may hear a record twice (I45)."""
    assert all(stream.from_horizon for stream in SERVICE.stream_triggers)
    trigger = next(stream for stream in SERVICE.stream_triggers if stream.function == "route_ended_jobs")
    assert trigger.maximum_record_age == 86_400


def test_no_http_function_outlives_the_gateway() -> None:
    for name, function in SERVICE.functions.items():
        if "functions/http/" in function["handler"]:
            assert SERVICE.timeouts[name] < 29


def test_tables_are_defined_in_the_storage_stack_only() -> None:
    for path in [REPOSITORY / "serverless.yml", *(REPOSITORY / "infra").rglob("*.yml")]:
        if path.name != "storage.yml":
            assert "AWS::DynamoDB::Table" not in path.read_text(encoding="utf-8"), path.name


def test_every_worker_is_watched_by_the_alarm() -> None:
    alarms = load_template(REPOSITORY / "infra" / "resources" / "alarms.yml")["Resources"]
    watched = {metric["Id"] for metric in alarms["WorkErrorsAlarm"]["Properties"]["Metrics"]} - {"all"}
    workers = {key for key, function in SERVICE.functions.items() if "functions/work/" in function["handler"]}
    assert workers <= watched
    assert len(watched) <= 10


def _without_names(route: str) -> str:
    """`GET /jobs/{job_id}` and `GET /jobs/{id}` are one route to the gateway."""
    parts = route.split("/")
    return "/".join("{}" if part.startswith("{") and not part.endswith("+}") else part for part in parts)
