"""AWS's own DynamoDB engine for one machine: fetched once from Maven Central, kept in the user's cache."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

VERSION = "3.1.0"
COORDINATE = f"software.amazon.dynamodb:DynamoDBLocal:{VERSION}"
MAIN_CLASS = "software.amazon.dynamodb.services.local.main.ServerRunner"

QUICK_START = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""For a stack that comes up often and carries little."""
SUSTAINED = ("-Xmx2g", "-XX:+UseParallelGC")
"""For loads: compiled fully, at the price of the first seconds."""


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Outside the data directory and the work tree, so that one download serves all."""
    cache = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "simpletuner-cloud" / f"dynamodb-local-{VERSION}"


def is_fetched() -> bool:
    return (cache_folder() / "modules" / f"DynamoDBLocal-{VERSION}.jar").exists()


def fetch_when_missing() -> None:
    if not is_fetched():
        print("Fetching DynamoDB Local from Maven Central (only once)", flush=True)
        _fetch()


def _fetch() -> None:
    """Resolves and downloads the engine; needs the network. An interrupted download leaves nothing behind."""
    from jgo.env import EnvironmentBuilder, LinkStrategy  # noqa: PLC0415 - half a second that only the first start pays
    from jgo.maven import MavenContext  # noqa: PLC0415 - as above

    target = cache_folder()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        context = MavenContext(repo_cache=Path(scratch) / "repository")
        builder = EnvironmentBuilder(
            context=context, cache_dir=Path(scratch) / "environments", link_strategy=LinkStrategy.COPY
        )
        built = Path(builder.from_endpoint(endpoint=COORDINATE).path)
        shutil.rmtree(target, ignore_errors=True)
        built.rename(target)


def take_over_shared_tables(key: str, region: str, data_dir: Path) -> None:
    """Gives this access key the tables that an earlier version kept for every key; the engine must not run."""
    shared, own = data_dir / "shared-local-instance.db", data_dir / f"{key}_{region}.db"
    if shared.exists() and not own.exists():
        for beside in data_dir.glob(f"{shared.name}-*"):
            beside.replace(data_dir / beside.name.replace(shared.name, own.name))
        shared.replace(own)


def command(java: Path, port: int, data_dir: Path | None, options: Sequence[str] = QUICK_START) -> list[str | Path]:
    """How to run the engine, with these options for Java; without a data directory it keeps everything in memory.

    It keeps the tables of each access key apart from every other's.
    """
    folder = cache_folder()
    libraries = folder / "jars"
    place: list[str | Path] = ["-inMemory"] if data_dir is None else ["-dbPath", data_dir]
    return [
        java,
        *options,
        f"-Djava.library.path={libraries}",
        "-cp",
        f"{folder / 'modules'}/*:{libraries}/*",
        MAIN_CLASS,
        "-port",
        str(port),
        "-disableTelemetry",
        *place,
    ]
