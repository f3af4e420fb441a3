"""Whatever a provider, a log or a person writes is shown as text and does nothing (T8, I40)."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from shared.domain.job import JobStatus
from tests.browser.browsers import Visit
from tests.browser.page_server import PageServer

HOSTILE = (
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "<svg onload=window.hacked=1>",
    "<iframe srcdoc='<script>parent.hacked=1</script>'>",
    '"><script>window.hacked=1</script>',
    "' onmouseover='window.hacked=1",
    "javascript:window.hacked=1",
    'https://example.com/" onclick="window.hacked=1',
    "data:text/html,<script>window.hacked=1</script>",
    "{{constructor.constructor('window.hacked=1')()}}",
    "${window.hacked=1}",
    "</title><script>window.hacked=1</script>",
    "</textarea><script>window.hacked=1</script>",
    "<style>*{display:none}</style>",
    "<base href=https://evil.example/>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<a href=javascript:window.hacked=1>click</a>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.hacked=1>",
    "\u202egnp.tnemyap\u202c",
    "\u2066isolated\u2069 \u200e\u200f",
    "\u001b[31mred\u001b[0m\u0007",
    "\u0000null\u0000",
    "\u009b2J\u0085next",
    "a\u2028b\u2029c",
    "\ufeffbom \u200b zero \u2060 width",
    "\U000e0041\U000e0042 tags",
    "A" * 4000,
    "é" + "\u0301" * 300,
    "<!--<script>-->window.hacked=1",
    "__proto__",
)
CONTROLS = "\u202e\u202c\u2066\u2069\u200e\u200f\u001b\u0007\u0000\u009b\u0085\u2028\u2029\ufeff\u200b\u2060\U000e0041"


def test_thirty_hostile_strings_in_every_field_stay_text(
    empty_server: PageServer, visit_of: Callable[..., Visit]
) -> None:
    server = empty_server
    for number, text in enumerate(HOSTILE):
        job_id = f"hostile{number:02d}aaaaaaa"
        server.add(
            job_id,
            JobStatus.FAILED if number % 2 else JobStatus.RUNNING,
            age=100 + number,
            name=text[:120],
            model=text,
            error=text,
            hardware_type=text[:120],
            user_id=text[:120],
            output_url=text[:300],
            metadata={"run_name": text, "deep": {text[:60]: [text, {"x": text}]}, text[:40]: 1},
        )
        server.provider.logs[job_id] = f"{text}\n{text}"
    visit = visit_of(server.url)
    page = visit.open()
    expect(page.locator(".job")).to_have_count(len(HOSTILE))
    page.wait_for_timeout(600)
    for number in range(len(HOSTILE)):
        page.goto(f"{server.url}#job=hostile{number:02d}aaaaaaa")
        expect(page.locator(".sheet .metadata dd").first).to_be_attached()
        expect(page.locator(".sheet .log-bar .sub")).not_to_contain_text("Reading")
        shown = page.evaluate("document.body.innerText")
        assert not set(shown) & set(CONTROLS), f"a control character of string {number} is shown"
        page.keyboard.press("Escape")
        expect(page.locator(".sheet")).to_have_count(0)
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.scripts.length") == 1
    tags = page.evaluate("[...new Set([...document.querySelectorAll('*')].map(node => node.localName))]")
    assert not set(tags) & {"iframe", "object", "embed", "base", "math", "style", "form", "frame"}
    schemes = page.evaluate("[...new Set([...document.querySelectorAll('a')].map(node => node.protocol))]")
    assert set(schemes) <= {"https:", "http:"}
    plain = "[...document.querySelectorAll('a')].filter(a => a.protocol === 'http:').map(a => a.host)"
    assert set(page.evaluate(plain)) == {f"127.0.0.1:{server.port}"}, "a link leads elsewhere without https"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "a long text made the page wider"
