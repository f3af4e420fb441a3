"""A deployment never loses a table, and ships what the runtime lacks and nothing more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.deploy import DeploymentRefused, plan, refuse_loss, refuse_unreadable_config
from infra.layer import IN_THE_RUNTIME, LOCK, layer_requirements


def _change(action: str, replacement: str | None = None, kind: str = "AWS::DynamoDB::Table") -> dict[str, Any]:
    change = {"Action": action, "ResourceType": kind, "LogicalResourceId": "JobsTable"}
    return {"ResourceChange": change | ({"Replacement": replacement} if replacement else {})}


@pytest.mark.parametrize("change", [_change("Remove"), _change("Modify", "True"), _change("Modify", "Conditional")])
def test_change_that_would_lose_a_table_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DeploymentRefused, match="JobsTable"):
        refuse_loss([_change("Add"), change])


def test_other_changes_pass() -> None:
    refuse_loss([_change("Add"), _change("Modify", "False"), _change("Remove", kind="AWS::SSM::Parameter")])


@pytest.mark.parametrize(
    ("variable", "exported", "complaint"),
    [
        ("PUBLIC_BASE_URL", {}, None),
        ("ALLOWED_ORIGINS", {"ALLOWED_ORIGINS": "https://a.example.com"}, None),
        ("PUBLIC_URL", {"PUBLIC_URL": "https://a.example.com"}, "line 3: .*PUBLIC_URL"),
        ("PUBLIC_BASE_URL", {"SIMPLETUNER_ENTERPRISE_CONFIG": "/etc/other.yaml"}, "/etc/other.yaml"),
    ],
)
def test_a_config_that_the_deployed_functions_could_not_read_is_refused(
    tmp_path: Path, variable: str, exported: dict[str, str], complaint: str | None
) -> None:
    path = tmp_path / "simpletuner-enterprise.yaml"
    refuse_unreadable_config(path, {})
    path.write_text(f"providers:\n  replicate:\n    webhook_url: ${{{variable}}}/api/webhooks/replicate\n")
    if complaint is None:
        refuse_unreadable_config(path, exported)
    else:
        with pytest.raises(DeploymentRefused, match=complaint):
            refuse_unreadable_config(path, exported)


def test_plan_names_the_account_and_that_it_is_billed() -> None:
    text = plan("prod", "eu-central-1", "111122223333")
    assert "111122223333" in text
    assert "eu-central-1" in text
    assert "billed" in text


def test_layer_leaves_out_what_the_runtime_has_and_keeps_every_hash() -> None:
    lock = LOCK.read_text(encoding="utf-8")
    kept = layer_requirements(lock)
    names = {line.split("==")[0] for line in kept.splitlines() if "==" in line and not line.startswith((" ", "#"))}
    assert not names & IN_THE_RUNTIME
    assert {"fastapi", "mangum", "pydantic", "pyyaml", "urllib3", "aws-lambda-powertools"} <= names
    dropped = sum(lock.count(f"\n{name}==") + lock.startswith(f"{name}==") for name in IN_THE_RUNTIME)
    assert len(names) + dropped == sum("==" in line and not line.startswith((" ", "#")) for line in lock.splitlines())
