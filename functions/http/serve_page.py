"""GET / and /assets/{version}/{name}: the dashboard, its scripts and texts. Nothing comes from elsewhere (T8)."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

from functions.http._app import HttpHandler
from shared.config import Settings
from shared.domain.errors import NotFoundError
from shared.wiring import wiring

WEB = Path(__file__).resolve().parents[2] / "shared" / "web"
PAGE = "index.html"
MEDIA_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}
_VERSION_MARK = b"{{version}}"

router = APIRouter()


@dataclass(frozen=True, slots=True)
class WebFile:
    content: bytes
    compressed: bytes
    media_type: str
    etag: str


@cache
def web_files() -> tuple[str, Mapping[str, WebFile]]:
    """The version of the page as a whole, and its files by name; read once per process."""
    contents = {path.name: path.read_bytes() for path in sorted(WEB.iterdir()) if path.suffix in MEDIA_TYPES}
    digest = hashlib.sha256(b"\0".join(name.encode() + b"\0" + content for name, content in contents.items()))
    version = digest.hexdigest()[:12]
    contents[PAGE] = contents[PAGE].replace(_VERSION_MARK, version.encode())
    return version, {
        name: WebFile(
            content,
            gzip.compress(content, 9, mtime=0),
            MEDIA_TYPES[Path(name).suffix],
            f'"{hashlib.sha256(content).hexdigest()[:20]}"',
        )
        for name, content in contents.items()
    }


def security_headers(settings: Settings) -> dict[str, str]:
    """What the page may load and where it may connect: itself, and the WebSocket of this deployment."""
    socket = urlsplit(settings.websocket_url)
    is_socket = socket.scheme in ("ws", "wss") and re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", socket.netloc, re.ASCII)
    connect = f"'self' {socket.scheme}://{socket.netloc}" if is_socket else "'self'"
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }


@router.get("/", response_class=Response, include_in_schema=False)
def serve_page(request: Request) -> Response:
    """The page itself; never kept without asking, so that a new version is seen at once."""
    event = request.scope.get("aws.event") or {}
    raw_path = str(event.get("rawPath") or "/")
    if not raw_path.endswith("/"):
        # Below a stage the page's relative addresses need the slash.
        stage = raw_path.rsplit("/", 1)[1]
        return Response(status_code=308, headers={"Location": f"{stage}/"})
    return _answer(request, PAGE, "no-cache")


@router.get("/assets/{version}/{name}", response_class=Response, include_in_schema=False)
def serve_asset(request: Request, version: str, name: str) -> Response:
    """A file of the page. Under its present version it never changes; under another one it is not kept."""
    known, files = web_files()
    if name not in files or name == PAGE:
        raise NotFoundError("The page has no such file; reload it.")
    return _answer(request, name, "public, max-age=31536000, immutable" if version == known else "no-cache")


@router.get("/favicon.ico", response_class=Response, include_in_schema=False)
def serve_icon(request: Request) -> Response:
    return _answer(request, "icon.svg", "public, max-age=86400")


def _answer(request: Request, name: str, cache_control: str) -> Response:
    file = web_files()[1][name]
    headers = {
        **security_headers(wiring().settings),
        "Cache-Control": cache_control,
        "ETag": file.etag,
        "Vary": "Accept-Encoding",
    }
    if file.etag in (tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(file.compressed, media_type=file.media_type, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


handler = HttpHandler(router, access=False)
