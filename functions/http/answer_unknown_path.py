"""Every path that no other function serves: 404 in our own form, so that clients can read it."""

from __future__ import annotations

from fastapi import APIRouter

from functions.http._app import NOTHING_HERE, HttpHandler
from shared.domain.errors import NotFoundError

router = APIRouter()


@router.api_route(
    "/{path:path}", methods=["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"], include_in_schema=False
)
def answer_unknown_path(path: str) -> None:
    """Raises NotFoundError always."""
    raise NotFoundError(NOTHING_HERE)


handler = HttpHandler(router, access=False)
