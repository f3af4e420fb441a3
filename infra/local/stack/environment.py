"""The environment of the local functions: the emulators' addresses, static names, and no way to a real account."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from infra.local.names import HOST, REGION, STAGE
from infra.local.queues.definitions import queue_environment
from infra.local.stack.settings import StackSettings
from infra.local.stack.tables import table_environment
from infra.templates import REPOSITORY
from shared.config import Settings
from shared.enterprise_config import load_enterprise_config

_NOT_INHERITED = (
    "PYTHONDONTWRITEBYTECODE",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ROLE_ARN",
    "VIRTUAL_ENV",
    "PYTHONHOME",
)


def aws_environment(settings: StackSettings, key: str) -> dict[str, str]:
    """boto3 reads these by itself; whatever is not played here reaches the gateway's 404, never a real account."""
    return {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
        "AWS_ENDPOINT_URL": settings.lambda_url,
        "AWS_ENDPOINT_URL_DYNAMODB": settings.dynamodb_url,
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": settings.dynamodb_url,
    }


def check_function_settings(environment: Mapping[str, str]) -> None:
    """Raises ConfigurationError for a variable or a key of the operator's file that every function would stumble on."""
    given = Settings.from_environment(environment)
    load_enterprise_config(given.simpletuner_enterprise_config, environment)


def secrets_file(settings: StackSettings) -> Path:
    return settings.data_dir / "secrets.json"


def _own_origins(settings: StackSettings) -> list[str]:
    return [f"http://{host}:{settings.http_port}" for host in (HOST, "localhost", "[::1]")]


def function_environment(
    settings: StackSettings, key: str, inherited: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """What the gateway and every function runs with; `key` opens the ports that are for programs."""
    token = settings.replicate_token or (f"r8_{key}" if settings.simulates_replicate else "")
    environment = {name: value for name, value in inherited.items() if name not in _NOT_INHERITED}
    environment.update(aws_environment(settings, key))
    environment.update(table_environment())
    environment.update(queue_environment(settings.lambda_url))
    environment.update(
        {
            "STACK": STAGE,
            "POWERTOOLS_SERVICE_NAME": "simpletuner-cloud",
            "POWERTOOLS_METRICS_NAMESPACE": "SimpleTunerCloud",
            "AUTH_MODE": settings.auth_mode,
            "SECRETS_FILE": str(secrets_file(settings)),
            "WEBSOCKET_URL": settings.websocket_url,
            "WEBSOCKET_CALLBACK_URL": settings.lambda_url,
            "PUBLIC_BASE_URL": inherited.get("PUBLIC_BASE_URL") or settings.http_url,
            "ALLOWED_ORIGINS": ",".join(filter(None, [inherited.get("ALLOWED_ORIGINS"), *_own_origins(settings)])),
            "REPLICATE_API_BASE_URL": settings.replicate_url,
            "REPLICATE_API_TOKEN": token,
            "PYTHONPATH": str(REPOSITORY),
        }
    )
    for name, port in settings.ports().items():
        environment[name] = str(port)
    return environment
