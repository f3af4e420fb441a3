"""Settings and tokens: hostile values are refused in one sentence, secrets never come back (I39)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from functions.http import configure_provider
from shared.config import AuthMode
from shared.domain import state_keys
from shared.domain.errors import ProviderTokenRejectedError, ProviderUnavailableError
from shared.services.providers.configure_provider import ConfigureProvider
from shared.services.providers.provider_settings import ProviderSettings
from tests.system import System, a_system

CONFIG = "/api/cloud/providers/replicate/config"
TOKEN = "/api/cloud/providers/replicate/token"
CANARY = "r8_canary-secret-token-0123456789"


@pytest.fixture
def system() -> Iterator[System]:
    with a_system() as standing:
        yield standing


def client_of(system: System) -> TestClient:
    return system.client(configure_provider.router)


def put(system: System, values: object) -> Any:
    return client_of(system).put(CONFIG, json=values)


REFUSED: list[dict[str, Any]] = [
    {"unknown": 1},
    {"a\ud800b": 1},
    {"__proto__": {}},
    {"webhook_url": "http://example.com/hook"},
    {"webhook_url": "https://user:pass@example.com/"},
    {"webhook_url": "https://"},
    {"webhook_url": "javascript:alert(1)"},
    {"webhook_url": "https://exa mple.com/"},
    {"webhook_url": "https://example.com/\u202e"},
    {"webhook_url": "https://example.com:99999/"},
    {"webhook_url": "https://example.com/#x"},
    {"webhook_url": "https://[::1"},
    {"webhook_url": 5},
    {"webhook_url": "https://example.com/" + "a" * 400},
    {"cost_limit_enabled": "perhaps"},
    {"cost_limit_enabled": 2},
    {"cost_limit_amount": -1},
    {"cost_limit_amount": True},
    {"cost_limit_amount": {}},
    {"cost_limit_enabled": []},
    {"webhook_allowed_ips": {}},
    {"hardware_info": []},
    {"cost_limit_amount": "1e400"},
    {"cost_limit_amount": "NaN"},
    {"cost_limit_amount": 10**400},
    {"cost_limit_amount": "9" * 5000},
    {"cost_limit_period": "yearly"},
    {"cost_limit_period": ["daily"]},
    {"cost_limit_action": "require_approval"},
    {"cost_limit_action": {"a": 1}},
    {"hardware_profile": "tpu"},
    {"hardware_info": "h100"},
    {"hardware_info": {"h100": {"cost_per_second": -1}}},
    {"hardware_info": {"h100": {"cost_per_second": "Infinity"}}},
    {"hardware_info": {"h100": {"price": 1}}},
    {"hardware_info": {"H 100": {}}},
    {"hardware_info": {f"h{number}": {} for number in range(200)}},
    {"version_override": "latest"},
    {"version_override": "a/b:" + "g" * 64},
    {"webhook_allowed_ips": ["localhost"]},
    {"webhook_allowed_ips": "1.2.3.4, ::/129"},
    {"webhook_allowed_ips": [["1.2.3.4"]]},
    {"sync_models": [1]},
    {"sync_models": "owner/name, ../../etc/passwd/x"},
    {"s3_delivery": {"region": "eu-central-1"}},
    {"s3_delivery": {"bucket": "UPPER"}},
    {"s3_delivery": {"bucket": "ok-bucket", "endpoint_url": "http://169.254.169.254"}},
    {"s3_delivery": {"bucket": "ok-bucket", "access_key_id": "only one"}},
    {"s3_delivery": {"bucket": "ok-bucket", "nonsense": 1}},
    {"s3_delivery": {"bucket": "ok-bucket", "path_prefix": "\x00"}},
]


@pytest.mark.parametrize("values", REFUSED, ids=lambda values: ascii(values)[:60])
def test_a_wrong_setting_is_400_in_one_sentence_and_changes_nothing(system: System, values: dict[str, Any]) -> None:
    before = system.wiring.use(ConfigureProvider).effective("replicate")
    answer = client_of(system).put(
        CONFIG,
        content=json.dumps({"cost_limit_period": "daily", **values}),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 400, answer.text
    assert isinstance(answer.json()["detail"], str)
    assert system.wiring.use(ConfigureProvider).effective("replicate") == before


@pytest.mark.parametrize("content", ["[]", "5", '"x"', "null", "{", "[" * 100_000, ""])
def test_a_body_that_is_no_object_is_4xx(system: System, content: str) -> None:
    answer = client_of(system).put(CONFIG, content=content, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert isinstance(answer.json()["detail"], str)


def test_a_value_is_set_kept_and_cleared(system: System) -> None:
    assert put(system, {"webhook_url": "https://example.com/api/webhooks/replicate"}).status_code == 200
    assert put(system, {"cost_limit_amount": "12.5"}).json()["config"]["cost_limit_amount"] == 12.5
    assert put(system, {}).json()["config"]["webhook_url"] == "https://example.com/api/webhooks/replicate"
    for clear in ("", None):
        put(system, {"webhook_url": "https://example.com/"})
        config = put(system, {"webhook_url": clear}).json()["config"]
        assert "webhook_url" not in config
    assert "cost_limit_amount" in config
    assert "cost_limit_amount" not in put(system, {"cost_limit_amount": None}).json()["config"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("https://example.com", "https://example.com/api/webhooks/replicate"),
        ("https://example.com/", "https://example.com/api/webhooks/replicate"),
        ("https://example.com//", "https://example.com/api/webhooks/replicate"),
        ("https://example.com?a=//b", "https://example.com/api/webhooks/replicate?a=//b"),
        ("https://example.com//api//webhooks///replicate", "https://example.com/api/webhooks/replicate"),
        ("https://example.com/prod/", "https://example.com/prod/"),
        ("http://127.0.0.1:8001//api/cloud/webhook/replicate", "http://127.0.0.1:8001/api/cloud/webhook/replicate"),
    ],
)
def test_a_base_address_is_shown_and_used_as_the_whole_one(system: System, given: str, shown: str) -> None:
    assert put(system, {"webhook_url": given}).json()["config"]["webhook_url"] == shown
    assert client_of(system).get(CONFIG).json()["config"]["webhook_url"] == shown
    assert system.wiring.use(ProviderSettings).webhook_url("replicate") == shown


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("h100_x4", "h100-x4"),
        ("H100-X4", "h100-x4"),
        ("4xh100", "h100-x4"),
        ("4x H100", "h100-x4"),
        ("h100x4", "h100-x4"),
        ("1xh100", "h100"),
        ("h100-x1", "h100"),
        ("L40S", "l40s"),
        ("8x_L40S", "l40s-x8"),
        ("advanced-trainer-l40s-x2", "l40s-x2"),
        ("simpletuner/advanced-trainer-h100", "h100"),
    ],
)
def test_hardware_is_known_by_every_form_that_clients_send(system: System, given: str, kept: str) -> None:
    assert put(system, {"hardware_profile": given}).json()["config"]["hardware_profile"] == kept
    (provider,) = client_of(system).get("/api/cloud/providers").json()["providers"]
    assert provider["hardware_profile"] == kept
    assert kept in [profile["id"] for profile in provider["hardware_profiles"]]


@pytest.mark.parametrize("given", ["h100-x3", "4xh100-x4", "x4", "h100-x", "0xh100", "tpu", "a" * 120, "h100-x44"])
def test_unknown_hardware_is_refused_with_what_there_is(system: System, given: str) -> None:
    answer = put(system, {"hardware_profile": given})
    assert answer.status_code == 400
    assert "h100-x4" in answer.json()["detail"]


def test_what_another_process_has_saved_counts_at_once(system: System) -> None:
    """Nothing of a provider's settings, nor whether it has a token, is remembered from one request to the next."""
    client, settings = client_of(system), system.wiring.use(ProviderSettings)
    assert settings.webhook_url("replicate") is None
    assert client.get("/api/cloud/providers").json()["providers"][0]["configured"] is False
    values = {"webhook_url": "https://example.com/hook", "hardware_info": {"h100": {"cost_per_second": 1}}}
    now = system.clock.now()
    system.stores.state.put(state_keys.provider_config("replicate"), values, now=now)
    system.secrets.values["replicate_api_token"] = CANARY
    assert settings.webhook_url("replicate") == "https://example.com/hook"
    assert settings.hardware("replicate").price_per_second == 1
    (provider,) = client.get("/api/cloud/providers").json()["providers"]
    assert (provider["configured"], provider["cost_per_hour"]) == (True, 3600)
    del system.secrets.values["replicate_api_token"]
    assert client.get("/api/cloud/providers").json()["providers"][0]["configured"] is False


def test_settings_of_one_moment_are_read_once(system: System) -> None:
    settings = system.wiring.use(ProviderSettings).of_one_moment()
    system.stores.reset_usage()
    for _ in range(3):
        settings.hardware("replicate")
        settings.webhook_url("replicate")
    assert system.stores.usage["state.get"].calls == 1
    client_of(system).get("/api/cloud/providers")
    assert system.stores.usage["state.get"].calls == 2


def test_an_empty_list_or_object_clears_what_is_one(system: System) -> None:
    put(system, {"sync_models": "a/b", "webhook_allowed_ips": "192.0.2.1", "hardware_info": {"tpu": {"name": "TPU"}}})
    cleared: dict[str, object] = {"sync_models": [], "webhook_allowed_ips": [], "hardware_info": {}, "s3_delivery": {}}
    config = put(system, cleared).json()["config"]
    assert not {"sync_models", "webhook_allowed_ips", "s3_delivery"} & set(config)
    assert "tpu" not in config["hardware_info"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"webhook_require_signature": "perhaps"}, "webhook_require_signature is either true or false."),
        ({"cost_limit_amount": -1}, "cost_limit_amount is 0, or a number from 0.000001 to 1,000,000."),
        ({"sync_models": ["a b"]}, "Each of sync_models must look like owner/name."),
        ({"nonsense": 1}, "There is no setting nonsense; known are: cost_limit_action, "),
        ({"sync_models": 5}, "sync_models is a list of at most 100 entries, or one text with commas."),
        (
            {"hardware_info": {"H 100": {}}},
            "hardware_info must look like {id: {name, cost_per_second}}, each id of small ",
        ),
        (
            {"hardware_info": {"h100": {"cost_per_second": 11}}},
            "hardware_info.h100.cost_per_second is 0, or a number from 0.000001 to 10.",
        ),
        ({"hardware_info": {"h100": 5}}, "hardware_info.h100 must look like {name, cost_per_second}."),
        ({"hardware_profile": "tpu"}, "hardware_profile is one of: "),
        ({"s3_delivery": {"region": "eu-central-1"}}, "s3_delivery.bucket is missing."),
        ({"s3_delivery": {"bucket": "my-bucket", "access_key_id": "x"}}, "s3_delivery needs both access_key_id and "),
        ({"s3_delivery": {"bucket": "my-bucket", "<b>": 1}}, "There is no such setting; known are: access_key_id, "),
    ],
)
def test_a_refusal_names_the_setting_and_what_it_takes(system: System, values: object, sentence: str) -> None:
    assert put(system, values).json()["detail"].startswith(sentence)


@pytest.mark.parametrize("given", [1e-320, "1e-200", 1e-7, -1e-320, 10.0000001])
def test_a_price_that_would_be_rounded_to_nothing_or_into_the_range_is_refused(system: System, given: object) -> None:
    price = {"h100": {"name": None, "cost_per_second": given}}
    answer = put(system, {"hardware_info": price})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "hardware_info.h100.cost_per_second is 0, or a number from 0.000001 to 10."


@pytest.mark.parametrize(("given", "kept"), [(0, 0), (-0.0, 0), ("0", 0), (1e-6, 1e-6), (0.00012345678, 0.000123)])
def test_a_price_is_kept_in_millionths(system: System, given: object, kept: float) -> None:
    config = put(system, {"hardware_info": {"tpu": {"cost_per_second": given}}}).json()["config"]
    assert str(config["hardware_info"]["tpu"]["cost_per_second"]) == str(float(kept))


def test_a_change_counts_at_once_for_what_reads_it(system: System) -> None:
    assert system.wiring.use(ProviderSettings).webhook_url("replicate") is None
    put(system, {"webhook_url": "http://127.0.0.1:9/hook", "sync_models": "a/b, c/d"})
    assert system.wiring.use(ProviderSettings).webhook_url("replicate") == "http://127.0.0.1:9/hook"
    assert system.wiring.use(ProviderSettings).synced_models("replicate") == frozenset({"a/b", "c/d"})


def test_the_keys_of_a_bucket_are_kept_and_never_returned(system: System) -> None:
    delivery = {"bucket": "my-bucket", "access_key_id": "AKIACANARY", "secret_access_key": CANARY, "public_read": False}
    answers = [put(system, {"s3_delivery": delivery}), client_of(system).get(CONFIG)]
    for answer in answers:
        assert answer.json()["config"]["s3_delivery"] == {"bucket": "my-bucket", "public_read": False, "has_keys": True}
        assert "CANARY" not in answer.text.upper()
    assert CANARY in str(system.secrets.values)
    assert CANARY not in str(system.stores.state_rows)
    put(system, {"s3_delivery": None})
    assert CANARY not in str(system.secrets.values)


def test_an_unknown_provider_is_404(system: System) -> None:
    assert client_of(system).get("/api/cloud/providers/nobody/config").status_code == 404
    assert client_of(system).put("/api/cloud/providers/nobody/token", json={"api_token": CANARY}).status_code == 404


def test_providers_tell_their_hardware_and_whether_they_have_a_token(system: System) -> None:
    provider = client_of(system).get("/api/cloud/providers").json()["providers"][0]
    assert (provider["id"], provider["name"], provider["configured"], provider["coming_soon"]) == (
        "replicate",
        "Replicate",
        False,
        False,
    )
    assert {"id", "label", "hardware_type", "cost_per_hour", "cost_per_second"} == set(provider["hardware_profiles"][0])
    system.secrets.put("replicate_api_token", CANARY)
    assert client_of(system).get("/api/cloud/providers").json()["providers"][0]["configured"] is True


def test_a_token_is_tried_before_it_is_stored_and_never_told(system: System) -> None:
    answer = client_of(system).put(TOKEN, json={"api_token": f" {CANARY}\n"})
    assert answer.json() == {
        "success": True,
        "error": None,
        "file_path": system.secrets.location(),
        "username": "tester",
    }
    assert system.provider.tried == [CANARY]
    assert system.secrets.get("replicate_api_token") == CANARY
    assert CANARY not in answer.text


def test_a_token_that_the_provider_refuses_is_400_and_not_stored(system: System) -> None:
    system.provider.fail("account", ProviderTokenRejectedError("no"))
    system.secrets.put("replicate_api_token", "the old one")
    answer = client_of(system).put(TOKEN, json={"api_token": CANARY})
    assert answer.status_code == 400
    assert CANARY not in answer.text
    assert system.secrets.get("replicate_api_token") == "the old one"


def test_a_provider_that_cannot_be_asked_leaves_the_token_as_it_was(system: System) -> None:
    system.provider.fail("account", ProviderUnavailableError("down"))
    assert client_of(system).put(TOKEN, json={"api_token": CANARY}).status_code == 503
    assert system.secrets.get("replicate_api_token") is None


@pytest.mark.parametrize("token", ["", "short", "with blank inside", "new\nline-inside-token", "ü" * 20, "x" * 600])
def test_what_is_no_token_is_400_without_asking_anyone(system: System, token: str) -> None:
    answer = client_of(system).put(TOKEN, json={"api_token": token})
    assert answer.status_code == 400
    assert not system.provider.tried


@pytest.mark.parametrize("body", [{"api_token": 5}, {"api_token": ["x"]}, [], {"api_token": "x" * 2000}])
def test_a_wrong_body_is_422_and_does_not_echo_it(system: System, body: object) -> None:
    answer = client_of(system).put(TOKEN, json=body)
    assert answer.status_code == 422
    assert "xxxx" not in answer.text


def test_simpletuner_s_cli_sets_and_deletes_a_token_its_own_way(system: System) -> None:
    client = client_of(system)
    assert client.post("/api/cloud/replicate/token", json={"token": CANARY}).json()["success"] is True
    assert client.request("DELETE", "/api/cloud/replicate/token").json()["success"] is True
    assert system.secrets.get("replicate_api_token") is None


def test_only_an_admin_changes_settings_and_tokens() -> None:
    with a_system(auth_mode=AuthMode.KEY) as system:
        client = client_of(system)
        for method, path in (("PUT", CONFIG), ("PUT", TOKEN), ("DELETE", TOKEN)):
            assert client.request(method, path, json={"api_token": CANARY}).status_code == 401
