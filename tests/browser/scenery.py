"""What a page shows in tests and pictures: some jobs as a team has them, with logs that look real."""

from __future__ import annotations

import math
import random
from typing import Any

from shared.adapters.providers.replicate.profile import HARDWARE
from shared.domain import state_keys
from shared.domain.job import JobStatus
from shared.services.polling.poll_state import PollState, encode_poll_state
from tests.browser.page_server import PageServer

ADVANCED = "simpletuner/advanced-trainer-"


def training_log(steps: int, total: int, *, rate: float = 1.6, seed: int = 7) -> str:
    """A log of SimpleTuner's kind: caches, then a bar of steps with loss and learning rate."""
    chance = random.Random(seed)
    lines = [
        "[INFO] SimpleTuner 4.8.0 starting on NVIDIA H100 80GB HBM3",
        "[INFO] Loading text encoders",
        "Caching VAE latents: 100%|██████████| 412/412 [01:12<00:00,  5.71it/s]",
        "[INFO] ***** Running training *****",
        f"[INFO]   Total optimization steps = {total}",
    ]
    stride = max(1, total // 260)
    for step in range(0, steps + 1, stride):
        loss = 0.11 + 0.5 * math.exp(-step / (total / 5)) + chance.uniform(-0.02, 0.03)
        done, left = int(step / rate), int((total - step) / rate)
        bar = "█" * int(10 * step / total)
        lines.append(
            f"Epoch 1/10, Steps: {100 * step // total:3d}%|{bar:<10}| {step}/{total} "
            f"[{done // 60:02d}:{done % 60:02d}<{left // 60:02d}:{left % 60:02d},  {rate:.2f}it/s, "
            f"lr=8.0e-05, step_loss={loss:.4f}]"
        )
    return "\n".join(lines) + "\n"


def furnish(server: PageServer) -> None:
    """Six active jobs at different points and a month of ended ones."""
    running = [
        ("p7k2m9x4q1rmc0csh3a5d8e6f0", "flux-lora-portraits", "h100", 1840, 3000, 1900, 1.61),
        ("v3n8b5z0w7rmc0csh9k2l4j6t1", "sdxl-product-shots", "l40s", 420, 4000, 640, 0.74),
        ("c9d4f1g6h2rmc0cshb7n3v5x8m", "wan-video-motion", "h100-x4", 260, 1000, 420, 0.66),
    ]
    for external_id, name, profile, steps, total, age, rate in running:
        server.add(external_id, JobStatus.RUNNING, age=age, name=name, **on(profile))
        server.provider.logs[external_id] = training_log(steps, total, rate=rate)
    young = "y5u8i1o4p7rmc0cshq2w6e9r3t"
    server.add(young, JobStatus.RUNNING, age=70, name="qwen-image-style", **on("h100"))
    server.provider.logs[young] = (
        "[INFO] Loading text encoders\nCaching text embeds:  43%|████▎     | 88/204 [00:21<00:28,  4.07it/s]\n"
    )
    server.add("t6r3e0w9q4rmc0cshz1x7c5v2b", JobStatus.QUEUED, age=35, name="sd3-anime-faces", **on("l40s"))
    server.add("a1s4d7f0g3rmc0cshh6j9k2l5z", JobStatus.QUEUED, age=12, **on("h100"))
    chance = random.Random(11)
    names = ["flux-lora-portraits", "sdxl-product-shots", "kolors-landscape", "pixart-icons", "auraflow-test", None]
    outcomes = [JobStatus.COMPLETED] * 7 + [JobStatus.FAILED] * 2 + [JobStatus.CANCELLED]
    errors = [
        "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.10 GiB.",
        "Prediction interrupted; please retry (code: PA)",
        "ValueError: dataset 'portraits' has no images: check instance_data_dir",
    ]
    for number in range(42):
        status = chance.choice(outcomes)
        letters = "".join(chance.choices("abcdefghjkmnpqrstvwxyz0123456789", k=23))
        error = {"error": chance.choice(errors)} if status is JobStatus.FAILED else {}
        server.add(
            f"{chance.choice('bcdfghjk')}{number:02d}{letters}",
            status,
            age=9500 + number * 61_000 * chance.uniform(0.9, 1.05),
            lasts=chance.uniform(60, 900) if status is JobStatus.FAILED else chance.uniform(1500, 9000),
            name=chance.choice(names),
            **on(chance.choice(["h100", "l40s", "h100-x2"])),
            **error,
        )
    now = server.now()
    server.stores.state.put(state_keys.SCHEDULE, {"at": now.timestamp() - 9}, now=now)
    ticked = PollState(last_tick_at=server.now(-9), round_began_at=server.now(-9), round_seconds=0.4)
    server.stores.state.put(state_keys.poll("replicate"), encode_poll_state(ticked), now=now)


def on(profile: str) -> dict[str, Any]:
    """The fields of a job on this hardware."""
    hardware = HARDWARE[profile]
    return {
        "model": f"{ADVANCED}{profile}",
        "hardware_type": hardware.hardware_type,
        "price_per_second": hardware.price_per_second,
    }
