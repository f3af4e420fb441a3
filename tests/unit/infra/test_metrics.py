"""Alarms watch what is counted, and what is counted has its name in one place."""

from __future__ import annotations

import re
from pathlib import Path

from shared.domain.metric import Metric

ROOT = Path(__file__).resolve().parents[3]
OWN_NAMESPACE = re.compile(r"Namespace: SimpleTunerCloud\n\s+MetricName: (\w+)")


def test_every_alarm_on_a_metric_of_ours_names_one_that_is_counted() -> None:
    watched = OWN_NAMESPACE.findall((ROOT / "infra" / "resources" / "alarms.yml").read_text())
    assert watched
    assert set(watched) <= {metric.value for metric in Metric}


def test_every_metric_is_counted_somewhere() -> None:
    code = "".join(path.read_text() for room in ("shared", "functions") for path in (ROOT / room).rglob("*.py"))
    assert [metric.name for metric in Metric if f"Metric.{metric.name}" not in code] == []
