"""Every route of every function in one app: for the OpenAPI file, and for tests that want all of them."""

from __future__ import annotations

import importlib
import pkgutil

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

import functions.http
from functions.http._app import HttpHandler, add_routes, build_app

LAST = "answer_unknown_path"


def http_handlers() -> dict[str, HttpHandler]:
    """The handler of each function by the function's name, the one for unknown paths last."""
    names = [found.name for found in pkgutil.iter_modules(functions.http.__path__) if not found.name.startswith("_")]
    order = sorted(names, key=lambda name: (name == LAST, name))
    return {name: importlib.import_module(f"functions.http.{name}").handler for name in order}


def whole_app() -> FastAPI:
    """Each route judged for access as its own function does.

    As the gateway chooses, a path without a name in it comes before one that would take it, too.
    """
    routes = [
        (route, handler.access)
        for handler in http_handlers().values()
        for route in handler.router.routes
        if isinstance(route, APIRoute)
    ]
    app = build_app()
    for route, access in sorted(routes, key=lambda served: _order(served[0].path)):
        router = APIRouter()
        router.routes.append(route)
        add_routes(app, router, access=access)
    return app


def _order(path: str) -> tuple[bool, int]:
    return path.endswith(":path}"), path.count("{")
