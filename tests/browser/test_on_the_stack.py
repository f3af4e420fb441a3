"""The dashboard on the whole local stack: functions, tables, streams, sockets, and the simulated provider."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.browsers import Visit
from tests.local.stack import RunningStack

pytestmark = pytest.mark.local


@pytest.fixture
def stack_visit(running_stack: RunningStack, visit_of: Callable[..., Visit]) -> Visit:
    return visit_of(running_stack.http_url + "/")


def control(stack: RunningStack, method: str, path: str, **body: Any) -> Any:
    answer = httpx.request(
        method, f"{stack.simulator_control_url}/{path}", json=body or None, headers=stack.control_headers, timeout=20
    )
    assert answer.is_success, answer.text
    return answer.json()


def test_a_first_visit_hears_live_and_sync_brings_the_provider_s_jobs(
    running_stack: RunningStack, stack_visit: Visit
) -> None:
    page = stack_visit.page
    stack_visit.open()
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    page.get_by_role("button", name="Sync").first.click()
    expect(page.locator(".toast")).to_contain_text(re.compile(r"Discovered \d+ jobs from Replicate"))
    expect(page.locator(".job").first).to_be_visible()
    expect(page.locator(".states .provider")).to_contain_text("Connected as")
    expect(page.locator(".states .poller")).to_contain_text(re.compile("Every|Off"))


def test_a_change_reaches_the_open_page_without_reload(running_stack: RunningStack, stack_visit: Visit) -> None:
    page = stack_visit.page
    stack_visit.open()
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    page.evaluate("window.isSamePage = true")
    made = control(running_stack, "POST", "jobs", boot_seconds=0, run_seconds=100_000)
    httpx.post(f"{running_stack.http_url}/api/cloud/jobs/sync", timeout=30)
    row = page.locator(f'.job[data-id="{made["id"]}"]')
    expect(row).to_be_visible()
    control(running_stack, "POST", f"jobs/{made['id']}/end", outcome="failed", error="CUDA out of memory")
    httpx.get(f"{running_stack.http_url}/api/cloud/jobs?sync_active=true", timeout=30)
    expect(row).to_have_attribute("data-status", "failed")
    row.locator(".job-name").click()
    expect(page.locator(".sheet .timeline li").first).to_be_visible()
    assert page.evaluate("window.isSamePage") is True
