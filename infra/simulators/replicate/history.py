"""Jobs that nobody ordered: the history of a fresh simulator, and newcomers that keep it alive."""

import json
import random
from collections.abc import Callable
from dataclasses import replace

from .catalogue import FLUX_TRAINER, TRAINER_MODELS, log_style_of, newest_version
from .clock import NANOSECONDS
from .jobs import LogStyle, SimulatedJob, SimulatedKind, Status

NewId = Callable[[], str]

MINUTE = 60.0
ERRORS = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a capacity of 79.25 GiB of which 1.06 GiB is free.",
    "No images were discovered by the bucket manager in the dataset: cog-dataset.",
    "Prediction interrupted; please retry (code: PA)",
    "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!",
)
DIRECTOR_ERROR = "Director: unexpected error handling prediction (E9243)"

_PROFILES = (TRAINER_MODELS[0], TRAINER_MODELS[0], TRAINER_MODELS[1], TRAINER_MODELS[4])
_SUBJECTS = ("corgi", "lighthouse", "watercolour", "film-grain", "pixel-knight", "bauhaus", "origami", "night-city")
_STEPS = (1000, 1500, 2000, 3000)


def boot_time(rng: random.Random, speed: float) -> float:
    """Seconds of cold boot: three to six minutes of the provider's time."""
    return rng.uniform(180, 360) / speed


def run_time(rng: random.Random, speed: float) -> float:
    """Seconds of running: 38 to 52 minutes of the trainer's time."""
    return rng.uniform(2300, 3100) / speed


def training_input(subject: str, steps: int, epochs: int) -> dict[str, object]:
    """What SimpleTuner sends to its trainer models."""
    config = {
        "model_family": "flux",
        "model_type": "lora",
        "pretrained_model_name_or_path": "black-forest-labs/FLUX.1-dev",
        "max_train_steps": steps,
        "num_train_epochs": epochs,
        "learning_rate": 1e-4,
        "hub_model_id": f"local-simulator/{subject}-lora",
    }
    dataloader = [{"id": "cog-dataset", "type": "huggingface", "dataset_name": f"local-simulator/{subject}"}]
    return {"config_json": json.dumps(config), "dataloader_json": json.dumps(dataloader)}


def simpletuner_job(
    rng: random.Random,
    job_id: str,
    created_ns: int,
    speed: float,
    *,
    outcome: Status = Status.SUCCEEDED,
    error: str | None = None,
    reaches: float = 1.0,
) -> SimulatedJob:
    """A prediction of SimpleTuner's trainer; `reaches` < 1 ends it that far into its log."""
    subject = rng.choice(_SUBJECTS)
    steps = rng.choice(_STEPS)
    model = rng.choice(_PROFILES)
    return SimulatedJob(
        id=job_id,
        kind=SimulatedKind.PREDICTION,
        model=model,
        version=newest_version(model),
        created_ns=created_ns,
        boot_seconds=boot_time(rng, speed),
        run_seconds=run_time(rng, speed) * reaches,
        outcome=outcome,
        error=error,
        has_metrics=error != DIRECTOR_ERROR,
        input=training_input(subject, steps, 10),
        output=f"https://huggingface.co/local-simulator/{subject}-lora",
        steps=steps,
        reaches=reaches,
        log_style=LogStyle.SIMPLETUNER,
        seed=rng.randrange(2**31),
    )


def flux_training(rng: random.Random, job_id: str, created_ns: int, speed: float) -> SimulatedJob:
    """A training of the public flux trainer."""
    subject = rng.choice(_SUBJECTS)
    steps = rng.choice(_STEPS)
    destination = f"local-simulator/{subject}"
    weights = f"https://replicate.delivery/xezq/{job_id}/flux-lora.tar"
    return SimulatedJob(
        id=job_id,
        kind=SimulatedKind.TRAINING,
        model=FLUX_TRAINER,
        version=newest_version(FLUX_TRAINER),
        created_ns=created_ns,
        boot_seconds=boot_time(rng, speed),
        run_seconds=run_time(rng, speed),
        input={"input_images": f"https://example.com/{subject}.zip", "steps": steps, "trigger_word": "TOK"},
        output={"version": f"{destination}:{newest_version(destination)}", "weights": weights},
        steps=steps,
        log_style=log_style_of(FLUX_TRAINER),
        seed=rng.randrange(2**31),
    )


def history(rng: random.Random, new_id: NewId, now_ns: int, speed: float, number: int) -> list[SimulatedJob]:
    """`number` jobs, oldest first: ended ones took the trainer's real time, active ones run compressed."""

    def ago(minutes: float) -> int:
        return now_ns - int(minutes * MINUTE * NANOSECONDS)

    def early(outcome: Status, minutes: float, reaches: float, error: str | None = None) -> SimulatedJob:
        return simpletuner_job(rng, new_id(), ago(minutes), 1.0, outcome=outcome, error=error, reaches=reaches)

    running = simpletuner_job(rng, new_id(), now_ns, speed)
    training = flux_training(rng, new_id(), now_ns, speed)
    staged = [
        simpletuner_job(rng, new_id(), now_ns, speed),
        _begun(running, now_ns, 0.4),
        _begun(training, now_ns, 0.15),
        simpletuner_job(rng, new_id(), ago(66), 1.0),
        early(Status.FAILED, 130, 0.35, ERRORS[0]),
        early(Status.CANCELED, 190, 0.5),
        flux_training(rng, new_id(), ago(300), 1.0),
        early(Status.FAILED, 420, 0.02, DIRECTOR_ERROR),
    ]
    older = [
        simpletuner_job(rng, new_id(), ago(540 + 170 * index), 1.0) for index in range(max(0, number - len(staged)))
    ]
    return sorted((staged + older)[:number], key=lambda job: job.created_ns)


def _begun(job: SimulatedJob, now_ns: int, part: float) -> SimulatedJob:
    """`job` moved into the past so that `part` of its run is over."""
    over = job.boot_seconds + part * job.run_seconds
    return replace(job, created_ns=now_ns - int(over * NANOSECONDS))


def newcomer(rng: random.Random, job_id: str, now_ns: int, speed: float) -> SimulatedJob:
    """The next job that starts by itself: most succeed, some fail, are cancelled, or never run."""
    fate = rng.random()
    if fate < 0.15:
        return flux_training(rng, job_id, now_ns, speed)
    if fate < 0.75:
        return simpletuner_job(rng, job_id, now_ns, speed)
    reaches = rng.uniform(0.2, 0.8)
    if fate < 0.88:
        return simpletuner_job(
            rng, job_id, now_ns, speed, outcome=Status.FAILED, error=rng.choice(ERRORS), reaches=reaches
        )
    if fate < 0.96:
        return simpletuner_job(rng, job_id, now_ns, speed, outcome=Status.CANCELED, reaches=reaches)
    return simpletuner_job(rng, job_id, now_ns, speed, outcome=Status.ABORTED)
