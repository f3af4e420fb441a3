"""Builds the app of an HTTP function: error table, access, correlation id, Mangum."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from mangum import Mangum
from starlette.exceptions import HTTPException

from functions.http._access import authenticated, refuse_other_sites
from functions.http._answers import Failure
from functions.http._invalid_input import INVALID_JSON, sentence_of
from shared.domain import errors
from shared.domain.metric import Metric
from shared.telemetry import begin_correlation, flush_metrics, logger, metrics

STATUS_OF_ERROR: Mapping[type[errors.CloudJobsError], int] = {
    errors.InvalidInputError: 422,
    errors.InvalidRequestError: 400,
    errors.InvalidCursorError: 400,
    errors.JobNotTerminalError: 400,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.AuthenticationRequiredError: 401,
    errors.TooManyWrongKeysError: 429,
    errors.PermissionDeniedError: 403,
    errors.TooManyConnectionsError: 503,
    errors.ConfigurationError: 500,
    errors.ProviderNotConfiguredError: 503,
    errors.ProviderTokenRejectedError: 502,
    errors.ProviderRefusedError: 502,
    errors.ProviderThrottledError: 503,
    errors.ProviderUnavailableError: 503,
    errors.ProviderAnswerInvalidError: 502,
    errors.ProviderError: 502,
    errors.StoreUnavailableError: 503,
    errors.StaleWrite: 503,
    errors.WebhookRejected: 401,
    errors.PayloadTooLargeError: 413,
    errors.UnsupportedMediaError: 415,
    errors.SigningKeyUnavailableError: 503,
    errors.CloudJobsError: 500,
}
"""The one table from errors to statuses; the nearest class in an error's ancestry counts."""

NOTHING_HERE = "Nothing here answers this path with this method; docs/contract.md lists what this service answers."


class HttpHandler:
    """The Lambda handler that serves these routes and nothing else; its app is built when the function starts.

    `access=False`: the routes judge callers themselves, or are for everyone.
    """

    def __init__(self, router: APIRouter, *, access: bool = True) -> None:
        self.router = router
        self.access = access
        self._serve = Mangum(build_app(router, access=access), lifespan="off")

    def __call__(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self._serve(_without_stage(event), context)
            return answer
        finally:
            flush_metrics()


def _without_stage(event: dict[str, Any]) -> dict[str, Any]:
    """A named stage stands before every path; routes are written without it. `rawPath` stays as it came."""
    request = event.get("requestContext", {})
    path, stage = request.get("http", {}).get("path", ""), request.get("stage", "$default")
    if stage == "$default" or not (path == f"/{stage}" or path.startswith(f"/{stage}/")):
        return event
    below = path.removeprefix(f"/{stage}") or "/"
    return {**event, "requestContext": {**request, "http": {**request["http"], "path": below}}}


def build_app(*routers: APIRouter, access: bool = True) -> FastAPI:
    """The app of one function, or of all of them for the OpenAPI file and for tests."""
    app = FastAPI(
        title="SimpleTuner Cloud Jobs", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    for router in routers:
        add_routes(app, router, access=access)
    app.middleware("http")(_correlate)
    app.exception_handler(errors.CloudJobsError)(_answer_known_error)
    app.exception_handler(RequestValidationError)(_answer_invalid_input)
    app.exception_handler(HTTPException)(_answer_http_exception)
    return app


def add_routes(app: FastAPI, router: APIRouter, *, access: bool) -> None:
    """Every route is closed to other sites, and may answer with a Failure instead of what it promises."""
    guards = [Depends(refuse_other_sites), *([Depends(authenticated)] if access else [])]
    app.include_router(router, dependencies=guards, responses={"default": {"model": Failure}})


def error_body(code: str, detail: str) -> Failure:
    return {"error": code, "message": detail, "detail": detail}


async def _correlate(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Correlation id in and out, one access line without the query (T11), and the one catch-all (AWS-1)."""
    correlation_id = begin_correlation(request.headers.get("x-correlation-id"))
    started = time.perf_counter()
    try:
        response = await call_next(request)
    except Exception:  # noqa: BLE001 - the one place that answers 500 and counts it
        logger.exception("unhandled error", extra={"method": request.method, "path": request.url.path})
        metrics.add_metric(name=Metric.UNHANDLED_ERROR, unit="Count", value=1)
        detail = f"Something went wrong on our side; try again, and report correlation id {correlation_id} if it stays."
        response = JSONResponse(error_body("internal_error", detail), 500)
    response.headers["X-Correlation-ID"] = correlation_id
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    logger.info(
        "request",
        extra={
            "method": request.method,
            "path": request.url.path,
            "status": response.status_code,
            "milliseconds": round((time.perf_counter() - started) * 1000, 1),
        },
    )
    return response


async def _answer_known_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.CloudJobsError)
    status = next(STATUS_OF_ERROR[kind] for kind in type(error).__mro__ if kind in STATUS_OF_ERROR)
    if status >= 500:
        logger.warning("request failed", extra={"error": error.code, "reason": error.detail})
    if isinstance(error, errors.WebhookRejected):
        metrics.add_metric(name=Metric.WEBHOOK_REJECTED, unit="Count", value=1)
        logger.warning("webhook rejected", extra={"reason": error.reason})
    body = error_body(error.code, error.detail)
    if isinstance(error, errors.TooManyConnectionsError):
        body["message"] = "Too many concurrent connections. Please try again later."
    retry_after = getattr(error, "retry_after", None)
    headers = {"Retry-After": str(max(1, round(retry_after)))} if retry_after is not None else {}
    return JSONResponse(body, status, headers)


async def _answer_invalid_input(request: Request, error: Exception) -> Response:
    """422 with `detail` as one sentence (a list there crashes SimpleTuner's CLI)."""
    assert isinstance(error, RequestValidationError)
    return JSONResponse(error_body("invalid_input", sentence_of(error.errors()[0])), 422)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return JSONResponse(error_body("not_found", NOTHING_HERE), 404)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        detail = f"This path takes {allowed or 'other methods'} only; docs/contract.md lists what this service answers."
        return JSONResponse(error_body("method_not_allowed", detail), 405, error.headers)
    if error.status_code == 400:
        # FastAPI's own word for a body too deep or with a number too long to be read.
        return JSONResponse(error_body("invalid_input", INVALID_JSON), 422)
    return JSONResponse(error_body("request_failed", str(error.detail)), error.status_code)
