"""Chromium for tests: the system's own, without any request of its own to the outside."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # So every such name leads to this machine, as a rebound one does.
    "--host-resolver-rules=MAP *.example 127.0.0.1",
)
WIDE = {"width": 1320, "height": 900}
PHONE = {"width": 390, "height": 844}


def chromium_path() -> str | None:
    """`CHROMIUM`, else the first browser of this machine that is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    given = os.environ.get("CHROMIUM")
    return given or next((found for name in names if (found := shutil.which(name))), None)


@contextmanager
def a_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A page in a context of its own, and whatever went wrong in it or left for elsewhere."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        given = {"viewport": WIDE, "locale": "en-US", "timezone_id": "Europe/Berlin", "reduced_motion": "reduce"}
        self.url = url
        self.context = browser.new_context(**(given | options))
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("request", lambda request: self._note(request.url))

    def open(self, fragment: str = "") -> Page:
        """Go there and wait until the list is known."""
        self.page.goto(self.url + fragment)
        self.page.wait_for_selector("#list .message:not([aria-busy]), #list .problem:not([hidden])", state="attached")
        return self.page

    def picture(self, path: Path) -> None:
        self.page.screenshot(path=path, animations="disabled")

    def close(self) -> None:
        self.context.close()

    def _hear(self, message: Any) -> None:
        # A request that failed is the test's own doing; the page tells it to the reader.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def _note(self, url: str) -> None:
        self.requests.append(url)
        if not url.startswith(("data:", "blob:")) and urlsplit(url).hostname != urlsplit(self.url).hostname:
            self.foreign.append(url)
