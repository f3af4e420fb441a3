"""The log of a job: written once as a whole, then shown as far as the job has come."""

import math
import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from .jobs import JobView, LogStyle, SimulatedJob, Status
from .progress_bar import bar

_STEP_SECONDS = 1.31
_FLUX_BASE = "black-forest-labs/FLUX.1-dev"


@dataclass(frozen=True, slots=True)
class LogPlan:
    """What decides the text of a log, so that the same job always writes the same."""

    job_id: str
    style: LogStyle
    steps: int
    epochs: int
    lines: int
    seed: int


@dataclass(frozen=True, slots=True)
class Script:
    """A whole log: `ends[i]` is how much of `text` is written once the part `times[i]` of the run is over."""

    text: str
    times: tuple[float, ...]
    ends: tuple[int, ...]

    def up_to(self, part: float) -> str:
        shown = bisect_right(self.times, part)
        return self.text[: self.ends[shown - 1]] if shown else ""


def job_log(job: SimulatedJob, seen: JobView) -> str:
    """The log of `job` as `seen`; the log at a later time always starts with this text."""
    if seen.started_ns is None or seen.started_ns < job.started_ns:
        return ""  # it ended before it began to write
    plan = LogPlan(job.id, job.log_style, job.steps, job.epochs, job.log_lines, job.seed)
    text = _script(plan).up_to(seen.written)
    return text + "".join(f"{line}\n" for line in _closing(job, seen))


@lru_cache(maxsize=512)
def _script(plan: LogPlan) -> Script:
    writers = {
        LogStyle.SIMPLETUNER: _simpletuner_lines,
        LogStyle.FLUX: _flux_lines,
        LogStyle.INFERENCE: _inference_lines,
    }
    rng = random.Random(f"{plan.job_id}:{plan.seed}")
    timed = list(writers[plan.style](plan, rng))
    whole = timed[-1][0] or 1.0
    ends: list[int] = []
    length = 0
    for _, line in timed:
        length += len(line) + 1
        ends.append(length)
    return Script("".join(f"{line}\n" for _, line in timed), tuple(at / whole for at, _ in timed), tuple(ends))


def _reported_steps(steps: int, lines: int) -> list[int]:
    """The steps at which a bar is printed, at most about `lines` of them, the last one always."""
    stride = max(1, math.ceil(steps / max(1, lines)))
    return sorted({*range(stride, steps + 1, stride), steps})


def _quarters(steps: int) -> set[int]:
    return {max(1, steps * quarter // 4) for quarter in (1, 2, 3)}


def _simpletuner_lines(plan: LogPlan, rng: random.Random) -> Iterator[tuple[float, str]]:
    """(second of the trainer's own time, line), in the formats of SimpleTuner's Cog predictor."""
    name = f"cog-{plan.job_id[:8]}"
    at = 0.0
    for pause, line in _set_up_lines(rng):
        at += pause
        yield at, line
    at += 4.0
    for line in _banner(plan):
        yield at, line
    began = at
    paused = 0.0
    loss = 0.21 + rng.random() * 0.05
    yield at, bar(f"Epoch 1/{plan.epochs} Steps", 0, plan.steps, 1.0, postfix=f", lr=0.0001, step_loss={loss:.3g}")
    saves = _quarters(plan.steps)
    reported = _reported_steps(plan.steps, plan.lines)
    done = 0
    for step in sorted({*reported, *saves}):
        at += (step - done) * _STEP_SECONDS
        done = step
        loss = max(0.02, loss * (1 - 0.4 / len(reported)) + rng.uniform(-0.004, 0.004))
        epoch = min(plan.epochs, 1 + (step - 1) * plan.epochs // plan.steps)
        training_seconds = at - began - paused
        label = f"Epoch {epoch}/{plan.epochs}, Steps"
        yield at, bar(label, step, plan.steps, training_seconds, postfix=f", lr=0.0001, step_loss={loss:.3g}")
        if step in saves and step < plan.steps:
            resumed = at
            for pause, line in _checkpoint_lines(name, step, epoch, loss, plan):
                resumed += pause
                yield resumed, line
            for pause, line in _validation_lines("Running Validation"):
                resumed += pause
                yield resumed, line
            paused += resumed - at
            at = resumed
    yield (
        at,
        f"[EVENT] log.message: Exiting training loop. Beginning model unwind at epoch {plan.epochs}, step {plan.steps}",
    )
    for pause, line in _validation_lines("Running Final Validation"):
        at += pause
        yield at, line
    for pause, line in (
        (2.0, f"[STAGE] ⏳ Saving Final Model: Finalizing model and saving to output/cog/{name}"),
        (60.0, f"[STAGE] ✓ Saving Final Model (100.0%): Model saved to output/cog/{name}"),
        (4.0, "[STAGE] ✓ Training Complete (100.0%): Training is complete."),
    ):
        at += pause
        yield at, line


def _set_up_lines(rng: random.Random) -> Iterator[tuple[float, str]]:
    images = 24 + rng.randrange(60)
    yield 0.0, f"[COG] Webhook receiver started on http://127.0.0.1:{rng.randrange(32768, 60999)}/webhook"
    yield 3.0, f"[STAGE] ⏳ Loading base model: Loading model: `{_FLUX_BASE}`..."
    yield 2.0, "[EVENT] log.message: Using lr_scheduler=polynomial with lr_warmup_steps=100"
    for shard in range(4):
        yield 6.0, bar("Loading checkpoint shards", shard, 3, shard * 6.0)
    yield 4.0, "[EVENT] log.message: Moving VAE to accelerator, converting from torch.float32 to torch.bfloat16"
    yield 8.0, "[STAGE] ✓ Loading base model (100.0%): Base model has loaded."
    yield 1.0, "[STAGE] ⏳ Configuring data backends: Configuring data backends... (this may take a while!)"
    yield 2.0, "[EVENT] log.message: (id=cog-dataset) Loading bucket manager."
    yield 3.0, "[STAGE] ⏳ Loading text embedding cache (30.0%)"
    for done in sorted({*range(0, images, max(1, images // 8)), images}):
        yield 3.0, bar("Processing prompts", done, images, done * 0.5)
    yield 1.0, "[STAGE] ✓ Loading text embedding cache (100.0%)"
    yield 1.0, "[STAGE] ⏳ VAE Cache initialising: Initialising the VAE cache"
    for done in sorted({*range(0, images, max(1, images // 12)), images}):
        yield 8.0, bar("Processing bucket 1.0", done, images, done * 0.9)
    yield 1.0, "[STAGE] ✓ VAE Cache initialising (100.0%): VAE cache initialization complete"
    yield 1.0, "[STAGE] ✓ Configuring data backends (100.0%): Completed configuring data backends."
    collected = "Collected the following data backends: ['cog-dataset', 'text-embeds']"
    yield 0.5, f"[INFO] {collected}: {collected}"
    yield 2.0, "[STAGE] ⏳ Preparing model components: Preparing model components"
    yield 9.0, "[STAGE] ✓ Preparing model components (100.0%): Completed preparing model components"


def _banner(plan: LogPlan) -> tuple[str, ...]:
    return (
        "[TRAINING] ",
        "***** Running training *****",
        "-  Trainable parameters: 22,413,312",
        f"-  Num batches = {max(1, plan.steps // plan.epochs)}",
        f"-  Num Epochs = {plan.epochs}",
        "  - Current Epoch = 1",
        "-  Total train batch size (w. parallel, distributed & accumulation) = 1",
        "  - Instantaneous batch size per device = 1",
        "  - Gradient Accumulation steps = 1",
        f"-  Total optimization steps = {plan.steps}",
        f"-  Total optimization steps remaining = {plan.steps}",
    )


def _checkpoint_lines(name: str, step: int, epoch: int, loss: float, plan: LogPlan) -> Iterator[tuple[float, str]]:
    reached = (
        f"Checkpoint: `Step {step} of {plan.steps}: loss {loss:.4f}, lr 0.0001, epoch {epoch}/{plan.epochs}, "
        f"ema_decay_value None, train_loss {loss * 1.02:.4f}`"
    )
    folder = f"output/cog/{name}/checkpoint-{step}"
    yield 0.5, f"[INFO] {reached}: {reached}"
    yield 0.5, f"[STAGE] ⏳ Saving Checkpoint: Saving checkpoint to {folder}"
    yield 55.0, f"[STAGE] ✓ Saving Checkpoint: Saved checkpoint to {folder}"
    yield 0.5, "[CHECKPOINT] Checkpoint saved"


def _validation_lines(label: str) -> Iterator[tuple[float, str]]:
    yield 1.0, f"[STAGE] ⏳ {label}: Validation is starting."
    for done in range(9):
        yield 12.0, bar("Processing validation prompts", done, 8, done * 12.0)
    yield 1.0, f"[STAGE] ✓ {label} (100.0%): Validation complete."


def _flux_lines(plan: LogPlan, rng: random.Random) -> Iterator[tuple[float, str]]:
    """The log of the flux trainer: its bar names neither a step nor an epoch."""
    at = 0.0
    weights = "https://weights.replicate.delivery/default/black-forest-labs/FLUX.1-dev/files.tar"
    for pause, line in (
        (0.0, f"2026-01-10T10:00:00Z | INFO  | [ Initiating ] chunk_size=150M dest=. url={weights}"),
        (26.0, f'2026-01-10T10:00:26Z | INFO  | [ Complete ] dest=. size="34 GB" total_elapsed=26.188s url={weights}'),
        (1.0, "Downloaded base weights in 26.6 seconds"),
        (2.0, f"Extracted {rng.randrange(8, 40)} files from zip to input_images"),
        (1.0, "Starting train job"),
        (1.0, "#############################################"),
        (0.0, "# Running job: flux_train_replicate"),
        (0.0, "#############################################"),
        (4.0, "Loading Flux model"),
        (20.0, "Loading transformer"),
        (20.0, "Quantizing transformer"),
        (20.0, "Loading vae"),
        (5.0, "Loading t5"),
        (15.0, "Loading clip"),
        (4.0, "create LoRA network. base dim (rank): 16, alpha: 16"),
        (10.0, "Caching latents for input_images"),
    ):
        at += pause
        yield at, line
    began = at
    loss = 0.45
    saves = _quarters(plan.steps)
    done = 0
    for step in sorted({*_reported_steps(plan.steps, plan.lines), *saves}):
        at += (step - done) * _STEP_SECONDS
        done = step
        loss = max(0.1, loss * 0.9995 + rng.uniform(-0.05, 0.05))
        yield at, bar("flux_train_replicate", step, plan.steps, at - began, postfix=f", lr: 4.0e-04 loss: {loss:.3e}")
        if step in saves and step < plan.steps:
            yield at + 0.5, f"Saving at step {step}"
            yield at + 1.0, "Saved to output/flux_train_replicate/optimizer.pt"
    yield at + 10.0, "Saved to output/flux_train_replicate/lora.safetensors"


def _inference_lines(plan: LogPlan, rng: random.Random) -> Iterator[tuple[float, str]]:
    steps = min(plan.steps, 50)
    yield 0.0, f"Using seed: {rng.randrange(65536)}"
    yield 0.1, "txt2img mode"
    for step in range(0, steps + 1, 2):
        yield 0.2 + step * 0.06, bar("", step, steps, step * 0.06, columns=50)


def _closing(job: SimulatedJob, seen: JobView) -> list[str]:
    """What a program still writes when it ends; one that is killed writes nothing more."""
    if seen.status is Status.FAILED and seen.error and job.has_metrics:
        return _last_words(job, seen.error)
    if seen.status is Status.SUCCEEDED and job.log_style is LogStyle.SIMPLETUNER:
        return _published(job)
    return []


def _last_words(job: SimulatedJob, error: str) -> list[str]:
    if job.log_style is not LogStyle.SIMPLETUNER:
        return [
            "Traceback (most recent call last):",
            '  File "/src/train.py", line 318, in train',
            f"RuntimeError: {error}",
        ]
    return [
        f"[ERROR] Fatal Error: {error}",
        f"[TRAINING] Training failed: {error}",
        "[COG] Webhook receiver stopped",
        "Traceback (most recent call last):",
        '  File "/src/predict.py", line 212, in predict',
        "    result = runner.run(config)",
        f"RuntimeError: {error}",
    ]


def _published(job: SimulatedJob) -> list[str]:
    steps, epochs = job.steps, job.epochs
    return [
        "[COG] Webhook receiver stopped",
        "",
        "=== debug.log tail ===",
        (
            f"2026-01-10 10:00:01,120 [DEBUG] (training_loop) Step {steps} of {steps}: loss 0.1498, lr 0.0001, "
            f"epoch {epochs}/{epochs}, ema_decay_value None, train_loss 0.1501"
        ),
        "2026-01-10 10:00:09,018 [INFO] (validation) Loading validation pipeline",
        "",
        f"Model published to: {job.output}" if str(job.output).startswith("http") else str(job.output),
    ]
