"""Builds the dependency layer for the deployed runtime: python3.13 on arm64, from locked wheels only.

Run as `python -m infra.layer` (`make package` does). boto3 and what only it needs stay out: the runtime has them.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
LOCK = REPOSITORY / "requirements" / "runtime.txt"
LAYER = REPOSITORY / "build" / "layer"
STAMP = REPOSITORY / "build" / "layer.sha256"
PYTHON_VERSION = "3.13"
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
IN_THE_RUNTIME = frozenset({"boto3", "botocore", "s3transfer", "python-dateutil", "six"})
"""Its urllib3 may be of another major version than ours; the layer's comes first on the path."""
LARGEST_BYTES = 60_000_000

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)


def layer_requirements(lock: str) -> str:
    """The lock without what the runtime brings along."""
    starts = [match.start() for match in _REQUIREMENT.finditer(lock)]
    blocks = [lock[start:end] for start, end in zip(starts, [*starts[1:], len(lock)], strict=True)]
    return "".join(block for block in blocks if block.split("==", 1)[0].lower() not in IN_THE_RUNTIME)


def is_current() -> bool:
    return STAMP.exists() and (LAYER / "python").exists() and STAMP.read_text() == _digest()


def _digest() -> str:
    return hashlib.sha256(LOCK.read_bytes() + Path(__file__).read_bytes()).hexdigest()


def build() -> None:
    """Raises CalledProcessError when a package has no wheel for the target, ValueError when the layer grows too big."""
    shutil.rmtree(LAYER, ignore_errors=True)
    LAYER.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=LAYER.parent) as scratch:
        requirements = Path(scratch) / "layer.txt"
        requirements.write_text(layer_requirements(LOCK.read_text(encoding="utf-8")), encoding="utf-8")
        target = Path(scratch) / "layer" / "python"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--requirement", str(requirements), "--target", str(target), "--no-compile"]
        command += ["--implementation", "cp", "--python-version", PYTHON_VERSION, "--only-binary", ":all:"]
        for platform in PLATFORMS:
            command += ["--platform", platform]
        subprocess.run(command, check=True)
        shutil.rmtree(target / "bin", ignore_errors=True)
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        if size > LARGEST_BYTES:
            raise ValueError(
                f"the layer has {size:,} bytes, more than the {LARGEST_BYTES:,} that a fast cold start allows"
            )
        target.parent.rename(LAYER)
    STAMP.write_text(_digest())
    print(f"Built the dependency layer: {size / 1e6:.1f} MB in build/layer")


if __name__ == "__main__":
    if is_current():
        print("The dependency layer is current.")
    else:
        build()
