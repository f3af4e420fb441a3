"""`live.js` and a plain EventSource in a real browser: every change once and in order, whatever breaks."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.gateway import Gateway, Line

QUICK = "{answer: 2000, ping: 700, backOff: 50, longestBackOff: 300, upgrade: 1500, hole: 200, poll: 500}"
"""Timing of the tests in milliseconds; what is tested does not depend on the figures."""
PATIENT = QUICK.replace("answer: 2000", "answer: 30000")
"""Where a test says how many sockets there were, a busy machine must not look like a dead one."""

LIVE_PAGE = """<!doctype html><title>live</title><script type="module">
import { connectLive } from "/live.js";
window.heard = []; window.states = []; window.resets = 0;
window.live = connectLive({
  base: "/",
  onEvents: (events) => window.heard.push(...events),
  onReset: () => { window.resets += 1; },
  onState: (state) => window.states.push(state),
  timing: TIMING,
});
</script>"""

SEEDS_PAGE = """<!doctype html><title>seeds</title><script>
window.heard = []; window.loads = 0;
function loadJobs() { window.loads += 1; }
const eventSource = new EventSource('/api/events');

eventSource.addEventListener('message', (event) => {
    const data = JSON.parse(event.data);
    window.heard.push({id: event.lastEventId, ...data});

    if (data.type === 'job_status_changed') {
        console.log(`Job ${data.job_id} is now ${data.status}`);
        // Refresh job list
        loadJobs();
    }
});
window.resets = 0;
eventSource.addEventListener('reset', () => { window.resets += 1; });
eventSource.addEventListener('open', () => { window.opened = true; });
</script>"""

Open = Callable[..., Page]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(sse_hold_seconds=1).running() as running:
        yield running


@pytest.fixture
def visit(browser: Browser, gateway: Gateway) -> Iterator[Open]:
    """A page on the gateway, or on another address that leads to it; page errors fail the test."""
    context = browser.new_context()
    errors: list[str] = []

    def begin(html: str, url: str = gateway.url) -> Page:
        gateway.page = html.encode()
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{url}/")
        return page

    yield begin
    context.close()
    assert errors == []


def live_page(timing: str = QUICK) -> str:
    return LIVE_PAGE.replace("TIMING", timing)


def wait_for(page: Page, expression: str, seconds: float = 20) -> None:
    page.wait_for_function(expression, timeout=seconds * 1000)


def heard_ids(page: Page) -> list[str]:
    ids: list[str] = page.evaluate("window.heard.map((event) => event.id)")
    return ids


def assert_heard_everything(page: Page, gateway: Gateway, *, since: int = 1, seconds: float = 20) -> None:
    """Each change of the log since that frame, once, in order, word for word."""
    expected = gateway.world.frames(first=since)
    wait_for(page, f"window.heard.length >= {len(expected)}", seconds)
    heard: list[dict[str, Any]] = page.evaluate("window.heard")
    assert heard == expected


def test_a_page_hears_every_change_over_its_socket(gateway: Gateway, visit: Open) -> None:
    page = visit(live_page())
    wait_for(page, "window.live?.state === 'live'")
    gateway.publish(20)

    assert_heard_everything(page, gateway)
    assert page.evaluate("window.states") == ["catching_up", "live"]
    assert page.evaluate("window.resets") == 1
    assert gateway.open_sockets == 1


def test_sockets_that_break_again_and_again_lose_and_repeat_nothing(gateway: Gateway, visit: Open) -> None:
    page = visit(live_page())
    wait_for(page, "window.live?.state === 'live'")
    for _ in range(5):
        gateway.publish(3)
        gateway.end_sockets()
        gateway.publish(2)
        time.sleep(0.2)

    assert_heard_everything(page, gateway)
    wait_for(page, "window.live.state === 'live'")


def test_without_sockets_the_page_lives_on_the_event_stream_and_comes_back(gateway: Gateway, visit: Open) -> None:
    gateway.refuses_sockets = True
    gateway.publish()
    page = visit(live_page())
    wait_for(page, "window.live?.state === 'live'")
    assert gateway.open_sockets == 0
    gateway.publish(5)
    wait_for(page, "window.heard.length === 10")

    gateway.refuses_sockets = False
    deadline = time.monotonic() + 20
    while not gateway.open_sockets:
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)
    wait_for(page, "window.live.state === 'live'")
    gateway.publish(5)

    assert_heard_everything(page, gateway, since=3)


def test_without_both_the_page_polls_and_recovers_by_itself(gateway: Gateway, visit: Open) -> None:
    page = visit(live_page())
    wait_for(page, "window.live?.state === 'live'")
    gateway.refuses_sockets = gateway.refuses_streams = True
    gateway.end_sockets()
    wait_for(page, "window.live.state === 'polling'")
    gateway.publish(4)
    assert heard_ids(page) == []

    gateway.refuses_streams = False

    assert_heard_everything(page, gateway)
    wait_for(page, "window.live.state === 'live'")


def test_a_lost_push_is_noticed_by_the_numbers_or_by_the_heartbeat(gateway: Gateway, visit: Open) -> None:
    rng = random.Random(5)
    page = visit(live_page())
    wait_for(page, "window.live?.state === 'live'")
    gateway.loses = lambda: rng.random() < 0.3
    for _ in range(30):
        gateway.publish()
        time.sleep(0.02)
    gateway.settle()

    assert_heard_everything(page, gateway)


def test_a_socket_is_renewed_before_the_gateway_ends_it_and_nothing_is_missed(gateway: Gateway, visit: Open) -> None:
    page = visit(live_page(QUICK.replace("{", "{renew: 300, renewSpread: 100, ")))
    wait_for(page, "window.live?.state === 'live'")
    for _ in range(40):
        gateway.publish()
        time.sleep(0.05)
    gateway.settle()

    assert_heard_everything(page, gateway)
    assert set(page.evaluate("window.states")) == {"catching_up", "live"}
    assert gateway.accepted_sockets > 2
    assert gateway.open_sockets <= 2


def test_a_server_that_falls_silent_is_left_for_a_new_socket(gateway: Gateway, visit: Open) -> None:
    page = visit(live_page(QUICK.replace("answer: 2000", "answer: 400")))
    wait_for(page, "window.live?.state === 'live'")
    gateway.loses = lambda: True
    gateway.publish(3)
    page.wait_for_timeout(1500)
    gateway.loses = lambda: False

    assert_heard_everything(page, gateway)


def test_a_tab_that_comes_back_into_view_asks_at_once_what_it_missed(gateway: Gateway, visit: Open) -> None:
    page = visit(live_page(PATIENT.replace("ping: 700", "ping: 600000")))
    wait_for(page, "window.live?.state === 'live'")
    gateway.loses = lambda: True
    gateway.publish(3)
    gateway.settle()
    gateway.loses = lambda: False
    assert heard_ids(page) == []

    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    assert_heard_everything(page, gateway)
    assert gateway.accepted_sockets == 1


def test_while_no_job_is_active_a_lost_push_is_looked_for_less_often(gateway: Gateway, visit: Open) -> None:
    idle = live_page(PATIENT.replace("ping: 700", "ping: 100, idlePing: 600000")).replace(
        "timing:", "isBusy: () => window.isBusy, timing:"
    )
    page = visit(idle)
    wait_for(page, "window.live?.state === 'live'")
    gateway.loses = lambda: True
    gateway.publish(3)
    gateway.settle()
    gateway.loses = lambda: False
    page.wait_for_timeout(500)
    assert heard_ids(page) == []

    page.evaluate("window.isBusy = true")

    assert_heard_everything(page, gateway)


def test_a_server_that_greets_and_hangs_up_is_not_hammered(gateway: Gateway, visit: Open) -> None:
    """The second such socket sends the page to the event stream, and the next is tried after a while only."""
    gateway.world.publish()
    page = visit(live_page(PATIENT.replace("upgrade: 1500", "upgrade: 600000")))
    for number in (1, 2):
        wait_for(page, "window.live?.socket?.isGreeted")
        assert gateway.accepted_sockets == number
        gateway.end_sockets()
        wait_for(page, "!window.live.socket")
    wait_for(page, "window.live.stream && window.live.state === 'live'")
    gateway.publish(2)

    assert_heard_everything(page, gateway, since=3)
    page.wait_for_timeout(400)
    assert gateway.accepted_sockets == 2


def test_a_machine_that_slept_for_hours_wakes_up_without_a_gap(gateway: Gateway, visit: Open) -> None:
    """Every timer of the page is due at once, its socket was ended meanwhile, and changes were missed."""
    page = visit("<title>empty</title>")
    page.clock.install()
    gateway.page = live_page(QUICK.replace("answer: 2000", "answer: 10000")).encode()
    page.reload()
    wait_for(page, "window.live?.state === 'live'")
    for _ in range(2):
        gateway.end_sockets()
        gateway.publish(3)
        page.clock.fast_forward("03:00:00")
        gateway.publish(2)
    page.clock.resume()

    assert_heard_everything(page, gateway)
    wait_for(page, "window.live.state === 'live'")


def test_a_socket_whose_hello_fails_is_left_for_the_event_stream(gateway: Gateway, visit: Open) -> None:
    """API Gateway says so in a message of its own, which must not pass for an answer."""
    gateway.world.publish()
    gateway.fails_messages = True
    page = visit(live_page(PATIENT))
    wait_for(page, "window.live?.stream && window.live.state === 'live'")
    gateway.publish(2)
    wait_for(page, "window.heard.length === 4")

    gateway.fails_messages = False
    wait_for(page, "window.live.socket && window.live.state === 'live'")
    gateway.publish(2)

    assert_heard_everything(page, gateway, since=3)


def test_a_cursor_that_the_server_does_not_know_asks_the_page_to_read_anew(gateway: Gateway, visit: Open) -> None:
    gateway.world.publish(3)
    page = visit(live_page().replace('base: "/"', 'base: "/", after: "elsewhere-7"'))
    wait_for(page, "window.live?.state === 'live'")

    assert page.evaluate("window.resets") == 1
    assert page.evaluate("window.live.lastId") == f"{gateway.world.epoch}-6"
    gateway.publish()
    wait_for(page, "window.heard.length === 2")
    assert heard_ids(page) == gateway.world.ids(7, 8)


def test_a_closed_client_is_silent_for_good(gateway: Gateway, visit: Open) -> None:
    page = visit(live_page())
    wait_for(page, "window.live?.state === 'live'")
    page.evaluate("window.live.close()")
    gateway.publish(2)
    page.wait_for_timeout(700)

    assert heard_ids(page) == []
    assert gateway.open_sockets == 0


def test_a_page_that_throws_keeps_its_connection(gateway: Gateway, visit: Open) -> None:
    page = visit(
        live_page().replace(
            "window.heard.push(...events)", "{ window.heard.push(...events); throw new Error('mine'); }"
        )
    )
    wait_for(page, "window.live?.state === 'live'")
    gateway.publish(3)

    assert_heard_everything(page, gateway)


def test_the_snippet_of_the_documentation_works_as_it_stands(gateway: Gateway, visit: Open) -> None:
    gateway.world.publish()
    page = visit(SEEDS_PAGE)
    wait_for(page, "window.opened")
    gateway.world.publish(4)

    assert_heard_everything(page, gateway, since=3)
    assert page.evaluate("window.loads") == 4


def test_the_browsers_own_event_source_resumes_over_a_line_that_cuts_anywhere(gateway: Gateway, visit: Open) -> None:
    rng = random.Random(9)
    with Line(gateway.port).open() as line:
        gateway.world.publish()
        page = visit(SEEDS_PAGE, line.url)
        wait_for(page, "window.opened")
        line.cut = lambda: rng.randrange(150, 3000)
        for _ in range(8):
            gateway.world.publish(2)
            page.wait_for_timeout(400)
        line.cut = lambda: None

        assert_heard_everything(page, gateway, since=3, seconds=40)
        assert page.evaluate("window.resets") == 0
