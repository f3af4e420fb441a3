"""Which function answers which request, from the `httpApi` and `websocket` events of `serverless.yml`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

DEFAULT = "$default"
_NAME = re.compile(r"\{([A-Za-z0-9_]+)\}")


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """`key` is as API Gateway names the route: `GET /api/cloud/jobs/{job_id}`, or `$default`."""

    key: str
    function: str
    names: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class HttpRoutes:
    """As the gateway chooses: the route with the fewest names in its path, else `$default`."""

    by_method: Mapping[str, tuple[HttpRoute, ...]]
    default: HttpRoute | None

    def find(self, method: str, path: str) -> tuple[HttpRoute, dict[str, str]] | None:
        """The route and the path's values, decoded; `path` is as it was sent, percent signs and all."""
        for route in self.by_method.get(method, ()):
            match = route.pattern.fullmatch(path) if route.pattern else None
            if match:
                return route, {name: unquote(value) for name, value in zip(route.names, match.groups(), strict=True)}
        return None if self.default is None else (self.default, {})


@dataclass(frozen=True, slots=True)
class SocketRoutes:
    """The functions of a WebSocket API by name."""

    connect: str
    disconnect: str
    message: str
    authorizer: str


def http_routes(functions: Mapping[str, Mapping[str, Any]]) -> HttpRoutes:
    """Raises ValueError for an event in a form that is not used here."""
    default: HttpRoute | None = None
    found: dict[str, list[HttpRoute]] = {}
    for function, event in _events(functions, "httpApi"):
        if event == "*":
            default = HttpRoute(DEFAULT, function)
            continue
        if not isinstance(event, str) or event.count(" ") != 1:
            raise ValueError(f"{function}: an httpApi event is written `METHOD /path` here, not {event!r}")
        method, path = event.split(" ")
        names = tuple(_NAME.findall(path))
        pattern = re.compile("".join("([^/]+)" if place % 2 else re.escape(part) for place, part in _parts(path)))
        found.setdefault(method, []).append(HttpRoute(f"{method} {path}", function, names, pattern))
    ordered = {method: tuple(sorted(routes, key=lambda route: len(route.names))) for method, routes in found.items()}
    return HttpRoutes(ordered, default)


def socket_routes(functions: Mapping[str, Mapping[str, Any]]) -> SocketRoutes:
    """Raises KeyError when a route has no function."""
    events = {event["route"]: (function, event) for function, event in _events(functions, "websocket")}
    return SocketRoutes(
        connect=events["$connect"][0],
        disconnect=events["$disconnect"][0],
        message=events[DEFAULT][0],
        authorizer=events["$connect"][1]["authorizer"]["name"],
    )


def _parts(path: str) -> Iterable[tuple[int, str]]:
    return enumerate(_NAME.split(path))


def _events(functions: Mapping[str, Mapping[str, Any]], kind: str) -> Iterable[tuple[str, Any]]:
    for name, function in functions.items():
        for event in function.get("events", []):
            if kind in event:
                yield name, event[kind]
