"""GET /api/cloud/health, /live and /ready: open to everyone, so that a load balancer and a person can ask."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from functions.http._answers import HealthAnswer
from functions.http._app import HttpHandler, error_body
from functions.http._parameters import Switch, is_switched_on
from shared.services.health.check_health import UNHEALTHY, CheckHealth, Component, overall
from shared.wiring import wiring

router = APIRouter()


@router.get("/api/cloud/health")
def read_health(request: Request, response: Response, deep: Switch = False) -> HealthAnswer:
    """`status, uptime_seconds, components[]{name, status, message, latency_ms}, timestamp`; 503 when unhealthy.

    `deep` asks every provider, `include_<provider>` that one. When unhealthy there is a `detail`, as in every error:
    SimpleTuner's CLI prints that.
    """
    switches = {name: f"include_{name}" for name in wiring().profiles}
    given = request.query_params
    named = [name for name, switch in switches.items() if is_switched_on(switch, given.get(switch))]
    return _report(response, wiring().use(CheckHealth).check(list(switches) if deep else named))


@router.get("/api/cloud/health/live")
def read_live(response: Response) -> HealthAnswer:
    """200 as long as this function runs at all."""
    return _report(response, [])


@router.get("/api/cloud/health/ready")
def read_ready(response: Response) -> HealthAnswer:
    """200 when the store answers, 503 else."""
    return _report(response, wiring().use(CheckHealth).check_store())


def _report(response: Response, components: list[Component]) -> HealthAnswer:
    parts = wiring()
    status = overall(components)
    answer: HealthAnswer = {
        "status": status,
        "uptime_seconds": round(parts.use(CheckHealth).uptime_seconds(), 1),
        "components": [
            {"name": c.name, "status": c.status, "message": c.message, "latency_ms": c.latency_ms} for c in components
        ],
        "timestamp": parts.clock.now().isoformat(),
    }
    if status == UNHEALTHY:
        response.status_code = 503
        failure = error_body(UNHEALTHY, next(c.message for c in components if c.status == UNHEALTHY))
        answer["error"], answer["message"], answer["detail"] = failure["error"], failure["message"], failure["detail"]
    return answer


handler = HttpHandler(router, access=False)
