"""Whether the provider is polled: the order of precedence, the status page, the setting, and SimpleTuner's names."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from functions.http import read_metrics, read_polling_status
from functions.work import start_ticks
from shared.adapters.providers.replicate.profile import PROFILE as REPLICATE
from shared.background_tasks import get_task_manager, start_background_tasks, stop_background_tasks
from shared.domain import state_keys
from shared.domain.errors import ProviderUnavailableError
from shared.services.health.check_health import CheckHealth
from shared.services.polling.decide_polling import DecidePolling
from shared.services.providers.provider_settings import ProviderSettings
from shared.services.recording.record_observations import RecordObservations
from tests.engine import WEBHOOK_URL, Engine, an_engine
from tests.fakes import FakeProvider

ROOT = Path(__file__).resolve().parents[2]
COMPAT = ROOT / "shared" / "compat"
STATUS, SETTING = "/api/cloud/polling/status", "/api/cloud/polling/setting"


@pytest.fixture
def engine() -> Iterator[Engine]:
    with an_engine() as engine:
        yield engine


@pytest.mark.parametrize(
    ("yaml", "preference", "has_webhook", "is_active"),
    [
        (None, None, False, True),
        (None, None, True, False),
        (None, True, True, True),
        (None, True, False, True),
        (None, False, False, False),
        (None, False, True, False),
        (True, None, True, True),
        (True, False, False, True),
        (True, False, True, True),
        (False, None, False, False),
        (False, True, False, False),
        (False, True, True, False),
    ],
)
def test_yaml_then_preference_then_webhook_decides(
    engine: Engine, yaml: bool | None, preference: bool | None, has_webhook: bool, is_active: bool
) -> None:
    engine.enterprise(polling_enabled=yaml)
    if has_webhook:
        engine.configure(webhook_url=WEBHOOK_URL)
    client = engine.system.client(read_polling_status.router)
    answer = client.put(SETTING, json={"enabled": preference})
    assert answer.json()["is_active"] is is_active
    assert answer.json()["enabled"] is preference
    status = client.get(STATUS).json()
    assert (status["is_active"], status["preference"]) == (is_active, preference)
    assert status["reason"]


def test_the_webhook_url_of_the_yaml_counts_and_a_stored_one_wins(engine: Engine) -> None:
    engine.enterprise(provider_defaults={"replicate": {"webhook_url": WEBHOOK_URL}})
    assert engine.system.wiring.use(ProviderSettings).webhook_url("replicate") == WEBHOOK_URL
    assert not engine.polling.run(["replicate"])["replicate"].is_active
    engine.configure(webhook_url="https://other.example.com/hook")
    assert engine.system.wiring.use(ProviderSettings).webhook_url("replicate") == "https://other.example.com/hook"


@pytest.mark.parametrize(
    ("environment", "yaml", "seconds"), [(None, None, 30), (None, 45.0, 45), (60, 45.0, 60), (60, None, 60)]
)
def test_environment_then_yaml_then_thirty_seconds(environment: float | None, yaml: float | None, seconds: int) -> None:
    with an_engine(simpletuner_job_poll_interval=environment) as engine:
        engine.enterprise(polling_interval=yaml)
        status = engine.system.client(read_polling_status.router).get(STATUS).json()
        assert status["interval_seconds"] == seconds
        assert status["effective_interval_seconds"] == seconds


def test_a_provider_without_a_webhook_url_is_polled_and_another_with_one_is_not(engine: Engine) -> None:
    system = engine.system
    other = FakeProvider(system.clock, replace(REPLICATE, name="other", label="Other"))
    system.use_providers(system.provider, other)
    engine.configure(webhook_url=WEBHOOK_URL)
    seen = system.remote_job("abcdefgh1234", webhook_url=WEBHOOK_URL)
    other.put(replace(seen, provider="other", external_id="efgh12345678"))
    system.wiring.use(RecordObservations).run([*system.provider.jobs.values(), *other.jobs.values()])
    engine.run(11)
    assert system.provider.calls["get"] == 3
    assert other.calls["get"] == 22
    status = system.client(read_polling_status.router).get(STATUS).json()
    assert (status["is_active"], status["reason"]) == (True, "no webhook URL is set for other")
    assert [(told["provider"], told["is_active"], told["interval_seconds"]) for told in status["providers"]] == [
        ("replicate", False, 300),
        ("other", True, 30),
    ]


def test_every_start_logs_what_was_decided_and_why_once(engine: Engine) -> None:
    start_ticks.handler({}, None)
    start_ticks.handler({}, None)
    told = [message for _, message, _ in engine.system.telemetry.records if "job status polling" in message]
    assert told == ["job status polling is on: no webhook URL is set for replicate; interval 30 s"]
    engine.polling.prefer(False)
    start_ticks.handler({}, None)
    told = [message for _, message, _ in engine.system.telemetry.records if "job status polling" in message]
    assert told[1:] == ["job status polling is off: the stored setting switches it off; interval 30 s"]


def test_a_webhook_url_stored_a_moment_ago_by_another_process_counts_at_once(engine: Engine) -> None:
    client = engine.system.client(read_polling_status.router)
    assert client.get(STATUS).json()["is_active"] is True
    now = engine.system.clock.now()
    engine.system.stores.state.put(state_keys.provider_config("replicate"), {"webhook_url": WEBHOOK_URL}, now=now)
    assert client.get(STATUS).json()["is_active"] is False


def test_a_fault_of_the_last_round_is_shown(engine: Engine) -> None:
    engine.system.remote_job("abcdefgh1234")
    engine.system.sync()
    engine.system.provider.fail("get", ProviderUnavailableError("Replicate did not answer."))
    engine.minute()
    status = engine.system.client(read_polling_status.router).get(STATUS).json()
    assert status["last_tick_at"] is not None
    assert status["last_errors"] == []
    engine.system.provider.fail("get", *[ProviderUnavailableError("Replicate did not answer.")] * 9)
    engine.minute()
    status = engine.system.client(read_polling_status.router).get(STATUS).json()
    assert status["last_errors"][0]["message"] == "Replicate did not answer."
    engine.system.clock.advance(3601)
    assert engine.system.client(read_polling_status.router).get(STATUS).json()["last_errors"] == []


def test_the_age_of_the_last_tick_is_told_by_health_and_metrics(engine: Engine) -> None:
    def told() -> tuple[str, str]:
        poller = engine.system.wiring.use(CheckHealth).check()[1]
        answer = engine.system.client(read_metrics.router).get("/api/cloud/metrics/prometheus")
        ages = [line for line in answer.text.splitlines() if line.startswith("simpletuner_cloud_tick_age_seconds")]
        return poller.message, "".join(ages)

    engine.minute()
    assert told() == ("The schedule ran 60 s ago; there was no tick yet.", "")
    engine.system.remote_job("abcdefgh1234")
    engine.system.sync()
    engine.minute()
    assert told() == (
        "The schedule ran 60 s ago; the last tick was 30 s ago.",
        "simpletuner_cloud_tick_age_seconds 30.0",
    )


@pytest.mark.parametrize("body", [{}, {"enabled": "yes"}, {"enabled": 1}, []])
def test_a_setting_of_another_form_is_refused(engine: Engine, body: object) -> None:
    answer = engine.system.client(read_polling_status.router).put(SETTING, json=body)
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


def test_simpletuners_names_set_the_preference(engine: Engine) -> None:
    engine.configure(webhook_url=WEBHOOK_URL)
    manager = get_task_manager()
    assert manager is get_task_manager()

    def is_running() -> bool:
        return manager._running

    with ThreadPoolExecutor(1) as program:
        assert not is_running()
        program.submit(asyncio.run, start_background_tasks()).result()
        assert is_running()
        program.submit(asyncio.run, stop_background_tasks()).result()
        assert not is_running()
    engine.enterprise(polling_enabled=True)
    assert is_running()


@pytest.mark.parametrize("before", [None, True, False])
@pytest.mark.parametrize(
    ("steps", "after"),
    [
        ("start stop", "before"),
        ("stop", "before"),
        ("start start stop", "before"),
        ("start stop stop", "before"),
        ("start kill start stop", "before"),
        ("start kill stop", "before"),
        ("start stop start", "started"),
        ("start kill", "started"),
        ("start wish stop", "wish"),
    ],
)
def test_a_stop_gives_back_what_was_preferred_before_the_start(
    engine: Engine, before: bool | None, steps: str, after: str
) -> None:
    acts: dict[str, Callable[[DecidePolling], object]] = {
        "start": DecidePolling.start,
        "stop": DecidePolling.stop,
        "kill": lambda _: engine.system.start_another_process(),
        "wish": lambda polling: polling.prefer(False),
    }
    if before is not None:
        engine.polling.prefer(before)
    for step in steps.split():
        acts[step](engine.polling)
    assert engine.polling.preference() is {"before": before, "started": True, "wish": False}[after]


SNIPPET = """
from simpletuner.simpletuner_sdk.server.services.cloud.background_tasks import (
    get_task_manager,
    start_background_tasks,
    stop_background_tasks,
)

# Get the manager
manager = get_task_manager()

# Check if running
if manager._running:
    print("Background tasks are active")

# Manual start/stop (usually handled by app lifespan)
await start_background_tasks()
await stop_background_tasks()
"""
"""As SimpleTuner's page prints it."""

RUN_SNIPPET = """
import ast, asyncio, sys
from tests.system import a_system
sys.path.append(sys.argv[1])
with a_system():
    coroutine = eval(compile(sys.stdin.read(), "snippet", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))
    asyncio.run(coroutine)
"""


def test_simpletuners_own_snippet_runs_as_printed_and_an_installed_simpletuner_goes_first(tmp_path: Path) -> None:
    run = partial(subprocess.run, check=False, capture_output=True, text=True)
    done = run([sys.executable, "-c", RUN_SNIPPET, str(COMPAT)], input=SNIPPET, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "Background tasks are active\n"), done.stderr

    installed = tmp_path / "simpletuner"
    installed.mkdir()
    (installed / "__init__.py").write_text("print('the installed one')")
    look = f"import sys; sys.path[:0] = [{str(COMPAT)!r}, {str(tmp_path)!r}]; import simpletuner"
    assert run([sys.executable, "-c", look]).stdout == "the installed one\n"
    address = "simpletuner.simpletuner_sdk.server.services.cloud.background_tasks"
    look = f"import sys; sys.path.append({str(COMPAT)!r}); import {address}"
    far_away = run([sys.executable, "-c", look], cwd=tmp_path.parent)
    assert far_away.returncode == 0, far_away.stderr
