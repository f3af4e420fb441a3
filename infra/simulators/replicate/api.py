"""The provider's HTTP interface (`/v1/…`)."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import catalogue, problems
from .clock import NANOSECONDS
from .faults import FaultKind, SwitchedFault
from .jobs import JobView, Shape, SimulatedJob, SimulatedKind, Status
from .problems import ErrorAnswer
from .requests_read import Create, read_create
from .simulator import Page, Simulator
from .wire import Body, cold_time, encode, job_body, list_item, make_cursor, parse_time, read_cursor

USERNAME = "local-simulator"
_MOST_STEPS = 1_000_000
_CREATE_QUOTA = 600
_OTHER_QUOTA = 3_000
_GET_QUOTA = 60_000


def problem_response(problem: ErrorAnswer, headers: Mapping[str, str] | None = None) -> Response:
    merged = {**(headers or {}), **problem.headers}
    return Response(problem.encode(), problem.status, merged, media_type="application/problem+json")


def quota_headers(quota: int) -> dict[str, str]:
    """The headers of a normal answer; `ratelimit-remaining` is what a client sees that asks for the first time."""
    return {
        "ratelimit-remaining": str(quota - 1),
        "ratelimit-reset": "1",
        "replicate-edge-cluster": "services-aws-us-west-2",
        "cf-ray": f"{secrets.token_hex(8)}-PDX",
    }


class ReplicateApi:
    """The routes over one simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def application(self) -> Starlette:
        """The Starlette application; unknown paths and methods answer as the provider does."""
        get, post = ["GET"], ["POST"]
        return Starlette(
            routes=[
                Route("/v1/account", self.account, methods=get),
                Route("/v1/predictions", self.list_predictions, methods=get),
                Route("/v1/predictions", self.create_prediction, methods=post),
                Route("/v1/predictions/{id}", self.get_prediction, methods=get),
                Route("/v1/predictions/{id}/cancel", self.cancel_prediction, methods=post),
                Route("/v1/trainings", self.list_trainings, methods=get),
                Route("/v1/trainings/{id}", self.get_training, methods=get),
                Route("/v1/trainings/{id}/cancel", self.cancel_training, methods=post),
                Route("/v1/models/{owner}/{name}/versions", self.list_versions, methods=get),
                Route("/v1/webhooks/default/secret", self.webhook_secret, methods=get),
            ],
            exception_handlers={ErrorAnswer: _answer_problem, HTTPException: _answer_http_error},
        )

    # account

    async def account(self, _request: Request) -> Response:
        home = f"https://github.com/{USERNAME}"
        links = {"avatar_url": f"{home}.png", "github_url": home}
        return _json({"type": "user", "username": USERNAME, "name": "", **links})

    async def webhook_secret(self, _request: Request) -> Response:
        return _json({"key": self._simulator.webhook_secret})

    # models

    async def list_versions(self, request: Request) -> Response:
        model = f"{request.path_params['owner']}/{request.path_params['name']}"
        if model not in catalogue.MODELS:
            raise problems.not_found()
        versions = [_version_body(version) for version in catalogue.versions_of(model)]
        return _json({"next": None, "previous": None, "results": versions})

    # creating

    async def create_prediction(self, request: Request) -> Response:
        create = read_create(await request.body())
        model, version = _resolve(create.version)
        simulator = self._simulator
        job_id = simulator.new_id()
        steps, epochs = _length(create.input)
        job = simulator.add(
            SimulatedJob(
                id=job_id,
                kind=SimulatedKind.PREDICTION,
                model=model,
                version=version,
                created_ns=simulator.now_ns(),
                boot_seconds=simulator.usual_boot_seconds(),
                run_seconds=simulator.usual_run_seconds(),
                input=create.input,
                output=_planned_output(create, model, job_id),
                steps=steps,
                epochs=epochs,
                log_style=catalogue.log_style_of(model),
                seed=simulator.new_seed(),
                webhook=create.webhook,
                webhook_events=create.webhook_events,
            )
        )
        body = self._body(request, job, simulator.view(job), natural=Shape.HOT)
        headers = quota_headers(_CREATE_QUOTA)
        return Response(encode(body), 201, headers, media_type="application/json; charset=utf-8")

    # reading

    async def get_prediction(self, request: Request) -> Response:
        return self._one(request, self._simulator.find(request.path_params["id"]), quota=_GET_QUOTA)

    async def get_training(self, request: Request) -> Response:
        job = self._simulator.find(request.path_params["id"], SimulatedKind.TRAINING)
        return self._one(request, job, natural=Shape.COLD, trainings_url=True)

    async def cancel_prediction(self, request: Request) -> Response:
        return self._cancel(request, self._simulator.find(request.path_params["id"]))

    async def cancel_training(self, request: Request) -> Response:
        return self._cancel(request, self._simulator.find(request.path_params["id"], SimulatedKind.TRAINING))

    def _cancel(self, request: Request, job: SimulatedJob) -> Response:
        """End a running job, at once or after the set lag; the answer always shows the end that was asked for."""
        lag = self._simulator.settings.cancel_lag_seconds
        job = self._simulator.end(job.id, Status.CANCELED, lag_seconds=lag)
        shown = job
        if lag and job.ending is not None:
            at = min(job.ending.at_ns, self._simulator.now_ns())
            shown = replace(job, ending=replace(job.ending, at_ns=at))
        return self._one(request, shown, natural=Shape.COLD)

    def _one(
        self,
        request: Request,
        job: SimulatedJob,
        *,
        natural: Shape | None = None,
        trainings_url: bool = False,
        quota: int = _OTHER_QUOTA,
    ) -> Response:
        seen = self._simulator.view(job)
        body = self._body(request, job, seen, natural or self._simulator.natural_shape(seen), trainings_url)
        return Response(
            encode(body, raw_controls=job.raw_controls), 200, quota_headers(quota), media_type="application/json"
        )

    def _body(
        self, request: Request, job: SimulatedJob, seen: JobView, natural: Shape, trainings_url: bool = False
    ) -> Body:
        chosen = (shape for shape in (job.shape, self._simulator.settings.shape) if shape is not Shape.AUTO)
        return job_body(
            job,
            seen,
            shape=next(chosen, natural),
            origin=_origin(request),
            trainings_url=trainings_url,
            removed=self._simulator.is_removed(job, seen),
        )

    # lists

    async def list_predictions(self, request: Request) -> Response:
        after = _time_parameter(request, "created_after")
        before = _time_parameter(request, "created_before")
        return self._list(request, SimulatedKind.PREDICTION, after_ns=after, before_ns=before)

    async def list_trainings(self, request: Request) -> Response:
        return self._list(request, SimulatedKind.TRAINING)

    def _list(
        self, request: Request, kind: SimulatedKind, *, after_ns: int | None = None, before_ns: int | None = None
    ) -> Response:
        cursor = request.query_params.get("cursor")
        try:
            position = read_cursor(cursor) if cursor else None
        except ValueError as error:
            raise problems.invalid_cursor() from error
        page = self._simulator.page(kind, position=position, after_ns=after_ns, before_ns=before_ns)
        results = [self._item(request, job) for job in page.jobs]
        return _json({"next": _next(request, page), "previous": None, "results": results})

    def _item(self, request: Request, job: SimulatedJob) -> Body:
        seen = self._simulator.view(job)
        removed = self._simulator.is_removed(job, seen)
        return list_item(job, seen, origin=_origin(request), removed=removed)


def _next(request: Request, page: Page) -> str | None:
    if _bent(request, FaultKind.PAGE_LOOP):
        return f"{_origin(request)}{request.url.path}?{request.url.query or 'cursor='}"
    if off := _bent(request, FaultKind.NEXT_OFF_ORIGIN):
        return off.text("url", "https://api.replicate.com.example.org/v1/predictions?cursor=cD0x")
    if page.next_position is None:
        return None
    query = request.url.include_query_params(cursor=make_cursor(*page.next_position)).query
    origin = _origin(request)
    if _bent(request, FaultKind.NEXT_HTTP):
        origin = "http://" + origin.split("://", 1)[1]
    return f"{origin}{request.url.path}?{query}"


def _origin(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def _json(body: object) -> Response:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), 200, quota_headers(_OTHER_QUOTA), media_type="application/json")


def _bent(request: Request, kind: FaultKind) -> SwitchedFault | None:
    """The fault of `kind` that strikes this request, if any."""
    striking: list[SwitchedFault] = request.scope.get("state", {}).get("faults", [])
    return next((fault for fault in striking if fault.kind is kind), None)


def _version_body(version: catalogue.Version) -> Body:
    return {
        "id": version.id,
        "created_at": cold_time(version.created_seconds * NANOSECONDS),
        "cog_version": version.cog_version,
        "openapi_schema": {"openapi": "3.0.2", "info": {"title": "Cog", "version": "0.1.0"}, "paths": {}},
    }


def _resolve(version: str) -> tuple[str, str]:
    """(model, version id) of `owner/name:id` or a bare id."""
    model, _, version_id = version.rpartition(":")
    if not catalogue.is_version_id(version_id) or (model and not catalogue.is_model_name(model)):
        raise problems.invalid_version()
    return model or catalogue.model_of_version(version_id), version_id


def _length(given: Mapping[str, object]) -> tuple[int, int]:
    """(steps, epochs) that the input asks for, with the trainer's usual values where it does not say."""
    config: Mapping[str, object] = {}
    written = given.get("config_json")
    if isinstance(written, str):
        try:
            parsed = json.loads(written)
        except ValueError:
            parsed = {}
        config = (
            {str(key).removeprefix("--"): value for key, value in parsed.items()} if isinstance(parsed, dict) else {}
        )
    steps = _positive(given.get("max_train_steps"), given.get("steps"), config.get("max_train_steps")) or 2000
    return min(_MOST_STEPS, steps), min(10_000, _positive(config.get("num_train_epochs")) or 10)


def _positive(*candidates: object) -> int | None:
    for candidate in candidates:
        if isinstance(candidate, int | float | str) and not isinstance(candidate, bool):
            try:
                number = int(candidate)
            except (ValueError, OverflowError):
                continue
            if number > 0:
                return number
    return None


def _planned_output(create: Create, model: str, job_id: str) -> object:
    if not model.startswith("simpletuner/"):
        return [f"https://replicate.delivery/xezq/{job_id}/out-0.webp"]
    hub_model = create.input.get("hub_model_id")
    if isinstance(hub_model, str) and hub_model:
        return f"https://huggingface.co/{hub_model}"
    return f"Training complete. Output: output/cog/cog-{job_id[:8]}"


def _time_parameter(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return parse_time(text)
    except (ValueError, OverflowError) as error:
        raise problems.bad_request(f"{name} must be an ISO 8601 date-time") from error


async def _answer_problem(_request: Request, problem: Exception) -> Response:
    if not isinstance(problem, ErrorAnswer):
        raise problem
    return problem_response(problem, quota_headers(_OTHER_QUOTA))


async def _answer_http_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 404:
        return problem_response(problems.not_found(), quota_headers(_OTHER_QUOTA))
    return problem_response(ErrorAnswer(error.status_code, {"detail": error.detail}))
