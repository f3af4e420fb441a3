"""A page of elsewhere, in real Chromium, against the running stack: it reads nothing and moves nothing (T28)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page

from tests.local.stack import RunningStack

pytestmark = pytest.mark.local

ASK = """
async ([method, url, body, mode]) => {
  try {
    const answer = await fetch(url, {method, mode, body: body || undefined,
      headers: body ? {"Content-Type": "text/plain"} : {}});
    return {status: answer.status, text: await answer.text()};
  } catch (error) { return {error: String(error)}; }
}
"""


class _EvilPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<!doctype html><title>a page of elsewhere</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Nothing: the test's output is its own."""


@pytest.fixture(scope="module")
def evil_port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _EvilPage)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def page(browser: Browser, evil_port: int) -> Iterator[Page]:
    page = browser.new_page()
    page.goto(f"http://evil.example:{evil_port}/")
    yield page
    page.close()


def _served(stack: RunningStack, mark: str) -> list[int]:
    """With which statuses functions answered requests whose path holds the mark."""
    lines = (stack.data_dir / "logs" / "functions.log").read_text().splitlines()
    return [json.loads(line)["status"] for line in lines if mark in line and '"message":"request"' in line]


@pytest.mark.parametrize("name", ["0.0.0.0", "127.0.0.1", "localhost", "rebound.example"])
@pytest.mark.parametrize("mode", ["cors", "no-cors"])
def test_the_http_port_is_read_and_moved_by_no_foreign_page(
    running_stack: RunningStack, page: Page, name: str, mode: str
) -> None:
    mark = f"mark-{uuid4().hex}"
    url = f"http://{name}:{running_stack.ports['HTTP_PORT']}"
    read = page.evaluate(ASK, ["GET", f"{url}/api/cloud/jobs?limit=1", "", mode])
    assert "jobs" not in read.get("text", "")
    page.evaluate(ASK, ["POST", f"{url}/api/{mark}", "{}", mode])
    assert set(_served(running_stack, mark)) <= {403}


def test_a_rebound_name_reads_nothing_though_it_is_of_the_same_origin(
    running_stack: RunningStack, browser: Browser
) -> None:
    origin = f"http://rebound.example:{running_stack.ports['HTTP_PORT']}"
    own = browser.new_page()
    own.route(f"{origin}/attack", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    own.goto(f"{origin}/attack")
    read = own.evaluate(ASK, ["GET", "/api/cloud/jobs?limit=1", "", "same-origin"])
    assert read.get("status", 403) == 403, "unless the browser itself refuses to ask"
    assert "jobs" not in read.get("text", "")
    own.close()


def test_no_foreign_page_invokes_a_function(running_stack: RunningStack, page: Page) -> None:
    mark = f"mark-{uuid4().hex}"
    event = {
        "version": "2.0",
        "rawPath": f"/api/{mark}",
        "rawQueryString": "",
        "headers": {},
        "requestContext": {"http": {"method": "GET", "path": f"/api/{mark}", "sourceIp": "127.0.0.1"}},
    }
    function = "2015-03-31/functions/simpletuner-cloud-local-answer_unknown_path/invocations"
    for name in ("0.0.0.0", "127.0.0.1", "rebound.example"):
        url = f"http://{name}:{running_stack.ports['LAMBDA_PORT']}/{function}"
        for mode in ("cors", "no-cors"):
            page.evaluate(ASK, ["POST", url, json.dumps(event), mode])
    assert _served(running_stack, mark) == []


def test_no_foreign_page_commands_the_simulator(running_stack: RunningStack, page: Page) -> None:
    port = running_stack.ports["SIMULATOR_PORT"]
    for name in ("0.0.0.0", "127.0.0.1", "rebound.example"):
        answer = page.evaluate(ASK, ["GET", f"http://{name}:{port}/_control/jobs", "", "cors"])
        assert "id" not in answer.get("text", "")
