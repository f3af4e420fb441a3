"""The environment of the local functions: the emulators' addresses, static names, and no way to a real account."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from infra.local.names import HOST, REGION, STAGE
from infra.local.stack.queues import queue_environment
from infra.local.stack.settings import SIMULATOR_TOKEN, StackSettings
from infra.local.stack.tables import table_environment
from infra.templates import REPOSITORY
from shared.config import Settings
from shared.enterprise_config import load_enterprise_config

SHIM_FOLDER = REPOSITORY / "infra" / "local" / "workers" / "bin"
_NOT_INHERITED = (
    "PYTHONDONTWRITEBYTECODE",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ROLE_ARN",
    "VIRTUAL_ENV",
    "PYTHONHOME",
)


def aws_environment(settings: StackSettings) -> dict[str, str]:
    """boto3 reads these by itself; whatever has no emulator of its own goes to moto, never to a real account."""
    return {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
        "AWS_ENDPOINT_URL": settings.moto_url,
        "AWS_ENDPOINT_URL_DYNAMODB": settings.dynamodb_url,
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": settings.dynamodb_url,
        "AWS_ENDPOINT_URL_SQS": settings.moto_url,
        "AWS_ENDPOINT_URL_SSM": settings.moto_url,
        "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": f"http://{HOST}:{settings.websocket_port}",
    }


def check_function_settings(environment: Mapping[str, str]) -> None:
    """Raises ConfigurationError for a variable or a key of the operator's file that every function would stumble on."""
    given = Settings.from_environment(environment)
    load_enterprise_config(given.simpletuner_enterprise_config, environment)


def secrets_file(settings: StackSettings) -> Path:
    return settings.data_dir / "secrets.json"


def _own_origins(settings: StackSettings) -> list[str]:
    return [f"http://{host}:{settings.http_port}" for host in (HOST, "localhost")]


def function_environment(
    settings: StackSettings,
    timeouts: Mapping[str, float],
    worker_host: str = "",
    inherited: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """What serverless-offline and, through it, every function runs with."""
    token = settings.replicate_token or (SIMULATOR_TOKEN if settings.simulates_replicate else "")
    environment = {key: value for key, value in inherited.items() if key not in _NOT_INHERITED}
    environment.update(aws_environment(settings))
    environment.update(table_environment())
    environment.update(queue_environment(settings.moto_url))
    environment.update(
        {
            "STACK": STAGE,
            "AUTH_MODE": settings.auth_mode,
            "SECRETS_FILE": str(secrets_file(settings)),
            "WEBSOCKET_URL": settings.websocket_url,
            "WEBSOCKET_CALLBACK_URL": f"http://{HOST}:{settings.websocket_port}",
            "PUBLIC_BASE_URL": inherited.get("PUBLIC_BASE_URL") or settings.http_url,
            "ALLOWED_ORIGINS": inherited.get("ALLOWED_ORIGINS") or ",".join(_own_origins(settings)),
            "REPLICATE_API_BASE_URL": settings.replicate_url,
            "REPLICATE_API_TOKEN": token,
            "PYTHONPATH": str(REPOSITORY),
            "LOCAL_PYTHON": sys.executable,
            "LOCAL_WORKER_HOST": worker_host,
            "LOCAL_TIMEOUTS": json.dumps(dict(timeouts)),
            "PATH": os.pathsep.join([str(SHIM_FOLDER), inherited.get("PATH", os.defpath)]),
        }
    )
    for name, port in settings.ports().items():
        environment[name] = str(port)
    return environment
