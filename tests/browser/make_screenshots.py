"""`python -m tests.browser.make_screenshots`: the pictures of docs/screenshots, from the page over furnished fakes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from shared.domain.job import JobStatus
from tests.browser.browsers import PHONE, Visit, a_browser, chromium_path
from tests.browser.page_server import PageServer
from tests.browser.scenery import furnish

expect.set_options(timeout=60_000)
FOLDER = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
FLUX = "p7k2m9x4q1rmc0csh3a5d8e6f0"
Act = Callable[[Page, PageServer, Visit], None]


def settle(page: Page) -> None:
    """Until the progress of the running jobs is there and the connection stands."""
    row = page.locator(f'.job[data-id="{FLUX}"]')
    row.scroll_into_view_if_needed()
    expect(row).to_contain_text("%")
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    page.wait_for_timeout(300)


def first_visit(page: Page, _server: PageServer, _visit: Visit) -> None:
    settle(page)


def scrolled(page: Page, _server: PageServer, _visit: Visit) -> None:
    settle(page)
    page.evaluate("scrollTo(0, 560)")
    page.wait_for_timeout(500)


def live_change(page: Page, server: PageServer, _visit: Visit) -> None:
    settle(page)
    server.end(FLUX)
    server.add(
        "n0n0n0n0n0rmc0cshnewnewnew", JobStatus.RUNNING, age=1, name="flux-lora-portraits-v2", hardware_type="H100"
    )
    expect(page.locator(f'.job[data-id="{FLUX}"]')).to_have_attribute("data-status", "completed")
    expect(page.locator('.job[data-id="n0n0n0n0n0rmc0cshnewnewnew"]')).to_be_visible()


def sync(page: Page, server: PageServer, _visit: Visit) -> None:
    settle(page)
    for number in range(3):
        server.remote(f"found{number}aaaaaaaa", JobStatus.COMPLETED, age=5000)
    page.get_by_role("button", name="Sync").click()
    expect(page.locator(".toast")).to_be_visible()


def details(page: Page, _server: PageServer, _visit: Visit) -> None:
    settle(page)
    page.locator(f'.job[data-id="{FLUX}"] .job-name').click()
    expect(page.locator(".sheet .chart path.line").first).to_be_visible()
    expect(page.locator(".sheet .log .block").first).to_be_attached()
    chart = page.locator(".sheet .chart").first
    box = chart.bounding_box()
    assert box is not None
    chart.hover(position={"x": box["width"] * 0.55, "y": 90})


def log(page: Page, server: PageServer, visit: Visit) -> None:
    details(page, server, visit)
    page.locator(".sheet .log").scroll_into_view_if_needed()
    page.wait_for_timeout(300)


def hostile(page: Page, server: PageServer, _visit: Visit) -> None:
    settle(page)
    text = "<img src=x onerror=alert(1)> \u202egnp.exe\u202c"
    server.add(
        "hostile00aaaaaaaa", JobStatus.FAILED, age=20, name=text, error=f"{text} \u001b[31m<script>alert(1)</script>"
    )
    page.get_by_label("Search by name or id").fill("hostile00")
    page.locator('.job[data-id="hostile00aaaaaaaa"] .job-name').click()
    expect(page.locator(".error-text")).to_be_visible()
    page.wait_for_timeout(500)


def keyboard(page: Page, _server: PageServer, _visit: Visit) -> None:
    settle(page)
    page.locator("#sync").focus()
    for _ in range(4):
        page.keyboard.press("Tab")


def offline(page: Page, _server: PageServer, visit: Visit) -> None:
    settle(page)
    visit.context.set_offline(True)
    expect(page.locator("#link")).to_have_attribute("data-state", "offline")


def empty(page: Page, _server: PageServer, _visit: Visit) -> None:
    page.wait_for_timeout(500)


DARK = {"color_scheme": "dark"}
PICTURES: tuple[tuple[str, Act, dict[str, Any]], ...] = (
    ("first-visit", first_visit, {}),
    ("live-change", live_change, {}),
    ("sync", sync, {}),
    ("details", details, {}),
    ("log", log, {}),
    ("japanese", first_visit, {"locale": "ja-JP", "timezone_id": "Asia/Tokyo"}),
    ("dark", first_visit, DARK),
    ("details-dark", details, DARK),
    ("phone", scrolled, {"viewport": PHONE, "is_mobile": True, "has_touch": True}),
    ("phone-details", details, {"viewport": PHONE, "is_mobile": True, "has_touch": True}),
    ("keyboard", keyboard, {}),
    ("hostile", hostile, {}),
    ("offline", offline, {}),
)


def take(browser: Browser, name: str, act: Act, options: dict[str, Any], *, is_furnished: bool = True) -> Path:
    with PageServer().running() as server:
        if is_furnished:
            furnish(server)
        visit = Visit(browser, server.url, **options)
        try:
            act(visit.open(), server, visit)
            path = FOLDER / f"{name}.png"
            visit.picture(path)
            return path
        finally:
            visit.close()


def main() -> None:
    """All pictures, or those named as arguments."""
    if chromium_path() is None:
        sys.exit("Chromium is not installed: apt-get install chromium fonts-noto-cjk, or set CHROMIUM to its path.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = set(sys.argv[1:])
    with a_browser() as browser:
        for name, act, options in PICTURES:
            if not wanted or name in wanted:
                path = take(browser, name, act, options)
                sys.stdout.write(f"{path.relative_to(FOLDER.parents[1])}  {path.stat().st_size // 1000} kB\n")
        if not wanted or "empty" in wanted:
            take(browser, "empty", empty, {}, is_furnished=False)


if __name__ == "__main__":
    main()
