"""`/_control`: the same as `Control`, over HTTP and without a token, for loopback only."""

from dataclasses import asdict

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .control import Control
from .problems import ErrorAnswer
from .requests_read import read_json
from .simulator import Simulator

_HELP = {
    "GET /_control": "this page with the clock, settings and counts",
    "GET, DELETE /_control/requests": "requests by method and path; start counting anew",
    "GET, POST /_control/jobs": "all jobs; create one, e.g. {boot_seconds, run_seconds, outcome, kind, model, webhook}",
    "POST /_control/jobs/{id}/end": "end it now: {outcome, error}",
    "PATCH, DELETE /_control/jobs/{id}": "{shape, status_word, raw_controls}; forget it",
    "POST /_control/clock": "move time forward: {jump_seconds}",
    "GET, PATCH /_control/settings": "speed, latency_seconds, shape, retention_seconds, …",
    "GET, POST, DELETE /_control/faults": "{kind, path, method, count, probability, details}; DELETE switches all off",
    "DELETE /_control/faults/{id}": "switch one off",
    "GET, PATCH, DELETE /_control/webhooks": "duplicates, reorder, delay_seconds, drop_next, …; DELETE: normal again",
    "GET, DELETE /_control/deliveries": "webhook attempts",
    "POST /_control/secret": "sign webhooks with another secret: {key} or nothing",
}


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _FaultBody(_Closed):
    kind: str
    path: str = "/v1/"
    method: str | None = None
    count: int | None = Field(None, ge=0)
    probability: float = 1.0
    details: dict[str, object] = Field(default_factory=dict)


class _JumpBody(_Closed):
    jump_seconds: float


class _EndBody(_Closed):
    outcome: str = "succeeded"
    error: str | None = None


class _ChangeJobBody(_Closed):
    shape: str | None = None
    status_word: str | None = None
    raw_controls: bool | None = None


class _CreateJobBody(_Closed):
    job_id: str | None = Field(None, pattern=r"^[a-z0-9]{1,64}$")
    kind: str = "prediction"
    model: str | None = None
    version: str | None = None
    age_seconds: float = Field(0.0, le=1e9, ge=0)
    boot_seconds: float | None = Field(None, le=1e9)
    run_seconds: float | None = Field(None, ge=0, le=1e9)
    outcome: str = "succeeded"
    error: str | None = None
    has_metrics: bool = True
    input: dict[str, object] | None = None
    output: object = None
    steps: int = Field(2000, ge=1, le=1_000_000)
    epochs: int = Field(10, ge=1, le=10_000)
    reaches: float | None = Field(None, ge=0, le=1)
    log_style: str | None = None
    log_lines: int = Field(400, ge=1, le=100_000)
    source: str = "api"
    webhook: str | None = None
    webhook_events: list[str] | None = None
    cancel_after_seconds: float | None = Field(None, ge=0, le=1e9)
    shape: str = "auto"
    status_word: str | None = None
    raw_controls: bool = False


class _SecretBody(_Closed):
    key: str | None = Field(None, pattern=r"^whsec_[A-Za-z0-9+/]+={0,2}$")


def control_application(simulator: Simulator) -> Starlette:
    """The Starlette application under `/_control`."""
    pages = _ControlPages(simulator)
    return Starlette(
        routes=[
            Route("/_control", pages.overview, methods=["GET"]),
            Route("/_control/", pages.overview, methods=["GET"]),
            Route("/_control/requests", pages.requests, methods=["GET", "DELETE"]),
            Route("/_control/jobs", pages.jobs, methods=["GET", "POST"]),
            Route("/_control/jobs/{id}", pages.job, methods=["GET", "PATCH", "DELETE"]),
            Route("/_control/jobs/{id}/end", pages.end_job, methods=["POST"]),
            Route("/_control/clock", pages.clock, methods=["POST"]),
            Route("/_control/settings", pages.settings, methods=["GET", "PATCH"]),
            Route("/_control/faults", pages.faults, methods=["GET", "POST", "DELETE"]),
            Route("/_control/faults/{id:int}", pages.fault, methods=["DELETE"]),
            Route("/_control/webhooks", pages.webhooks, methods=["GET", "PATCH", "DELETE"]),
            Route("/_control/deliveries", pages.deliveries, methods=["GET", "DELETE"]),
            Route("/_control/secret", pages.secret, methods=["POST"]),
        ],
        exception_handlers={
            ErrorAnswer: _answer_problem,
            HTTPException: _answer_http_error,
            ValidationError: _answer_bad_value,
            ValueError: _answer_bad_value,
        },
    )


class _ControlPages:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._control = Control(simulator)

    async def overview(self, _request: Request) -> Response:
        statuses = [str(job["status"]) for job in self._control.jobs()]
        return JSONResponse(
            {
                "now_ns": self._control.now_ns(),
                "settings": asdict(self._control.settings),
                "jobs": {status: statuses.count(status) for status in sorted(set(statuses))},
                "requests": self._simulator.requests.total,
                "faults": len(self._control.faults()),
                "help": _HELP,
            }
        )

    async def requests(self, request: Request) -> Response:
        log = self._simulator.requests
        if request.method == "DELETE":
            log.reset()
        recent = [asdict(entry) for entry in log.entries[-100:]]
        return JSONResponse(
            {"total": log.total, "max_in_flight": log.max_in_flight, "counts": log.counts(), "recent": recent}
        )

    async def jobs(self, request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse({"jobs": self._control.jobs()})
        body = _CreateJobBody.model_validate(await _body(request))
        return self._job(self._control.create_job(**body.model_dump()), 201)

    async def job(self, request: Request) -> Response:
        job_id = request.path_params["id"]
        if request.method == "DELETE":
            self._control.delete_job(job_id)
            return JSONResponse({"deleted": job_id})
        if request.method == "PATCH":
            body = _ChangeJobBody.model_validate(await _body(request))
            self._control.change_job(job_id, **body.model_dump())
        return self._job(job_id)

    async def end_job(self, request: Request) -> Response:
        body = _EndBody.model_validate(await _body(request))
        self._control.end_job(request.path_params["id"], body.outcome, body.error)
        return self._job(request.path_params["id"])

    def _job(self, job_id: str, status: int = 200) -> Response:
        return JSONResponse(self._control.job(job_id), status)

    async def clock(self, request: Request) -> Response:
        self._control.jump(_JumpBody.model_validate(await _body(request)).jump_seconds)
        return JSONResponse({"now_ns": self._control.now_ns()})

    async def settings(self, request: Request) -> Response:
        if request.method == "PATCH":
            self._control.set(**await _body(request))
        return JSONResponse(asdict(self._control.settings))

    async def faults(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._control.clear_faults()
        if request.method == "POST":
            body = _FaultBody.model_validate(await _body(request))
            fault = self._simulator.faults.add(
                body.kind,
                path=body.path,
                method=body.method,
                count=body.count,
                probability=body.probability,
                **body.details,
            )
            return JSONResponse(asdict(fault), 201)
        return JSONResponse({"faults": [asdict(fault) for fault in self._control.faults()]})

    async def fault(self, request: Request) -> Response:
        self._control.clear_faults(request.path_params["id"])
        return JSONResponse({"faults": [asdict(fault) for fault in self._control.faults()]})

    async def webhooks(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._control.clear_webhooks()
        if request.method == "PATCH":
            self._control.set_webhooks(**await _body(request))
        return JSONResponse(asdict(self._control.webhook_faults))

    async def deliveries(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._simulator.deliveries.reset()
        return JSONResponse({"deliveries": [asdict(attempt) for attempt in self._control.deliveries()]})

    async def secret(self, request: Request) -> Response:
        body = _SecretBody.model_validate(await _body(request))
        return JSONResponse({"key": self._control.rotate_secret(body.key)})


async def _body(request: Request) -> dict[str, object]:
    raw = await request.body()
    return read_json(raw) if raw else {}


async def _answer_problem(_request: Request, problem: Exception) -> Response:
    if not isinstance(problem, ErrorAnswer):
        raise problem
    return JSONResponse(problem.body, problem.status)


async def _answer_http_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"detail": error.detail, "help": _HELP}, error.status_code)


async def _answer_bad_value(_request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 400)
