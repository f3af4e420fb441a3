"""A browser a session, a page server a test; a test fails for anything that went wrong in its page unseen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.browsers import Visit, a_browser, chromium_path
from tests.browser.page_server import PageServer
from tests.browser.scenery import furnish

Visitor = Callable[..., Visit]
# How long a busy machine may take; only a test that fails waits as long.
expect.set_options(timeout=60_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if chromium_path() is None:
        pytest.skip("Chromium is not installed (apt-get install chromium), or set CHROMIUM to its path.")
    with a_browser() as started:
        yield started


@pytest.fixture
def empty_server() -> Iterator[PageServer]:
    with PageServer().running() as server:
        yield server


@pytest.fixture
def server(empty_server: PageServer) -> PageServer:
    furnish(empty_server)
    return empty_server


@pytest.fixture
def visit_of(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Visits to any address; at the end none of them may have complained or asked elsewhere."""
    visits: list[Visit] = []

    def begin(url: str, **options: Any) -> Visit:
        visits.append(Visit(browser, url, **options))
        return visits[-1]

    yield begin
    for visit in visits:
        visit.close()
    assert not [complaint for visit in visits for complaint in visit.complaints]
    assert not [url for visit in visits for url in visit.foreign]


@pytest.fixture
def visit(server: PageServer, visit_of: Visitor) -> Visit:
    return visit_of(server.url)
