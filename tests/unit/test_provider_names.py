"""A provider is known by its folder and by one line of the wiring; all else learns of it from its profile."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from shared.adapters.providers.replicate.answers import STATUSES
from shared.domain.job import JobStatus
from shared.domain.provider_profile import ProviderProfile
from shared.wiring import PROVIDERS

ROOT = Path(__file__).resolve().parents[2]
SUFFIXES = {".py", ".js", ".ts", ".json", ".html", ".css"}
OURS = {status.value for status in JobStatus} | {"training"}
"""Words of ours that are a provider's as well."""


def package_folder(package: str) -> Path:
    return ROOT.joinpath(*package.split("."))


def files_outside(package: str) -> Iterator[Path]:
    for room in ("shared", "functions"):
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in SUFFIXES and not path.is_relative_to(package_folder(package)):
                yield path


def profile_of(package: str) -> ProviderProfile:
    profile: ProviderProfile = importlib.import_module(f"{package}.profile").PROFILE
    return profile


def marks_of(profile: ProviderProfile, words: set[str]) -> list[str]:
    """What only its own folder may say: name, label, addresses, and, as whole literals, its words and prices."""
    urls = (profile.api_base_url, profile.token_url, profile.status_page_url, profile.job_url)
    hosts = {str(urlsplit(url).hostname) for url in urls if url}
    prices = {str(one.price_per_second) for one in profile.hardware.values()}
    literals = (words | set(profile.kinds) | set(profile.hardware)) - OURS
    plain = {profile.name, profile.label, profile.token_secret, profile.token_variable, *hosts, *prices}
    return [*(f"(?i:{re.escape(mark)})" for mark in plain), *(rf"""["']{re.escape(word)}["']""" for word in literals)]


@pytest.mark.parametrize("package", PROVIDERS)
def test_nothing_outside_a_providers_folder_names_it(package: str) -> None:
    wanted = re.compile("|".join(marks_of(profile_of(package), set(STATUSES))))
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files_outside(package)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if wanted.search(line)
    ]
    assert found == [f'shared/wiring.py:{_line_of(package)}: PROVIDERS = ("{package}",)']


def _line_of(package: str) -> int:
    lines = (ROOT / "shared" / "wiring.py").read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if f'"{package}"' in line)


@pytest.mark.parametrize("package", PROVIDERS)
def test_a_profile_imports_the_domain_and_no_more(package: str) -> None:
    """It is loaded by every function."""
    text = (package_folder(package) / "profile.py").read_text(encoding="utf-8")
    ours = re.findall(r"^from ((?:shared|functions|tests)\S*) import", text, re.MULTILINE)
    assert ours
    assert all(name.startswith("shared.domain.") for name in ours)
