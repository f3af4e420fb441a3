"""The dashboard in a real browser, over fakes: what a person sees and does."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from shared.domain import state_keys
from shared.domain.errors import ProviderTokenRejectedError, ProviderUnavailableError
from shared.domain.job import JobStatus
from shared.services.access.authenticate import Authenticate
from shared.services.jobs.delete_job import DeleteJob
from shared.services.polling.decide_polling import DecidePolling
from shared.services.polling.poll_state import PollFault, PollState, encode_poll_state
from tests.browser.browsers import PHONE, Visit
from tests.browser.page_server import PageServer
from tests.browser.scenery import training_log

FLUX = "p7k2m9x4q1rmc0csh3a5d8e6f0"


def row(page: Page, job_id: str) -> Any:
    return page.locator(f'.job[data-id="{job_id}"]')


def test_the_first_visit_shows_every_job_with_active_ones_on_top(visit: Visit) -> None:
    page = visit.open()
    expect(page.locator(".job").first).to_contain_text("Queued")
    statuses = page.locator(".job").evaluate_all("rows => rows.map(row => row.dataset.status)")
    assert statuses[:6] == ["queued", "queued", "running", "running", "running", "running"]
    assert set(statuses[6:]) == {"completed", "failed", "cancelled"}
    expect(row(page, FLUX).get_by_role("progressbar")).to_have_attribute("aria-valuenow", re.compile(r"^61\.\d$"))
    expect(row(page, FLUX)).to_contain_text("Training")
    expect(row(page, FLUX)).to_contain_text("left")
    expect(row(page, FLUX).locator(".log-line")).to_contain_text("Steps:")
    expect(page.locator(".card.cost .big")).to_have_text(re.compile(r"^\$\d+\.\d\d$"))
    expect(page.locator(".card.tally .big")).to_have_text("48")
    expect(page.locator(".states .provider .state")).to_have_text("Connected as tester")


def test_a_change_at_the_provider_moves_the_row_without_reload(server: PageServer, visit: Visit) -> None:
    page = visit.open()
    expect(page.locator("#link")).not_to_have_attribute("data-state", "connecting")
    page.evaluate("window.isSamePage = true")
    server.end(FLUX)
    expect(row(page, FLUX)).to_have_attribute("data-status", "completed")
    expect(page.locator(".group").last.locator(f'.job[data-id="{FLUX}"]')).to_be_visible()
    new = server.add("n0n0n0n0n0rmc0cshnewnewnew", JobStatus.RUNNING, age=5, name="brand-new")
    expect(row(page, new.job_id)).to_contain_text("brand-new")
    server.wiring.use(DeleteJob).run(server.wiring.jobs.get(FLUX), server.wiring.use(Authenticate).principal(None))  # type: ignore[arg-type]
    expect(row(page, FLUX)).to_have_count(0)
    assert page.evaluate("window.isSamePage") is True


def test_no_row_moves_under_a_pointer_that_rests_on_the_list(server: PageServer, visit: Visit) -> None:
    page = visit.open()
    expect(page.locator("#link")).not_to_have_attribute("data-state", "connecting")
    target = row(page, "c9d4f1g6h2rmc0cshb7n3v5x8m")
    target.hover()
    before = target.bounding_box()
    server.add("n0n0n0n0n0rmc0cshnewnewnew", JobStatus.QUEUED, age=1, name="brand-new")
    moved = page.get_by_role("button", name="The order has changed")
    expect(moved).to_be_visible()
    assert row(page, "n0n0n0n0n0rmc0cshnewnewnew").count() == 0
    server.end("y5u8i1o4p7rmc0cshq2w6e9r3t")
    expect(row(page, "y5u8i1o4p7rmc0cshq2w6e9r3t")).to_have_attribute("data-status", "completed")
    assert target.bounding_box() == before
    moved.click()
    expect(row(page, "n0n0n0n0n0rmc0cshnewnewnew")).to_be_visible()


def test_an_empty_list_takes_every_new_job_in_though_a_pointer_rests_on_it(
    empty_server: PageServer, visit_of: Callable[..., Visit]
) -> None:
    page = visit_of(empty_server.url).open()
    page.get_by_text("No jobs yet").hover()
    started = [empty_server.remote(f"new{number}aaaaaaaaaaaaaaaa", JobStatus.RUNNING, age=60) for number in range(3)]
    empty_server.record(*started)
    expect(page.locator(".job")).to_have_count(3)
    expect(page.get_by_role("button", name="The order has changed")).to_be_hidden()


def test_sync_shows_a_spinner_then_the_toast_and_the_new_jobs(server: PageServer, visit: Visit) -> None:
    page = visit.open()
    for number in range(3):
        server.remote(f"found{number}aaaaaaaa", JobStatus.COMPLETED, age=5000)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/api/cloud/jobs/sync", hold)
    before = page.locator("#sync").bounding_box()
    page.get_by_role("button", name="Sync").click()
    expect(page.locator("#sync .spinner")).to_be_visible()
    assert page.locator("#sync").bounding_box() == before
    held[0].continue_()
    expect(page.locator(".toast")).to_contain_text("Discovered 3 jobs from Replicate")
    expect(page.locator("#sync .spinner")).to_be_hidden()
    expect(page.locator(".card.tally .big")).to_have_text("51")
    expect(row(page, "found0aaaaaaaa")).to_have_count(1)


def test_nothing_moves_when_the_service_card_s_texts_come(visit: Visit) -> None:
    """They come after the list, and whoever reads or clicks already must not be led astray."""
    held: list[Route] = []
    is_open = False

    def hold(route: Route) -> None:
        if is_open:
            route.continue_()
        else:
            held.append(route)

    visit.page.route(re.compile(r"/api/cloud/(providers|polling/status|replicate/validate|webhook)"), hold)
    page = visit.open()
    places = "() => [...document.querySelectorAll('#sync, .card')].map(one => one.getBoundingClientRect().top)"
    before = page.evaluate(places)
    is_open = True
    for route in held:
        route.continue_()
    expect(page.locator(".states .provider")).to_contain_text("Connected as")
    expect(page.locator(".states .poller")).to_contain_text(re.compile("Every|Off"))
    unknown = "[...document.querySelectorAll('.states .state')].some(one => one.textContent.trim() === '…')"
    page.wait_for_function(f"() => !({unknown})")
    assert page.evaluate(places) == before


def test_an_estimated_cost_says_so(empty_server: PageServer, visit_of: Callable[..., Visit]) -> None:
    empty_server.add("estimated1aaaaaa", JobStatus.RUNNING, name="ended without a bill")
    empty_server.end("estimated1aaaaaa", JobStatus.FAILED, billed_seconds=None)
    page = visit_of(empty_server.url).open()
    expect(row(page, "estimated1aaaaaa")).to_contain_text("estimated")
    page.get_by_role("link", name="ended without a bill").click()
    expect(page.locator(".sheet .tile", has_text="Cost, estimated until billed")).to_contain_text("$")


def test_a_sync_that_fails_says_why_and_keeps_the_list(server: PageServer, visit: Visit) -> None:
    page = visit.open()
    server.provider.fail("list_page", *[ProviderUnavailableError("Replicate could not be reached; try later.")] * 4)
    page.get_by_role("button", name="Sync").click()
    expect(page.locator('.toast[data-kind="bad"]')).to_contain_text("Replicate could not be reached; try later.")
    expect(page.locator(".job").first).to_be_visible()


def test_details_show_the_curve_the_timeline_and_the_log(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("link", name="flux-lora-portraits").first.click()
    sheet = page.get_by_role("dialog", name="flux-lora-portraits")
    expect(sheet).to_be_visible()
    chart = sheet.get_by_role("img", name=re.compile("Loss from"))
    expect(chart.locator("path.line")).to_be_visible()
    expect(sheet.get_by_role("img", name=re.compile("Steps per second"))).to_be_visible()
    expect(sheet.locator(".tile", has=page.locator("dt", has_text=re.compile("^Step$")))).to_contain_text("3,000")
    expect(sheet.locator(".timeline")).to_contain_text("Queued")
    expect(sheet.locator(".log")).to_contain_text("Running training")
    expect(sheet.get_by_role("link", name="Open at Replicate")).to_have_attribute(
        "href", f"https://replicate.com/p/{FLUX}"
    )
    assert page.url.endswith(f"#job={FLUX}")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    assert "#" not in page.url


def test_the_log_follows_while_the_job_runs(server: PageServer, visit: Visit) -> None:
    page = visit.open(f"#job={FLUX}")
    log = page.locator(".log")
    expect(log).to_contain_text("Running training")
    server.provider.logs[FLUX] = f"{server.provider.logs[FLUX]}[INFO] a new line at the end\n"
    expect(log).to_contain_text("a new line at the end")
    at_end = "box => box.scrollHeight - box.scrollTop - box.clientHeight < 30"
    page.wait_for_function(f"() => ({at_end})(document.querySelector('.log'))")
    assert log.evaluate("box => box.textContent").count("Total optimization steps") == 1
    log.evaluate("box => { box.scrollTop -= 150; }")
    expect(page.get_by_label("Follow")).not_to_be_checked()


def test_cancel_asks_first_and_then_tells_the_provider(server: PageServer, visit: Visit) -> None:
    page = visit.open(f"#job={FLUX}")
    page.get_by_role("button", name="Cancel job").click()
    asked = page.get_by_role("dialog", name="Cancel this job?")
    asked.get_by_role("button", name="Keep it running").click()
    assert not server.provider.cancelled
    page.get_by_role("button", name="Cancel job").click()
    asked.get_by_role("button", name="Cancel job").click()
    toast = page.locator(".toast")
    expect(toast).to_contain_text("The provider was told to stop the job.")
    assert server.provider.cancelled == [FLUX]
    expect(asked).to_be_hidden()
    at_its_corner = "const at = node.getBoundingClientRect(); return document.elementFromPoint(at.x + 8, at.y + 8)"
    assert toast.evaluate(f"node => {{ {at_its_corner} === node }}"), "the details hide the toast"
    page.keyboard.press("Escape")
    expect(page.locator(".sheet")).to_have_count(0)
    expect(toast).to_be_visible()


def test_delete_asks_first_and_then_the_row_is_gone(server: PageServer, visit: Visit) -> None:
    page = visit.open()
    failed = page.locator('.job[data-status="failed"]').first
    job_id = failed.get_attribute("data-id")
    failed.locator(".job-name").click()
    expect(page.locator(".error-text")).to_be_visible()

    def answer_after_the_event(route: Route) -> None:
        if route.request.method != "DELETE":
            route.continue_()
            return
        answer = route.fetch()
        expect(page.locator(f'.job[data-id="{job_id}"]')).to_have_count(0)
        route.fulfill(response=answer)

    page.route(f"**/api/cloud/jobs/{job_id}", answer_after_the_event)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete job").click()
    expect(page.locator(".toast")).to_contain_text("The job was deleted.")
    expect(page.locator(f'.job[data-id="{job_id}"]')).to_have_count(0)
    assert server.stores.jobs.get(str(job_id)) is None


def test_filters_and_search_narrow_the_list_and_say_when_nothing_is_left(visit: Visit) -> None:
    page = visit.open()
    page.get_by_label("Status", exact=True).select_option("failed")
    expect(page.locator('.job:not([data-status="failed"])')).to_have_count(0)
    expect(page.locator('.job[data-status="failed"]').first).to_be_visible()
    page.get_by_label("Status", exact=True).select_option("")
    page.get_by_label("Search by name or id").fill("wan-video")
    expect(page.locator(".job")).to_have_count(1)
    page.get_by_label("Search by name or id").fill("nothing like this")
    expect(page.get_by_text("No job matches these filters")).to_be_visible()
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator(".job").nth(20)).to_be_attached()


def test_further_pages_open_below(server: PageServer, visit: Visit) -> None:
    for number in range(70):
        server.add(f"older{number:03d}aaaaaa", JobStatus.COMPLETED, age=4_000_000 + number, lasts=100)
    page = visit.open()
    shown = page.locator(".group").last.locator(".job")
    expect(shown).to_have_count(50)
    page.get_by_role("button", name="Show more").click()
    expect(shown).to_have_count(100)
    page.get_by_role("button", name="Show more").click()
    expect(shown).to_have_count(112)
    assert len(set(shown.evaluate_all("rows => rows.map(row => row.dataset.id)"))) == 112


def test_both_languages_and_the_choice_is_kept(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("button", name="日本語").click()
    expect(page.get_by_role("heading", name="ジョブ", exact=True)).to_be_visible()
    expect(row(page, FLUX)).to_contain_text("学習")
    assert page.evaluate("document.documentElement.lang") == "ja"
    page.reload()
    expect(page.get_by_role("button", name="同期")).to_be_visible()
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("button", name="Sync")).to_be_visible()


def test_a_japanese_browser_is_greeted_in_japanese(server: PageServer, visit_of: Callable[..., Visit]) -> None:
    page = visit_of(server.url, locale="ja-JP").open()
    expect(page.get_by_role("button", name="同期")).to_be_visible()


@pytest.mark.parametrize("place", ["list", "details", "dialog", "empty"])
def test_axe_finds_nothing_serious(server: PageServer, visit: Visit, place: str) -> None:
    axe = resources.files(pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is missing"))
    page = visit.open(f"#job={FLUX}" if place == "details" else "")
    if place == "details":
        expect(page.locator(".chart path.line").first).to_be_visible()
        expect(page.locator(".log")).to_contain_text("Running")
    if place == "dialog":
        page.get_by_role("button", name="Set a limit").click()
    if place == "empty":
        page.get_by_label("Search by name or id").fill("nothing like this")
        expect(page.get_by_text("No job matches these filters")).to_be_visible()
    page.evaluate(axe.joinpath("axe.min.js").read_text(encoding="utf-8"))
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [
            (one["id"], node["target"], node.get("failureSummary"))
            for one in found["violations"]
            if one["impact"] in ("serious", "critical", "moderate")
            for node in one["nodes"]
        ]
        assert not serious, scheme


def test_everything_can_be_done_by_keyboard_alone(server: PageServer, visit: Visit) -> None:
    page = visit.open()
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the jobs")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('job-name')"):
            break
    name = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    sheet = page.get_by_role("dialog", name=name)
    expect(sheet).to_be_visible()
    assert page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    for _ in range(30):
        page.keyboard.press("Tab")
        is_inside = page.evaluate(
            "node => node.contains(document.activeElement) || document.activeElement === document.body",
            sheet.element_handle(),
        )
        assert is_inside, "the focus left the open dialog"
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    assert page.evaluate("document.activeElement.textContent") == name


def test_a_chart_can_be_read_by_keyboard(visit: Visit) -> None:
    page = visit.open(f"#job={FLUX}")
    chart = page.locator(".sheet .chart").first
    expect(chart.locator("path.line")).to_be_visible()
    chart.focus()
    page.keyboard.press("ArrowRight")
    expect(chart.locator(".tip")).to_contain_text("Step 0: loss")
    page.keyboard.press("ArrowRight")
    expect(chart).to_have_attribute("aria-label", re.compile(r"Step \d+: loss"))


def test_on_a_phone_nothing_is_wider_than_the_screen(server: PageServer, visit_of: Callable[..., Visit]) -> None:
    page = visit_of(server.url, viewport=PHONE, is_mobile=True, has_touch=True).open()
    expect(row(page, FLUX)).to_be_attached()
    expect(page.get_by_role("heading", name="SimpleTuner Cloud Jobs")).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("link", name="wan-video-motion").first.tap()
    expect(page.locator(".sheet .chart path.line").first).to_be_attached()
    assert page.evaluate("document.querySelector('.sheet').scrollWidth <= innerWidth")


def test_an_empty_service_says_what_to_do_next(empty_server: PageServer, visit_of: Callable[..., Visit]) -> None:
    page = visit_of(empty_server.url).open()
    expect(page.get_by_text("No jobs yet")).to_be_visible()
    empty_server.remote("found0aaaaaaaa", JobStatus.RUNNING)
    page.locator("#list").get_by_role("button", name="Sync").click()
    expect(page.locator(".job")).to_have_count(1)


def test_a_missing_token_is_said_and_can_be_entered(empty_server: PageServer, visit_of: Callable[..., Visit]) -> None:
    empty_server.secrets.delete("replicate_api_token")
    empty_server.provider.account_error = ProviderTokenRejectedError("Replicate refused the API token.")
    page = visit_of(empty_server.url).open()
    expect(page.locator(".states .provider")).to_contain_text("Replicate refused the API token.")
    page.locator("#list").get_by_role("button", name="Add API token").click()
    dialog = page.get_by_role("dialog", name="Replicate API token")
    dialog.get_by_label("API token").fill("r8_wrong-token")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Replicate refuses this API token")
    empty_server.provider.account_error = None
    dialog.get_by_label("API token").fill("r8_right-token")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    expect(page.locator(".toast")).to_contain_text("The token works.")
    assert empty_server.secrets.get("replicate_api_token") == "r8_right-token"
    expect(page.locator(".states .provider")).to_contain_text("Connected as tester")
    page.get_by_role("button", name="Change token").click()
    dialog.get_by_role("button", name="Remove token").click()
    assert empty_server.secrets.get("replicate_api_token") == "r8_right-token"
    dialog.get_by_role("button", name="Really remove it?").click()
    expect(dialog).to_be_hidden()
    assert empty_server.secrets.get("replicate_api_token") is None


def test_a_provider_that_is_down_is_not_taken_for_a_missing_token(
    empty_server: PageServer, visit_of: Callable[..., Visit]
) -> None:
    empty_server.provider.account_error = ProviderUnavailableError("Replicate could not be reached; try later.")
    page = visit_of(empty_server.url).open()
    shown = page.locator("#list .message")
    expect(shown).to_contain_text("Replicate could not be reached; try later.")
    expect(page.get_by_role("button", name="Add API token")).to_have_count(0)
    empty_server.provider.account_error = None
    shown.get_by_role("button", name="Sync").click()
    expect(page.locator(".states .provider")).to_contain_text("Connected as tester")
    expect(shown).to_contain_text("No jobs yet")


@pytest.mark.parametrize(
    ("is_on", "fault", "said"),
    [
        (False, None, "Switched off, and no webhook is set"),
        (True, "Replicate could not be reached.", "The last run failed: Replicate could not be reached."),
    ],
)
def test_a_poller_that_does_not_work_says_so(
    empty_server: PageServer, visit_of: Callable[..., Visit], is_on: bool, fault: str | None, said: str
) -> None:
    server = empty_server
    server.wiring.use(DecidePolling).prefer(is_on)
    known = PollState(last_tick_at=server.now(), fault=PollFault("down", fault, server.now()) if fault else None)
    server.stores.state.put(state_keys.poll("replicate"), encode_poll_state(known), now=server.now())
    page = visit_of(server.url).open()
    expect(page.locator(".states .poller")).to_contain_text(said)
    expect(page.locator(".states .poller")).not_to_have_attribute("data-state", "good")


def test_a_spending_limit_is_set_on_the_page(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("button", name="Set a limit").click()
    dialog = page.get_by_role("dialog", name="Spending limit")
    dialog.get_by_label("Amount in US dollars").fill("100")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator(".card.limit")).to_contain_text("Used up")
    expect(page.get_by_role("meter")).to_be_visible()


def test_a_wrong_webhook_address_is_refused_in_the_dialog(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("button", name="Set up").click()
    dialog = page.get_by_role("dialog", name="Webhook address")
    dialog.get_by_label("Address").fill("http://example.com/hook")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("https://")


def test_offline_is_said_and_the_page_goes_on_by_itself(server: PageServer, visit: Visit) -> None:
    page = visit.open()
    visit.context.set_offline(True)
    expect(page.locator("#link")).to_have_attribute("data-state", "offline")
    server.end(FLUX)
    expect(row(page, FLUX)).to_have_attribute("data-status", "running")
    visit.context.set_offline(False)
    expect(row(page, FLUX)).to_have_attribute("data-status", "completed")
    expect(page.locator("#link")).not_to_have_attribute("data-state", "offline")


def test_progress_is_one_request_in_five_seconds_and_none_while_hidden(visit: Visit) -> None:
    visit.page.clock.install()
    page = visit.open()
    expect(row(page, FLUX)).to_contain_text("Training")
    with page.expect_response("**/api/cloud/progress?*"):
        page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))
    page.wait_for_timeout(100)
    visit.requests.clear()
    for _ in range(3):
        page.clock.run_for(5000)
        page.wait_for_timeout(100)
    assert 1 <= sum("api/cloud/progress" in url for url in visit.requests) <= 3
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    visit.requests.clear()
    page.clock.run_for(20_000)
    assert not [url for url in visit.requests if "api/cloud/progress" in url]


def test_a_service_that_was_down_is_read_as_soon_as_it_is_back(server: PageServer, visit: Visit) -> None:
    page = visit.page
    page.clock.install()
    page.route("**/api/**", lambda route: route.fulfill(status=503, json={"message": "Service Unavailable"}))
    page.goto(server.url)
    expect(page.locator("#list .problem")).to_contain_text("Service Unavailable")
    expect(page.locator(".card.limit")).to_contain_text("Service Unavailable")
    assert "" not in page.locator("main h3:visible, main button:visible").all_inner_texts()
    expect(page.locator("[role=img]:not([aria-label])")).to_have_count(0)
    page.unroute("**/api/**")
    page.clock.run_for(30_000)
    expect(row(page, FLUX)).to_be_visible()
    expect(page.locator("#list .problem")).to_be_hidden()
    expect(page.locator(".states .provider")).to_contain_text("Connected as tester")


def test_a_job_that_does_not_exist_is_said_and_nothing_else(empty_server: PageServer, visit_of: Any) -> None:
    page = visit_of(empty_server.url).open("#job=nothinglikethis")
    sheet = page.get_by_role("dialog")
    expect(sheet.get_by_role("alert")).to_contain_text("There is no such job")
    expect(sheet.locator("dl:visible, .log:visible")).to_have_count(0)


def test_a_search_goes_on_where_one_answer_holds_nothing(server: PageServer, visit: Visit) -> None:
    page = visit.open()
    job = httpx.get(f"{server.url}api/cloud/jobs?status=completed&limit=1").json()["jobs"][0]

    def answer(route: Route) -> None:
        asked = parse_qs(urlsplit(route.request.url).query)
        number = int(asked.get("cursor", ["1"])[0])
        found = [job | {"config_name": "old one"}] if number > 8 else []
        is_over = number > 8 or "completed" not in asked["status"][0]
        route.fulfill(json={"jobs": found, "total": None, "next_cursor": None if is_over else str(number + 1)})

    page.route("**/api/cloud/jobs?*q=*", answer)
    page.get_by_label("Search by name or id").fill("old")
    expect(page.get_by_text("No match among the newest jobs")).to_be_visible()
    expect(page.locator(".job")).to_have_count(0)
    page.get_by_role("button", name="Search older jobs").click()
    expect(page.locator(".job")).to_have_count(1)
    expect(page.get_by_text("No match among")).to_be_hidden()


def test_a_job_that_no_longer_fits_the_filter_leaves_the_list(server: PageServer, visit: Visit) -> None:
    page = visit.open()
    expect(page.locator("#link")).not_to_have_attribute("data-state", "connecting")
    page.get_by_label("Status", exact=True).select_option("running")
    expect(page.locator(".job")).to_have_count(4)
    server.end(FLUX)
    expect(page.locator(".job")).to_have_count(3)
    expect(page.locator(".group.active .count")).to_have_text("3")


def test_a_service_with_keys_asks_for_one_and_lets_in(browser: Any, visit_of: Callable[..., Visit]) -> None:
    with PageServer(auth_mode="key").running() as guarded:
        guarded.secrets.put("admin_api_key", "an-admin-key-that-is-long-enough")
        visit = visit_of(guarded.url)
        page = visit.page
        page.goto(guarded.url)
        dialog = page.get_by_role("dialog", name="Sign in")
        dialog.get_by_label("API key").fill("wrong")
        dialog.get_by_role("button", name="Sign in").click()
        expect(dialog.get_by_role("alert")).to_contain_text("not valid")
        dialog.get_by_label("API key").fill("an-admin-key-that-is-long-enough")
        dialog.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("No jobs yet")).to_be_visible()
        assert page.evaluate("document.cookie") == ""
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()


def test_times_are_the_reader_s_with_the_exact_one_on_hover(visit: Visit) -> None:
    page = visit.open()
    when = row(page, FLUX).locator("time")
    expect(when).to_have_text(re.compile("min. ago"))
    expect(when).to_have_attribute("title", re.compile(r"Created .*(GMT\+[12]|CES?T)"))
    note = page.locator(".job .note[title]").first
    note.scroll_into_view_if_needed()
    middle = "const at = node.getBoundingClientRect(); return document.elementFromPoint(at.x + 9, at.y + at.height / 2)"
    assert note.evaluate(f"node => {{ {middle} === node }}"), "the tooltip of an outcome cannot be reached"
    note.click()
    expect(page.locator(".sheet .error-text")).to_be_visible()


def test_the_list_stays_when_a_reload_of_it_fails(server: PageServer, visit: Visit) -> None:
    page = visit.open()
    page.route("**/api/cloud/jobs?*", lambda route: route.fulfill(status=503, json={"message": "Service Unavailable"}))
    page.get_by_role("button", name="Sync").click()
    expect(page.locator("#list .problem")).to_contain_text("Service Unavailable")
    expect(page.locator(".job").first).to_be_visible()
    with page.expect_request("**/api/cloud/jobs?*"):
        page.get_by_role("button", name="Try again").click()
    page.unroute("**/api/cloud/jobs?*")
    # A change that is told reloads the list, too, and may take the button away first.
    page.evaluate("document.querySelector('#list .problem button')?.click()")
    expect(page.locator("#list .problem")).to_be_hidden()


def test_an_answer_that_breaks_off_is_said_like_none(visit: Visit) -> None:
    page = visit.open()
    page.route("**/api/cloud/jobs?*", lambda route: route.fulfill(content_type="application/json", body='{"jobs": ['))
    page.get_by_role("button", name="Sync").click()
    expect(page.locator("#list .problem")).to_contain_text("The service cannot be reached.")
    expect(page.locator(".job").first).to_be_visible()


def test_a_long_log_stays_light(server: PageServer, visit: Visit) -> None:
    server.provider.logs[FLUX] = training_log(1800, 3000) + "".join(
        f"line {number} of many\n" for number in range(30_000)
    )
    page = visit.open(f"#job={FLUX}")
    expect(page.locator(".log")).to_contain_text("line 29999 of many")
    expect(page.get_by_text("The newest 6,000 lines are shown")).to_be_visible()
    page.locator(".log").scroll_into_view_if_needed()
    at_end = "box.scrollHeight - box.scrollTop - box.clientHeight < 40"
    page.wait_for_function(f"() => {{ const box = document.querySelector('.log'); return {at_end} }}")
    assert page.locator(".log .block").count() < 60
