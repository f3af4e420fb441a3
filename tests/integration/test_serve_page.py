"""The page as it is served: under any stage, cached by version, with a policy that lets nothing else in (T8)."""

from __future__ import annotations

import gzip
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from functions.http import serve_page
from functions.http.serve_page import WEB, web_files
from shared.adapters import providers
from shared.config import AuthMode
from tests.system import System, a_system

SCRIPTS = sorted(WEB.glob("*.js"))
PROVIDERS = [module.name for module in pkgutil.iter_modules(providers.__path__) if module.ispkg]


@pytest.fixture
def system() -> Iterator[System]:
    with a_system(auth_mode=AuthMode.KEY, websocket_url="wss://ws.example.com/prod") as standing:
        yield standing


def client_of(system: System) -> TestClient:
    return system.client(serve_page.router, access=False)


def test_the_page_comes_without_a_key_and_loads_from_itself_only(system: System) -> None:
    answer = client_of(system).get("/")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "connect-src 'self' wss://ws.example.com;" in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    addresses = re.findall(r'(?:href|src)="([^"]+)"', answer.text)
    assert addresses
    assert all(address.startswith(("./assets/", "#")) for address in addresses), "an address is not relative"


@pytest.mark.parametrize("url", ["", "https://no-socket.example", "wss://a b", "wss://x';script-src *", "javascript:1"])
def test_a_strange_socket_address_never_widens_the_policy(url: str) -> None:
    with a_system(websocket_url=url) as system:
        policy = client_of(system).get("/").headers["content-security-policy"]
        assert "connect-src 'self';" in policy
        assert policy.count("script-src") == 1


def test_every_file_that_the_page_names_is_there_and_kept_for_good(system: System) -> None:
    client = client_of(system)
    page = client.get("/")
    assert page.headers["cache-control"] == "no-cache"
    for address in re.findall(r'"\./(assets/[^"]+)"', page.text):
        answer = client.get(f"/{address}")
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-security-policy"]


def test_a_file_of_another_version_is_not_kept(system: System) -> None:
    assert client_of(system).get("/assets/000000000000/app.js").headers["cache-control"] == "no-cache"


def test_an_unchanged_file_is_not_sent_again(system: System) -> None:
    client = client_of(system)
    etag = client.get("/").headers["etag"]
    again = client.get("/", headers={"If-None-Match": f'W/{etag}, "x"'})
    assert (again.status_code, again.content) == (304, b"")


def test_a_client_without_gzip_gets_the_same_bytes(system: System) -> None:
    client = client_of(system)
    plain = client.get("/assets/x/app.js", headers={"Accept-Encoding": "identity"})
    packed = client.get("/assets/x/app.js", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.content == packed.content == (WEB / "app.js").read_bytes()


@pytest.mark.parametrize("name", ["../config.py", "..%2fconfig.py", "nothing.js", "index.html", "%00", "app.js%00"])
def test_nothing_but_the_page_s_own_files_can_be_read(system: System, name: str) -> None:
    assert client_of(system).get(f"/assets/x/{name}").status_code == 404


def test_below_a_stage_the_page_is_sent_to_its_slash() -> None:
    with a_system():
        event = {
            "version": "2.0",
            "routeKey": "GET /",
            "rawPath": "/prod",
            "rawQueryString": "",
            "headers": {"host": "x.example"},
            "requestContext": {"http": {"method": "GET", "path": "/prod", "sourceIp": "192.0.2.1"}, "stage": "prod"},
            "isBase64Encoded": False,
        }
        answer = serve_page.handler(event, None)
        assert answer["statusCode"] == 308
        assert answer["headers"]["location"] == "prod/"
        whole = serve_page.handler({**event, "rawPath": "/prod/"}, None)
        assert whole["statusCode"] == 200


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_makes_markup_from_text(path: Path) -> None:
    text = path.read_text()
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "DOMParser",
    ):
        assert word not in text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg|…)", text), "an address from elsewhere"


@pytest.mark.parametrize("path", sorted(WEB.iterdir()), ids=lambda path: path.name)
def test_the_page_knows_no_provider_by_itself(path: Path) -> None:
    text = path.read_text(encoding="utf-8").casefold()
    assert not [name for name in PROVIDERS if name in text]


def test_both_languages_have_the_same_sentences_and_the_same_gaps_to_fill() -> None:
    english, japanese = (json.loads((WEB / f"strings.{name}.json").read_text()) for name in ("en", "ja"))
    assert set(english) == set(japanese)
    for key, sentence in english.items():
        assert set(re.findall(r"\{\w+\}", sentence)) >= set(re.findall(r"\{\w+\}", japanese[key])), key


def test_every_sentence_that_the_scripts_ask_for_exists() -> None:
    english = json.loads((WEB / "strings.en.json").read_text())
    for path in [*SCRIPTS, WEB / "index.html"]:
        asked = re.findall(r'\bt\("([\w. ]+)"', path.read_text()) + re.findall(r'data-t="(\w+)"', path.read_text())
        missing = [key for key in asked if key not in english]
        assert not missing, f"{path.name}: {missing}"


def test_the_page_weighs_no_more_than_promised() -> None:
    _version, files = web_files()
    assert sum(len(file.compressed) for file in files.values()) <= 150_000
    assert sum(len(gzip.decompress(file.compressed)) for file in files.values()) <= 300_000
