"""simpletuner-enterprise.yaml: what it may say, and how a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.domain.errors import ConfigurationError
from shared.enterprise_config import EnterpriseConfig, load_enterprise_config, parse_enterprise_config

SEED = """
background:
  job_status_polling:
    enabled: true
    interval_seconds: 30
  queue_processing:
    enabled: true
    interval_seconds: 5
"""


def parsed(text: str, **environment: str) -> EnterpriseConfig:
    return parse_enterprise_config(text, "enterprise.yaml", environment)


def complaint(text: str, **environment: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parsed(text, **environment)
    return caught.value.detail


def test_the_documented_example_is_read() -> None:
    config = parsed(SEED)
    assert (config.polling_enabled, config.polling_interval) == (True, 30)
    assert config.reconcile_interval == 300


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "# nothing\n",
        "background:\n",
        "background: {job_status_polling: null}",
        "!!python/object:os.system {}",
    ],
)
def test_a_file_that_says_nothing_leaves_everything_open(text: str) -> None:
    assert parsed(text) == EnterpriseConfig()


def test_no_file_leaves_everything_open_but_a_named_one_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.yaml"):
        load_enterprise_config(tmp_path / "missing.yaml")
    (tmp_path / "there.yaml").write_text(SEED, encoding="utf-8")
    assert load_enterprise_config(tmp_path / "there.yaml").polling_enabled is True


def test_a_file_that_is_no_text_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"binary\.yaml: cannot be read"):
        load_enterprise_config(tmp_path / "binary.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "background: {job_status_polling: {job_polling_interval: 45}}",
        "background: {job_polling_interval: 45}",
        "job_polling_interval: 45",
        "job_polling_interval: 45\nbackground: {job_status_polling: {interval_seconds: 45.0}}",
    ],
)
def test_the_alias_of_the_interval_counts_wherever_people_put_it(text: str) -> None:
    assert parsed(text).polling_interval == 45


def test_two_different_intervals_are_refused_with_both_names() -> None:
    told = complaint("job_polling_interval: 45\nbackground:\n  job_status_polling:\n    interval_seconds: 30\n")
    assert "job_polling_interval" in told
    assert "background.job_status_polling.interval_seconds" in told


def test_variables_and_defaults_are_put_in() -> None:
    text = """
background:
  job_status_polling: {enabled: "${POLL:-false}", interval_seconds: "${EVERY}"}
providers:
  replicate:
    webhook_url: https://${HOST:-jobs.example.com}/api/webhooks/replicate
"""
    config = parsed(text, EVERY="75")
    assert (config.polling_enabled, config.polling_interval) == (False, 75)
    assert config.provider_defaults == {"replicate": {"webhook_url": "https://jobs.example.com/api/webhooks/replicate"}}
    assert parsed(text, EVERY="5", POLL="yes", HOST="other.example").polling_enabled is True


def test_an_empty_webhook_url_is_none() -> None:
    assert parsed("providers: {replicate: {webhook_url: '${URL:-}'}}").provider_defaults == {}


def test_what_belongs_to_others_is_left_alone() -> None:
    config = parsed(
        "oidc:\n  secret: ${NOT_SET}\nbackground:\n  approval_expiration: {enabled: maybe}\nproviders: {}\n"
    )
    assert config == EnterpriseConfig()


@pytest.mark.parametrize(
    ("text", "line", "key", "expected"),
    [
        ("background:\n  job_status_polling:\n    enabled: maybe\n", 3, "job_status_polling.enabled", "true or false"),
        ("background:\n  job_status_polling:\n    interval_seconds: 4\n", 3, "interval_seconds", "from 5 to 86400"),
        (
            "background:\n  job_status_polling:\n    interval_seconds: fast\n",
            3,
            "interval_seconds",
            "number of seconds",
        ),
        (
            "background:\n  job_status_polling:\n    interval_seconds: .nan\n",
            3,
            "interval_seconds",
            "number of seconds",
        ),
        ("background:\n  job_status_polling:\n    interval_seconds: [30]\n", 3, "interval_seconds", "a single value"),
        ("background:\n  job_status_polling:\n    interval: 30\n", 3, "job_status_polling.interval", "one of the keys"),
        ("background:\n  reconcile: {interval_seconds: 10}\n", 2, "reconcile.interval_seconds", "0 (off) or a number"),
        ("background: 7\n", 1, "key background", "mapping"),
        ("- a\n- b\n", 1, "the file", "mapping"),
        ("background: {}\nbackground: {}\n", 2, "background", "second time"),
        ("providers:\n  replicate:\n    webhook_url: ftp://x\n", 3, "replicate.webhook_url", "https://"),
        ("providers:\n  replicate:\n    webhook_url: http://example.com/x\n", 3, "replicate.webhook_url", "https://"),
        ("job_polling_interval: ${UNSET}\n", 1, "job_polling_interval", "UNSET to be set"),
        ("job_polling_interval: ${UN SET}\n", 1, "job_polling_interval", "${NAME}"),
        ("background:\n\t- x\n", 2, "not valid YAML", ""),
        ("a: 'open\n", 2, "not valid YAML", ""),
    ],
)
def test_a_mistake_is_told_with_file_line_key_and_what_was_expected(
    text: str, line: int, key: str, expected: str
) -> None:
    told = complaint(text)
    assert told.startswith(f"enterprise.yaml, line {line}")
    assert key in told
    assert expected in told


def test_reconcile_may_be_switched_off() -> None:
    assert parsed("background: {reconcile: {interval_seconds: 0}}").reconcile_interval == 0


@pytest.mark.parametrize("text", ["--- a\n--- b\n", "&a [*a, *a]", "a: *unknown"])
def test_hostile_yaml_is_a_plain_error(text: str) -> None:
    assert complaint(text).startswith("enterprise.yaml")
