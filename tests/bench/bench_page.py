"""What the page weighs, when it first paints, and how smooth it stays with 200 running and 1,000 ended jobs."""

from __future__ import annotations

import json
import statistics
from typing import Any

from playwright.sync_api import Browser

from shared.domain.job import JobStatus
from tests.browser.browsers import Visit, a_browser, chromium_path
from tests.browser.page_server import PageServer
from tests.browser.scenery import training_log

RUNNING = 200
ENDED = 1000
ROUNDS = 30
LOADS = 7
LONG_MS = 50
GOAL_SENT = 150_000
GOAL_PLAIN = 300_000
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
SIZES = """() => {
  const own = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const files = own.filter((one) => !one.name.includes("/api/"));
  const sum = (name) => files.reduce((total, one) => total + one[name], 0);
  return { files: files.length, sent: sum("transferSize"), plain: sum("decodedBodySize") };
}"""


def main() -> None:
    """Fails when a promise is not kept."""
    if chromium_path() is None:
        print("page: Chromium is not installed (apt-get install chromium), or set CHROMIUM to its path.")
        return
    with PageServer(progress_max_age_seconds=5).running() as server, a_browser() as browser:
        fill(server)
        weigh(server, browser)
        watch(server, browser)


def fill(server: PageServer) -> None:
    log = training_log(500, 2000)
    for number in range(RUNNING):
        job_id = f"run{number:05d}aaaaaaaaaa"
        server.add(job_id, JobStatus.RUNNING, age=100 + number, name=f"training-{number}")
        server.provider.logs[job_id] = log
    for number in range(ENDED):
        server.add(f"end{number:05d}aaaaaaaaaa", JobStatus.COMPLETED, age=10_000 + number, lasts=900)


def weigh(server: PageServer, browser: Browser) -> None:
    """Bytes on the wire and unpacked of a first visit, and the median of its first contentful paint."""
    paints: list[float] = []
    sizes: dict[str, int] = {}
    for _ in range(LOADS):
        visit = Visit(browser, server.url)
        visit.open()
        visit.page.wait_for_timeout(300)
        paints.append(float(visit.page.evaluate(PAINT)))
        sizes = visit.page.evaluate(SIZES)
        visit.close()
    print(f"{sizes['files']} files, {sizes['sent'] / 1000:.1f} kB sent, {sizes['plain'] / 1000:.1f} kB unpacked")
    print(f"first contentful paint {statistics.median(paints):.0f} ms (median of {LOADS})")
    assert sizes["sent"] <= GOAL_SENT
    assert sizes["plain"] <= GOAL_PLAIN


def watch(server: PageServer, browser: Browser) -> None:
    """By the processor time of the page's main thread, so that a busy machine does not count against the page."""
    visit = Visit(browser, server.url, reduced_motion="no-preference")
    page = visit.open()
    page.wait_for_timeout(6000)
    browser.start_tracing(page=page, categories=["toplevel", "disabled-by-default-devtools.timeline"])
    for number in range(ROUNDS):
        server.end(f"run{number:05d}aaaaaaaaaa")
        job_id = f"new{number:05d}aaaaaaaaaa"
        server.add(job_id, JobStatus.RUNNING, age=1, name=f"new-{number}")
        server.provider.logs[job_id] = training_log(20, 2000)
        page.mouse.wheel(0, 700 if number % 8 < 4 else -700)
        page.wait_for_timeout(500)
    tasks = main_thread_tasks(json.loads(browser.stop_tracing()))
    rows = page.locator(".job").count()
    visit.close()
    long = [task for task in tasks if task > LONG_MS]
    print(f"{rows} rows, {RUNNING} of them running; {ROUNDS} jobs end and as many begin while the list is scrolled:")
    print(f"{len(tasks)} tasks, {len(long)} over {LONG_MS} ms, the longest {max(tasks):.0f} ms of processor time")
    assert not long


def main_thread_tasks(trace: dict[str, Any]) -> list[float]:
    """Processor milliseconds of each task of the page's main thread."""
    events = trace["traceEvents"]
    main = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and event["args"].get("name") == "CrRendererMain"
    }
    return [
        event["tdur"] / 1000
        for event in events
        if (event.get("pid"), event.get("tid")) in main and "RunTask" in event.get("name", "") and "tdur" in event
    ]


if __name__ == "__main__":
    main()
