"""The dashboard with two providers: what it says and does of each is what the service tells of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from shared.domain.errors import ProviderTokenRejectedError
from shared.domain.job import JobStatus
from shared.domain.pricing import Hardware
from shared.domain.provider_profile import ProviderProfile
from tests.browser.browsers import Visit
from tests.browser.page_server import PageServer

NIMBUS = ProviderProfile(
    name="nimbus",
    label="Nimbus",
    api_base_url="https://api.nimbus.example",
    token_secret="nimbus_token",
    token_variable="NIMBUS_TOKEN",
    token_url="https://nimbus.example/tokens",
    kinds=("run",),
    hardware={"n1": Hardware("n1", "N1", "N1", Decimal("0.0005"))},
    default_hardware="n1",
    requests_per_second=10,
    job_url="https://nimbus.example/runs/{external_id}",
)
TWIN = "same0id0at0both0providers0"


@pytest.fixture
def two() -> Iterator[PageServer]:
    with PageServer(NIMBUS).running() as server:
        yield server


def add_twins(server: PageServer, status: JobStatus, *, age: float = 600) -> None:
    """One external id at both providers; the jobs are `at-replicate` and `at-nimbus`."""
    server.add(TWIN, status, age=age, name="the first", job_id="at-replicate")
    server.add(TWIN, status, age=age, name="the second", job_id="at-nimbus", provider="nimbus", kind="run")


def tell_of_nimbus(page: Page, **changes: Any) -> None:
    """Let the service tell something else of it."""

    def answer(route: Route) -> None:
        body = route.fetch().json()
        body["providers"] = [one | (changes if one["id"] == "nimbus" else {}) for one in body["providers"]]
        route.fulfill(json=body)

    page.route("**/api/cloud/providers", answer)


def test_each_provider_has_its_own_line_and_a_webhook_only_if_it_sends_them(
    two: PageServer, visit_of: Callable[..., Visit]
) -> None:
    two.providers["nimbus"].account_error = ProviderTokenRejectedError("Nimbus refused the API token.")
    page = visit_of(two.url).open()
    lines = page.locator(".states .provider")
    expect(lines.locator(".label")).to_have_text(["Replicate", "Nimbus"])
    expect(lines.locator(".state")).to_have_text(["Connected as tester", "Nimbus refused the API token."])
    expect(page.locator(".states .webhook .label")).to_have_text(["Webhook · Replicate"])
    expect(page.locator(".states .poller")).to_have_attribute("data-state", "good")


def test_a_token_is_given_to_the_provider_whose_line_it_is(two: PageServer, visit_of: Callable[..., Visit]) -> None:
    nimbus = two.providers["nimbus"]
    nimbus.account_error = ProviderTokenRejectedError("Nimbus refused the API token.")
    page = visit_of(two.url).open()
    page.get_by_role("button", name="Add API token · Nimbus").click()
    dialog = page.get_by_role("dialog", name="Nimbus API token")
    expect(dialog).to_contain_text("Create a token at Nimbus")
    expect(dialog.get_by_role("link")).to_have_attribute("href", NIMBUS.token_url)
    nimbus.account_error = None
    dialog.get_by_label("API token").fill("token-of-nimbus")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator(".states .provider .state")).to_have_text(["Connected as tester"] * 2)
    assert two.secrets.get(NIMBUS.token_secret) == "token-of-nimbus"
    assert two.secrets.get("replicate_api_token") == "r8_token-of-a-test"


def test_a_spending_limit_says_whose_it_is(two: PageServer, visit_of: Callable[..., Visit]) -> None:
    page = visit_of(two.url).open()
    expect(page.locator(".budget .owner")).to_have_text(["Replicate", "Nimbus"])
    page.get_by_role("button", name="Set a limit · Nimbus").click()
    dialog = page.get_by_role("dialog", name="Spending limit · Nimbus")
    dialog.get_by_label("Amount in US dollars").fill("100")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("meter", name="Spending limit · Nimbus")).to_be_visible()
    expect(page.locator(".budget").first).to_contain_text("No limit is set.")


def test_equal_ids_at_two_providers_are_two_jobs_each_with_its_own_page(
    two: PageServer, visit_of: Callable[..., Visit]
) -> None:
    add_twins(two, JobStatus.RUNNING)
    page = visit_of(two.url).open()
    expect(page.locator(".job")).to_have_count(2)
    for name, label, address in (
        ("the first", "Replicate", f"https://replicate.com/p/{TWIN}"),
        ("the second", "Nimbus", f"https://nimbus.example/runs/{TWIN}"),
    ):
        expect(page.locator(".job", has_text=name)).to_contain_text(label)
        page.get_by_role("link", name=name).click()
        sheet = page.get_by_role("dialog", name=name)
        expect(sheet.locator(".identity")).to_contain_text(f"{label} · at-{label.lower()}")
        expect(sheet.get_by_role("link", name=f"Open at {label}")).to_have_attribute("href", address)
        page.keyboard.press("Escape")
    page.get_by_role("link", name="the second").click()
    page.get_by_role("button", name="Cancel job").click()
    page.get_by_role("dialog", name="Cancel this job?").get_by_role("button", name="Cancel job").click()
    expect(page.locator(".toast")).to_contain_text("The provider was told to stop the job.")
    assert (two.provider.cancelled, two.providers["nimbus"].cancelled) == ([], [TWIN])


@pytest.mark.parametrize(
    ("job_id", "age", "said"),
    [
        ("at-replicate", 600, "it is asked for until 1 hour after the end."),
        ("at-replicate", 90_000, "the provider removes it 1 hour after the end."),
        ("at-nimbus", 90_000, "There is no log yet; it is asked for again."),
    ],
)
def test_a_log_is_waited_for_as_long_as_its_provider_keeps_it(
    two: PageServer, visit_of: Callable[..., Visit], job_id: str, age: float, said: str
) -> None:
    add_twins(two, JobStatus.COMPLETED, age=age)
    page = visit_of(two.url).open(f"#job={job_id}")
    expect(page.locator(".log-bar")).to_contain_text(said)


def test_a_job_of_a_provider_that_is_not_told_of_shows_the_bare_word_and_no_link(
    two: PageServer, visit_of: Callable[..., Visit]
) -> None:
    add_twins(two, JobStatus.COMPLETED)
    visit = visit_of(two.url)
    tell_of_nimbus(visit.page, id="another")
    page = visit.open("#job=at-nimbus")
    sheet = page.get_by_role("dialog", name="the second")
    expect(sheet.locator(".identity")).to_have_text("nimbus · at-nimbus")
    expect(sheet.locator(".log-bar")).to_contain_text("There is no log.")
    expect(sheet.get_by_role("button", name="Delete")).to_be_visible()
    expect(sheet.get_by_role("link")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["javascript:alert(1)//", "http://nimbus.example/"])
def test_an_address_of_a_provider_that_is_not_https_is_no_link(
    two: PageServer, visit_of: Callable[..., Visit], scheme: str
) -> None:
    add_twins(two, JobStatus.COMPLETED)
    visit = visit_of(two.url)
    tell_of_nimbus(visit.page, job_url=f"{scheme}{{external_id}}", token_url=scheme)
    page = visit.open("#job=at-nimbus")
    sheet = page.get_by_role("dialog", name="the second")
    expect(sheet.locator(".identity")).to_have_text("Nimbus · at-nimbus")
    expect(sheet.get_by_role("link")).to_have_count(0)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Change token · Nimbus").click()
    dialog = page.get_by_role("dialog", name="Nimbus API token")
    expect(dialog).to_contain_text(scheme)
    expect(dialog.get_by_role("link")).to_have_count(0)
