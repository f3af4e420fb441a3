"""The hand on the simulator: what `/_control` and tests do with it."""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace

from .catalogue import FLUX_TRAINER, TRAINER_MODELS, log_style_of, newest_version
from .clock import NANOSECONDS
from .faults import FaultKind, SwitchedFault
from .history import ERRORS
from .jobs import LogStyle, Shape, SimulatedJob, SimulatedKind, Status
from .simulator import LiveSettings, Simulator
from .webhook_log import WebhookAttempt, WebhookFaults
from .wire import Body, job_body


class Control:
    """Changes a simulator while it serves. Durations are seconds; every method may be called from any thread."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    # jobs

    def create_job(
        self,
        *,
        job_id: str | None = None,
        kind: SimulatedKind | str = SimulatedKind.PREDICTION,
        model: str | None = None,
        version: str | None = None,
        age_seconds: float = 0.0,
        boot_seconds: float | None = None,
        run_seconds: float | None = None,
        outcome: Status | str = Status.SUCCEEDED,
        error: str | None = None,
        has_metrics: bool = True,
        input: Mapping[str, object] | None = None,  # noqa: A002 - the wire calls it so
        output: object = None,
        steps: int = 2000,
        epochs: int = 10,
        reaches: float | None = None,
        log_style: LogStyle | str | None = None,
        log_lines: int = 400,
        source: str = "api",
        webhook: str | None = None,
        webhook_events: tuple[str, ...] | list[str] | None = None,
        cancel_after_seconds: float | None = None,
        shape: Shape | str = Shape.AUTO,
        status_word: str | None = None,
        raw_controls: bool = False,
    ) -> str:
        """Create a job and return its id. It was created `age_seconds` ago, boots for `boot_seconds`, then runs for
        `run_seconds` to its `outcome` (a terminal status); without these it takes the simulator's usual time.

        Examples: `create_job(boot_seconds=3600)` starts, `create_job(boot_seconds=0, run_seconds=3600)` runs,
        `create_job(age_seconds=60, boot_seconds=5, run_seconds=20, outcome="failed")` has failed 35 s ago.
        Raises ValueError for an unknown kind, outcome, style or shape, or an id that is taken.
        """
        simulator = self._simulator
        kind, outcome = SimulatedKind(kind), Status(outcome)
        if outcome in (Status.STARTING, Status.PROCESSING):
            raise ValueError("outcome must be a terminal status")
        if job_id is not None and simulator.knows(job_id):
            raise ValueError(f"there is a job {job_id} already")
        model = model or (FLUX_TRAINER if kind is SimulatedKind.TRAINING else TRAINER_MODELS[0])
        new_id = job_id or simulator.new_id()
        created = simulator.now_ns() - int(age_seconds * NANOSECONDS)
        if outcome is Status.FAILED and error is None:
            error = ERRORS[0]
        job = SimulatedJob(
            id=new_id,
            kind=kind,
            model=model,
            version=version or newest_version(model),
            created_ns=created,
            boot_seconds=simulator.usual_boot_seconds() if boot_seconds is None else boot_seconds,
            run_seconds=simulator.usual_run_seconds() if run_seconds is None else run_seconds,
            outcome=outcome,
            error=error,
            has_metrics=has_metrics,
            input=dict(input or {}),
            output=_usual_output(kind, new_id) if output is None else output,
            steps=steps,
            epochs=epochs,
            reaches=reaches if reaches is not None else (1.0 if outcome is Status.SUCCEEDED else 0.5),
            log_style=LogStyle(log_style) if log_style else log_style_of(model),
            log_lines=log_lines,
            seed=simulator.new_seed(),
            source=source,
            webhook=webhook,
            webhook_events=None if webhook_events is None else tuple(webhook_events),
            deadline_ns=None if cancel_after_seconds is None else created + int(cancel_after_seconds * NANOSECONDS),
            shape=Shape(shape),
            status_word=status_word,
            raw_controls=raw_controls,
        )
        return simulator.add(job).id

    def end_job(self, job_id: str, outcome: Status | str = Status.SUCCEEDED, error: str | None = None) -> None:
        """End a job now. A job that ended stays as it is; an unknown id raises the provider's 404 (`ErrorAnswer`)."""
        status = Status(outcome)
        if status in (Status.STARTING, Status.PROCESSING):
            raise ValueError("outcome must be a terminal status")
        if status is Status.FAILED and error is None:
            error = ERRORS[0]
        self._simulator.end(job_id, status, error)

    def change_job(
        self,
        job_id: str,
        *,
        shape: Shape | str | None = None,
        status_word: str | None = None,
        raw_controls: bool | None = None,
    ) -> None:
        """Bend how one job is answered from now on; `status_word=""` shows its true status again."""
        job = self._simulator.find(job_id)
        if shape is not None:
            job = replace(job, shape=Shape(shape))
        if status_word is not None:
            job = replace(job, status_word=status_word or None)
        if raw_controls is not None:
            job = replace(job, raw_controls=raw_controls)
        self._simulator.change(job)

    def delete_job(self, job_id: str) -> None:
        """Make the provider forget it: 404 from now on, absent from lists."""
        self._simulator.delete(job_id)

    def job(self, job_id: str) -> Body:
        """The job in full, hot shape, as it truly is now."""
        job = self._simulator.find(job_id)
        return job_body(job, self._simulator.view(job), shape=Shape.HOT, origin=self._simulator.origin)

    def status(self, job_id: str) -> str:
        """The job's true status now."""
        return self._simulator.view(self._simulator.find(job_id)).status.value

    def jobs(self) -> list[Body]:
        """Every job, newest first: id, kind, model, true status, created_at (ns since 1970)."""
        return [
            {
                "id": job.id,
                "kind": job.kind.value,
                "model": job.model,
                "status": self._simulator.view(job).status.value,
                "created_ns": job.created_ns,
            }
            for job in self._simulator.jobs()
        ]

    # time and settings

    def jump(self, seconds: float) -> None:
        """Move the clock forward; jobs boot, run and end accordingly. Raises ValueError when negative."""
        self._simulator.jump(seconds)

    def now_ns(self) -> int:
        """The simulator's time, nanoseconds since 1970."""
        return self._simulator.now_ns()

    @property
    def settings(self) -> LiveSettings:
        return self._simulator.settings

    def set(self, **changes: object) -> None:
        """Change settings: speed, new_job_every_seconds, retention_seconds, latency_seconds, cancel_lag_seconds,
        shape, aborted_sends_webhook. Raises ValueError for an unknown name or a negative duration."""
        _change(self._simulator.settings, {**changes})

    # faults

    def add_fault(
        self,
        kind: FaultKind | str,
        *,
        path: str = "/v1/",
        method: str | None = None,
        count: int | None = None,
        probability: float = 1.0,
        **details: object,
    ) -> SwitchedFault:
        """Switch on a fault for requests of `method` whose path starts with `path`, for `count` of them.
        Details: `seconds` (429…, slow), `url` (next_off_origin)."""
        return self._simulator.faults.add(
            kind, path=path, method=method, count=count, probability=probability, **details
        )

    def clear_faults(self, fault_id: int | None = None) -> None:
        """Switch off one fault, or all."""
        self._simulator.faults.clear(fault_id)

    def faults(self) -> list[SwitchedFault]:
        return self._simulator.faults.active()

    # webhooks

    @property
    def webhook_secret(self) -> str:
        return self._simulator.webhook_secret

    def rotate_secret(self, secret: str | None = None) -> str:
        """Sign with a new secret from now on (random unless given)."""
        return self._simulator.rotate_secret(secret)

    @property
    def webhook_faults(self) -> WebhookFaults:
        return self._simulator.webhook_faults

    def set_webhooks(self, **changes: object) -> None:
        """Change delivery: duplicates, reorder, delay_seconds, drop_next, drop_probability, two_signatures,
        bad_signature, events (which events are touched; empty: all)."""
        if isinstance(changes.get("events"), list):
            changes["events"] = tuple(str(event) for event in _as_list(changes["events"]))
        _change(self._simulator.webhook_faults, changes)

    def clear_webhooks(self) -> None:
        """Deliver normally again."""
        _change(self._simulator.webhook_faults, asdict(WebhookFaults()))

    def deliveries(self, job_id: str | None = None) -> list[WebhookAttempt]:
        """Every delivery attempt so far, oldest first."""
        return [entry for entry in self._simulator.deliveries.entries() if job_id in (None, entry.job_id)]


def _usual_output(kind: SimulatedKind, job_id: str) -> object:
    if kind is SimulatedKind.TRAINING:
        destination = f"local-simulator/{job_id[:8]}"
        weights = f"https://replicate.delivery/xezq/{job_id}/trained_model.tar"
        return {"version": f"{destination}:{newest_version(destination)}", "weights": weights}
    return f"https://huggingface.co/local-simulator/{job_id[:8]}"


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _change(target: LiveSettings | WebhookFaults, changes: Mapping[str, object]) -> None:
    """Set fields of `target`, all or none, each only to a value of the type it has."""
    known = {field.name: getattr(target, field.name) for field in fields(target)}
    checked: dict[str, object] = {}
    for name, value in changes.items():
        if name not in known:
            raise ValueError(f"unknown setting {name!r}; there are: {', '.join(known)}")
        checked[name] = _fitting(name, known[name], value)
    for name, value in checked.items():
        setattr(target, name, value)


def _fitting(name: str, current: object, value: object) -> object:
    if isinstance(current, Shape):
        return Shape(str(value))
    if isinstance(current, bool) or isinstance(value, bool):
        if isinstance(current, bool) and isinstance(value, bool):
            return value
    elif isinstance(current, float) and isinstance(value, int | float) and value >= 0:
        return float(value)
    elif (isinstance(current, int) and isinstance(value, int) and value >= 0) or (
        isinstance(current, tuple) and isinstance(value, tuple)
    ):
        return value
    raise ValueError(f"{name} can't be {value!r}")
