"""The provider's HTTP interface (`/v1/…`)."""

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import catalogue, problems
from .clock import NANOSECONDS
from .faults import Fault, FaultKind
from .jobs import Job, JobKind, Observation, Shape, Status
from .problems import ProviderError
from .requests_read import Create, read_cancel_after, read_create, read_upload, read_wait
from .simulator import Page, Place, Simulator
from .wire import Body, cold_time, encode, hot_time, job_body, list_item, make_cursor, parse_time, read_cursor

_FILE_LIFE_NS = 86_400 * NANOSECONDS
_WAIT_LOOK_SECONDS = 0.05
_MOST_STEPS = 1_000_000
_CREATE_QUOTA = 600
_OTHER_QUOTA = 3_000
_GET_QUOTA = 60_000


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An upload; kept in memory only."""

    body: Body
    content: bytes


def problem_response(problem: ProviderError, headers: Mapping[str, str] | None = None) -> Response:
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
        self._files: dict[str, StoredFile] = {}

    def application(self) -> Starlette:
        """The Starlette application; unknown paths and methods answer as the provider does."""
        get, post = ["GET"], ["POST"]
        model = "/v1/models/{owner}/{name}"
        return Starlette(
            routes=[
                Route("/v1/account", self.account, methods=get),
                Route("/v1/hardware", self.hardware, methods=get),
                Route("/v1/predictions", self.list_predictions, methods=get),
                Route("/v1/predictions", self.create_prediction, methods=post),
                Route("/v1/predictions/{id}", self.get_prediction, methods=get),
                Route("/v1/predictions/{id}/cancel", self.cancel_prediction, methods=post),
                Route("/v1/trainings", self.list_trainings, methods=get),
                Route("/v1/trainings/{id}", self.get_training, methods=get),
                Route("/v1/trainings/{id}/cancel", self.cancel_training, methods=post),
                Route(model, self.get_model, methods=get),
                Route(f"{model}/predictions", self.create_official_prediction, methods=post),
                Route(f"{model}/versions", self.list_versions, methods=get),
                Route(f"{model}/versions/{{version}}", self.get_version, methods=get),
                Route(f"{model}/versions/{{version}}/trainings", self.create_training, methods=post),
                Route("/v1/deployments/{owner}/{name}/predictions", self.create_deployed_prediction, methods=post),
                Route("/v1/files", self.list_files, methods=get),
                Route("/v1/files", self.create_file, methods=post),
                Route("/v1/files/{id}", self.get_file, methods=get),
                Route("/v1/files/{id}", self.delete_file, methods=["DELETE"]),
                Route("/v1/files/{id}/download", self.download_file, methods=get),
                Route("/v1/webhooks/default/secret", self.webhook_secret, methods=get),
            ],
            exception_handlers={ProviderError: _answer_problem, HTTPException: _answer_http_error},
        )

    # account

    async def account(self, _request: Request) -> Response:
        name = self._simulator.options.username
        links = {"avatar_url": f"https://github.com/{name}.png", "github_url": f"https://github.com/{name}"}
        return _json({"type": "user", "username": name, "name": "", **links})

    async def hardware(self, _request: Request) -> Response:
        return _json([{"sku": sku, "name": name} for sku, name in catalogue.HARDWARE])

    async def webhook_secret(self, _request: Request) -> Response:
        return _json({"key": self._simulator.webhook_secret})

    # models

    async def get_model(self, request: Request) -> Response:
        model = self._known_model(request)
        owner, name = model.split("/")
        body: Body = {
            "url": f"https://replicate.com/{model}",
            "owner": owner,
            "name": name,
            "description": "A simulated model",
            "visibility": "public",
            "github_url": None,
            "paper_url": None,
            "license_url": None,
            "run_count": 1234,
            "cover_image_url": None,
            "default_example": None,
            "latest_version": _version_body(catalogue.versions_of(model)[0]),
        }
        return _json(body)

    async def list_versions(self, request: Request) -> Response:
        versions = catalogue.versions_of(self._known_model(request))
        return _json({"next": None, "previous": None, "results": [_version_body(version) for version in versions]})

    async def get_version(self, request: Request) -> Response:
        wanted = request.path_params["version"]
        for version in catalogue.versions_of(self._known_model(request)):
            if version.id == wanted:
                return _json(_version_body(version))
        raise problems.not_found()

    def _known_model(self, request: Request) -> str:
        model = f"{request.path_params['owner']}/{request.path_params['name']}"
        if model not in catalogue.MODELS:
            raise problems.not_found()
        return model

    # creating

    async def create_prediction(self, request: Request) -> Response:
        create = read_create(await request.body(), "version")
        model, version = _resolve(create.version or "")
        return await self._create(request, create, JobKind.PREDICTION, model=model, version=version)

    async def create_official_prediction(self, request: Request) -> Response:
        model = self._known_model(request)
        if model not in catalogue.OFFICIAL_MODELS:
            raise problems.not_found()
        create = read_create(await request.body())
        return await self._create(request, create, JobKind.PREDICTION, model=model, version="hidden")

    async def create_deployed_prediction(self, request: Request) -> Response:
        deployment = f"{request.path_params['owner']}/{request.path_params['name']}"
        if request.path_params["owner"] != self._simulator.options.username:
            raise problems.not_found()
        create = read_create(await request.body())
        model = catalogue.TRAINER_MODELS[0]
        version = catalogue.newest_version(model)
        return await self._create(
            request, create, JobKind.PREDICTION, model=model, version=version, deployment=deployment
        )

    async def create_training(self, request: Request) -> Response:
        version = request.path_params["version"]
        model = self._known_model(request)
        if not catalogue.is_version_id(version):
            raise problems.invalid_version()
        create = read_create(await request.body(), "destination")
        destination = create.destination or ""
        if not catalogue.is_model_name(destination) or destination.startswith("missing/"):
            raise problems.no_such_destination()
        return await self._create(request, create, JobKind.TRAINING, model=model, version=version)

    async def _create(
        self,
        request: Request,
        create: Create,
        kind: JobKind,
        *,
        model: str,
        version: str,
        deployment: str | None = None,
    ) -> Response:
        simulator = self._simulator
        cancel_after = read_cancel_after(request.headers.get("cancel-after"))
        wait = read_wait(request.headers.get("prefer"))
        now = simulator.now_ns()
        job_id = simulator.new_id()
        steps, epochs = _length(create.input)
        style = catalogue.log_style_of(model)
        speed = simulator.settings.speed
        job = simulator.add(
            Job(
                id=job_id,
                kind=kind,
                model=model,
                version=version,
                created_ns=now,
                boot_seconds=simulator.random_between(180, 360) / speed,
                run_seconds=simulator.random_between(2300, 3100) / speed,
                outcome=Status.ABORTED if _bent(request, FaultKind.ABORTED) else Status.SUCCEEDED,
                input=create.input,
                output=_planned_output(create, kind, model, job_id),
                steps=steps,
                epochs=epochs,
                log_style=style,
                seed=simulator.new_seed(),
                webhook=create.webhook,
                webhook_events=create.webhook_events,
                deadline_ns=None if cancel_after is None else now + cancel_after * NANOSECONDS,
                destination=create.destination,
                deployment=deployment,
            )
        )
        headers = quota_headers(_CREATE_QUOTA if kind is JobKind.PREDICTION else _OTHER_QUOTA)
        if wait is not None:
            headers["preference-applied"] = request.headers["prefer"].strip()
            return await self._created_after_waiting(request, job, wait, headers)
        body = self._body(request, job, simulator.observe(job), natural=Shape.HOT)
        return Response(encode(body), 201, headers, media_type="application/json; charset=utf-8")

    async def _created_after_waiting(
        self, request: Request, job: Job, seconds: int, headers: dict[str, str]
    ) -> Response:
        """Hold the answer until the job ended or `seconds` are over; a success then still says `processing`."""
        for _ in range(int(seconds / _WAIT_LOOK_SECONDS)):
            if self._simulator.observe(job := self._simulator.find(job.id)).is_terminal:
                break
            await asyncio.sleep(_WAIT_LOOK_SECONDS)
        seen = self._simulator.observe(job)
        body = self._body(request, job, seen, natural=Shape.HOT)
        if seen.status is Status.SUCCEEDED:
            body["status"] = job.status_word or Status.PROCESSING.value
            for unknown_yet in ("started_at", "completed_at", "metrics"):
                body.pop(unknown_yet, None)
        return Response(encode(body), 201, headers, media_type="application/json; charset=utf-8")

    # reading

    async def get_prediction(self, request: Request) -> Response:
        return self._one(request, self._simulator.find(request.path_params["id"]), quota=_GET_QUOTA)

    async def get_training(self, request: Request) -> Response:
        job = self._simulator.find(request.path_params["id"], JobKind.TRAINING)
        return self._one(request, job, natural=Shape.COLD, trainings_url=True)

    async def cancel_prediction(self, request: Request) -> Response:
        return self._cancel(request, self._simulator.find(request.path_params["id"]))

    async def cancel_training(self, request: Request) -> Response:
        return self._cancel(request, self._simulator.find(request.path_params["id"], JobKind.TRAINING))

    def _cancel(self, request: Request, job: Job) -> Response:
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
        job: Job,
        *,
        natural: Shape | None = None,
        trainings_url: bool = False,
        quota: int = _OTHER_QUOTA,
    ) -> Response:
        seen = self._simulator.observe(job)
        body = self._body(request, job, seen, natural or self._simulator.natural_shape(seen), trainings_url)
        raw = job.raw_controls or bool(_bent(request, FaultKind.RAW_CONTROLS))
        return Response(encode(body, raw_controls=raw), 200, quota_headers(quota), media_type="application/json")

    def _body(self, request: Request, job: Job, seen: Observation, natural: Shape, trainings_url: bool = False) -> Body:
        body = job_body(
            job,
            seen,
            shape=self._shape(request, job, natural),
            origin=self._origin(request),
            trainings_url=trainings_url,
            removed=self._simulator.is_removed(job, seen),
        )
        return _with_unknown_status(request, body)

    def _shape(self, request: Request, job: Job, natural: Shape) -> Shape:
        if _bent(request, FaultKind.HOT):
            return Shape.HOT
        if _bent(request, FaultKind.COLD):
            return Shape.COLD
        for chosen in (job.shape, self._simulator.settings.shape):
            if chosen is not Shape.AUTO:
                return chosen
        return natural

    def _origin(self, request: Request) -> str:
        return self._simulator.options.public_url or f"{request.url.scheme}://{request.url.netloc}"

    # lists

    async def list_predictions(self, request: Request) -> Response:
        query = request.query_params
        source = query.get("source")
        if source not in (None, "web"):
            raise problems.bad_request("source must be web")
        return self._list(
            request,
            JobKind.PREDICTION,
            after_ns=_time_parameter(query.get("created_after"), "created_after"),
            before_ns=_time_parameter(query.get("created_before"), "created_before"),
            source=source,
        )

    async def list_trainings(self, request: Request) -> Response:
        return self._list(request, JobKind.TRAINING)

    def _list(
        self,
        request: Request,
        kind: JobKind,
        *,
        after_ns: int | None = None,
        before_ns: int | None = None,
        source: str | None = None,
    ) -> Response:
        place: Place | None = None
        backwards = False
        cursor = request.query_params.get("cursor")
        if cursor:
            try:
                place, backwards = read_cursor(cursor)
            except ValueError as error:
                raise problems.invalid_cursor() from error
        page = self._simulator.page(
            kind, place=place, backwards=backwards, after_ns=after_ns, before_ns=before_ns, source=source
        )
        results = [self._item(request, job) for job in page.jobs]
        return _json({"next": self._next(request, page), "previous": self._previous(request, page), "results": results})

    def _item(self, request: Request, job: Job) -> Body:
        seen = self._simulator.observe(job)
        removed = self._simulator.is_removed(job, seen)
        return _with_unknown_status(request, list_item(job, seen, origin=self._origin(request), removed=removed))

    def _next(self, request: Request, page: Page) -> str | None:
        if _bent(request, FaultKind.PAGE_LOOP):
            return f"{self._origin(request)}{request.url.path}?{request.url.query or 'cursor='}"
        if off := _bent(request, FaultKind.NEXT_OFF_ORIGIN):
            return off.text("url", "https://api.replicate.com.example.org/v1/predictions?cursor=cD0x")
        if page.next_place is None:
            return None
        url = self._page_url(request, make_cursor(*page.next_place))
        if _bent(request, FaultKind.NEXT_HTTP):
            return "http://" + url.split("://", 1)[1]
        return url

    def _previous(self, request: Request, page: Page) -> str | None:
        if page.previous_place is None:
            return None
        return self._page_url(request, make_cursor(*page.previous_place, backwards=True))

    def _page_url(self, request: Request, cursor: str) -> str:
        query = request.url.include_query_params(cursor=cursor).query
        return f"{self._origin(request)}{request.url.path}?{query}"

    # files

    async def create_file(self, request: Request) -> Response:
        upload = read_upload(request.headers.get("content-type", ""), await request.body())
        file_id = base64.b64encode(secrets.token_hex(18).encode()).decode()
        now = self._simulator.now_ns() // 1_000_000 * 1_000_000
        md5 = hashlib.md5(upload.content, usedforsecurity=False).hexdigest()
        body: Body = {
            "id": file_id,
            "name": upload.name,
            "content_type": upload.content_type,
            "size": len(upload.content),
            "etag": md5,
            "checksums": {"sha256": hashlib.sha256(upload.content).hexdigest(), "md5": md5},
            "metadata": dict(upload.metadata),
            "created_at": hot_time(now),
            "expires_at": hot_time(now + _FILE_LIFE_NS),
            "urls": {"get": f"{self._origin(request)}/v1/files/{file_id}"},
        }
        self._files[file_id] = StoredFile(body, upload.content)
        return _json(body, 201)

    async def list_files(self, _request: Request) -> Response:
        newest_first = [file.body for file in reversed(self._files.values())]
        return _json({"next": None, "previous": None, "results": newest_first})

    async def get_file(self, request: Request) -> Response:
        return _json(self._file(request).body)

    async def download_file(self, request: Request) -> Response:
        file = self._file(request)
        return Response(file.content, media_type=str(file.body["content_type"]))

    async def delete_file(self, request: Request) -> Response:
        self._file(request)
        del self._files[request.path_params["id"]]
        return Response(b"", 204, media_type="text/plain")

    def _file(self, request: Request) -> StoredFile:
        file = self._files.get(request.path_params["id"])
        if file is None:
            raise problems.not_found()
        return file


def _json(body: object, status: int = 200) -> Response:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), status, quota_headers(_OTHER_QUOTA), media_type="application/json")


def _bent(request: Request, kind: FaultKind) -> Fault | None:
    """The fault of `kind` that strikes this request, if any."""
    striking: list[Fault] = request.scope.get("state", {}).get("faults", [])
    return next((fault for fault in striking if fault.kind is kind), None)


def _with_unknown_status(request: Request, body: Body) -> Body:
    fault = _bent(request, FaultKind.UNKNOWN_STATUS)
    return {**body, "status": fault.text("word", "hibernating")} if fault else body


def _version_body(version: catalogue.Version) -> Body:
    return {
        "id": version.id,
        "created_at": cold_time(version.created_seconds * NANOSECONDS),
        "cog_version": version.cog_version,
        "openapi_schema": {"openapi": "3.0.2", "info": {"title": "Cog", "version": "0.1.0"}, "paths": {}},
    }


def _resolve(version: str) -> tuple[str, str]:
    """(model, version id) of `owner/name:id`, a bare id, or an official `owner/name`."""
    model, _, version_id = version.rpartition(":")
    if version in catalogue.OFFICIAL_MODELS:
        return version, "hidden"
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


def _planned_output(create: Create, kind: JobKind, model: str, job_id: str) -> object:
    if kind is JobKind.TRAINING:
        version = catalogue.newest_version(f"{create.destination}:{job_id}")
        weights = f"https://replicate.delivery/xezq/{job_id}/trained_model.tar"
        return {"version": f"{create.destination}:{version}", "weights": weights}
    if not model.startswith("simpletuner/"):
        return [f"https://replicate.delivery/xezq/{job_id}/out-0.webp"]
    hub_model = create.input.get("hub_model_id")
    if isinstance(hub_model, str) and hub_model:
        return f"https://huggingface.co/{hub_model}"
    return f"Training complete. Output: output/cog/cog-{job_id[:8]}"


def _time_parameter(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except (ValueError, OverflowError) as error:
        raise problems.bad_request(f"{name} must be an ISO 8601 date-time") from error


async def _answer_problem(_request: Request, problem: Exception) -> Response:
    if not isinstance(problem, ProviderError):
        raise problem
    return problem_response(problem, quota_headers(_OTHER_QUOTA))


async def _answer_http_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 404:
        return problem_response(problems.not_found(), quota_headers(_OTHER_QUOTA))
    return problem_response(ProviderError(error.status_code, {"detail": error.detail}))
