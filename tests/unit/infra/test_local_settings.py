from __future__ import annotations

from pathlib import Path

import pytest

from infra.local.names import local_name
from infra.local.queues.definitions import queue_environment
from infra.local.stack.environment import check_function_settings, function_environment
from infra.local.stack.settings import SettingsError, read_settings
from infra.local.stack.tables import table_environment
from shared.domain.errors import ConfigurationError

KEY = "LOCAL0123"


def test_defaults_are_the_documented_ports() -> None:
    settings = read_settings({})
    assert settings.ports() == {
        "HTTP_PORT": 8001,
        "WS_PORT": 8002,
        "LAMBDA_PORT": 8003,
        "DYNAMODB_PORT": 8005,
        "SIMULATOR_PORT": 8004,
    }
    assert settings.data_dir.name == ".data"
    assert settings.replicate_url == "http://127.0.0.1:8004/v1"


@pytest.mark.parametrize("port", ["0", "65536", "-1", "eight", "80 01", "²"])
def test_impossible_port_is_named(port: str) -> None:
    with pytest.raises(SettingsError, match="WS_PORT"):
        read_settings({"WS_PORT": port})


def test_port_given_twice_is_named_with_both_variables() -> None:
    with pytest.raises(SettingsError, match="HTTP_PORT and WS_PORT are both 9000"):
        read_settings({"HTTP_PORT": "9000", "WS_PORT": "9000"})


def test_real_token_means_that_nothing_is_simulated() -> None:
    settings = read_settings({"REPLICATE_API_TOKEN": "r8_real"})
    assert not settings.simulates_replicate
    assert "SIMULATOR_PORT" not in settings.ports()
    assert settings.replicate_url == "https://api.replicate.com/v1"
    assert function_environment(settings, KEY, inherited={})["REPLICATE_API_TOKEN"] == "r8_real"


def test_other_address_is_used_as_it_is() -> None:
    settings = read_settings({"REPLICATE_API_BASE_URL": "http://127.0.0.1:9999/v1/"})
    assert not settings.simulates_replicate
    assert settings.replicate_url == "http://127.0.0.1:9999/v1"
    assert function_environment(settings, KEY, inherited={})["REPLICATE_API_TOKEN"] == ""


def test_functions_know_their_own_address_unless_another_is_given() -> None:
    settings = read_settings({"HTTP_PORT": "9000"})
    assert function_environment(settings, KEY, inherited={})["PUBLIC_BASE_URL"] == "http://127.0.0.1:9000"
    given = {"PUBLIC_BASE_URL": "https://tunnel.example.com"}
    assert function_environment(settings, KEY, inherited=given)["PUBLIC_BASE_URL"] == "https://tunnel.example.com"


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"SIMPLETUNER_JOB_POLL_INTERVAL": "soon"}, "SIMPLETUNER_JOB_POLL_INTERVAL"),
        ({"SIMPLETUNER_ENTERPRISE_CONFIG": "{file}"}, "line 2: key background.job_status_polling"),
    ],
)
def test_what_every_function_would_stumble_on_is_told_before_the_start(
    tmp_path: Path, variables: dict[str, str], complaint: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("background:\n  job_status_polling: often\n")
    inherited = {name: value.format(file=file) for name, value in variables.items()}
    check_function_settings(function_environment(read_settings({}), KEY, inherited={}))
    with pytest.raises(ConfigurationError, match=complaint):
        check_function_settings(function_environment(read_settings({}), KEY, inherited=inherited))


def test_functions_can_not_reach_a_real_account() -> None:
    inherited = {"AWS_PROFILE": "production", "AWS_SESSION_TOKEN": "t", "AWS_ACCESS_KEY_ID": "AKIA", "HOME": "/home/me"}
    environment = function_environment(read_settings({}), KEY, inherited=inherited)
    assert "AWS_PROFILE" not in environment
    assert "AWS_SESSION_TOKEN" not in environment
    assert environment["AWS_ACCESS_KEY_ID"] == KEY
    assert environment["AWS_SHARED_CREDENTIALS_FILE"] == environment["AWS_CONFIG_FILE"] == "/dev/null"
    assert all(
        value.startswith("http://127.0.0.1:")
        for key, value in environment.items()
        if key.startswith("AWS_ENDPOINT_URL")
    )


def test_names_follow_from_the_logical_ids() -> None:
    assert local_name("JobTextsTable") == "simpletuner-local-job-texts"
    assert table_environment()["JOB_TEXTS_TABLE"] == "simpletuner-local-job-texts"
    assert set(table_environment()) == {
        "JOBS_TABLE", "EVENTS_TABLE", "JOB_TEXTS_TABLE", "CONNECTIONS_TABLE", "STATE_TABLE",
    }  # fmt: skip
    urls = queue_environment("http://127.0.0.1:1")
    assert {"OBSERVATIONS_QUEUE_URL", "TICKS_QUEUE_URL", "FINAL_LOGS_QUEUE_URL"} <= urls.keys()
    assert urls["TICKS_QUEUE_URL"] == "http://127.0.0.1:1/123456789012/simpletuner-local-ticks"


@pytest.mark.parametrize("workers", ["3", "257", "many", "-8"])
def test_an_impossible_number_of_workers_is_named(workers: str) -> None:
    with pytest.raises(SettingsError, match="LOCAL_WORKERS must be a number from 4 to 256"):
        read_settings({"LOCAL_WORKERS": workers})


def test_the_local_page_is_ours_also_behind_a_tunnel() -> None:
    given = {"PUBLIC_BASE_URL": "https://tunnel.example.com", "ALLOWED_ORIGINS": "https://listed.example.com"}
    origins = function_environment(read_settings({}), KEY, inherited=given)["ALLOWED_ORIGINS"].split(",")
    assert origins == ["https://listed.example.com"] + [
        f"http://{name}:8001" for name in ("127.0.0.1", "localhost", "[::1]")
    ]
