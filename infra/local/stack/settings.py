"""Where the local stack listens, where it keeps its data, and what the starter was told by the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.local.names import HOST
from infra.templates import REPOSITORY

DEFAULT_PORTS: Mapping[str, int] = {
    "HTTP_PORT": 8001,
    "WS_PORT": 8002,
    "LAMBDA_PORT": 8003,
    "SIMULATOR_PORT": 8004,
    "DYNAMODB_PORT": 8005,
}
DEFAULT_WORKERS = 24
LEAST_WORKERS = 4
MOST_WORKERS = 256
REAL_REPLICATE = "https://api.replicate.com/v1"


class SettingsError(Exception):
    """The environment asks for something impossible; the message says what to change."""


@dataclass(frozen=True, slots=True)
class StackSettings:
    """Everything the starter decides on. Ports are TCP ports on the loopback address.

    `workers` is how many functions may run at once, each in a process of its own.
    """

    http_port: int
    websocket_port: int
    lambda_port: int
    simulator_port: int
    dynamodb_port: int
    workers: int
    data_dir: Path
    auth_mode: str
    replicate_token: str | None
    replicate_base_url: str | None

    @property
    def simulates_replicate(self) -> bool:
        """The simulator plays Replicate unless a real account or another address was named."""
        return self.replicate_token is None and self.replicate_base_url is None

    @property
    def http_url(self) -> str:
        return f"http://{HOST}:{self.http_port}"

    @property
    def websocket_url(self) -> str:
        return f"ws://{HOST}:{self.websocket_port}"

    @property
    def lambda_url(self) -> str:
        return f"http://{HOST}:{self.lambda_port}"

    @property
    def simulator_url(self) -> str:
        return f"http://{HOST}:{self.simulator_port}"

    @property
    def dynamodb_url(self) -> str:
        return f"http://{HOST}:{self.dynamodb_port}"

    @property
    def key_file(self) -> Path:
        """Where the key stands that programs show to the ports that are not for pages (T28)."""
        return self.data_dir / "access-key"

    @property
    def key(self) -> str:
        """Raises OSError before the stack has been started."""
        return self.key_file.read_text(encoding="ascii").strip()

    @property
    def simulator_token(self) -> str:
        """What the simulated Replicate takes as token."""
        return f"r8_{self.key}"

    @property
    def replicate_url(self) -> str:
        """The provider's API as the functions reach it, with its `/v1`."""
        if self.simulates_replicate:
            return f"{self.simulator_url}/v1"
        return self.replicate_base_url or REAL_REPLICATE

    def ports(self) -> dict[str, int]:
        """The environment variable that moves each port, and the port."""
        ports = {
            "HTTP_PORT": self.http_port,
            "WS_PORT": self.websocket_port,
            "LAMBDA_PORT": self.lambda_port,
            "DYNAMODB_PORT": self.dynamodb_port,
        }
        if self.simulates_replicate:
            ports["SIMULATOR_PORT"] = self.simulator_port
        return ports


def _port(environment: Mapping[str, str], variable: str) -> int:
    text = environment.get(variable, "").strip()
    if not text:
        return DEFAULT_PORTS[variable]
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise SettingsError(f"{variable} must be a port number from 1 to 65535, not {text!r}.")
    return int(text)


def _workers(environment: Mapping[str, str]) -> int:
    text = environment.get("LOCAL_WORKERS", "").strip() or str(DEFAULT_WORKERS)
    if not text.isdecimal() or not LEAST_WORKERS <= int(text) <= MOST_WORKERS:
        raise SettingsError(f"LOCAL_WORKERS must be a number from {LEAST_WORKERS} to {MOST_WORKERS}, not {text!r}.")
    return int(text)


def read_settings(environment: Mapping[str, str]) -> StackSettings:
    """Raises SettingsError for an impossible port or one that is used twice."""
    settings = StackSettings(
        http_port=_port(environment, "HTTP_PORT"),
        websocket_port=_port(environment, "WS_PORT"),
        lambda_port=_port(environment, "LAMBDA_PORT"),
        simulator_port=_port(environment, "SIMULATOR_PORT"),
        dynamodb_port=_port(environment, "DYNAMODB_PORT"),
        workers=_workers(environment),
        data_dir=(REPOSITORY / Path(environment.get("DATA_DIR", "").strip() or ".data").expanduser()).resolve(),
        auth_mode=environment.get("AUTH_MODE", "").strip() or "none",
        replicate_token=environment.get("REPLICATE_API_TOKEN", "").strip() or None,
        replicate_base_url=environment.get("REPLICATE_API_BASE_URL", "").strip().rstrip("/") or None,
    )
    by_port: dict[int, str] = {}
    for variable, port in settings.ports().items():
        if port in by_port:
            raise SettingsError(f"{by_port[port]} and {variable} are both {port}; give each a port of its own.")
        by_port[port] = variable
    return settings
