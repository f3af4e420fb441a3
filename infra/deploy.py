"""Deploys both stacks, storage first, after saying what will happen and asking.

Run as `python -m infra.deploy --stage prod --region eu-central-1` (`make deploy` does).
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra import layer
from shared.domain.errors import ConfigurationError
from shared.enterprise_config import FILE_NAME, load_enterprise_config

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient

REPOSITORY = Path(__file__).resolve().parents[1]
STORAGE = REPOSITORY / "infra" / "storage.yml"
DEPLOYED_ENVIRONMENT = REPOSITORY / "infra" / "environment.yml"
SERVICE = "simpletuner-cloud"
CHANGE_SET = "deploy"


class DeploymentRefused(Exception):
    """The deployment would lose data, was not wanted, or can't be made; the message says which."""


def storage_stack_name(stage: str) -> str:
    return f"{SERVICE}-{stage}-storage"


def plan(stage: str, region: str, account: str) -> str:
    return "\n".join(
        [
            f"This deploys to AWS account {account}, region {region}:",
            f"  1. stack {storage_stack_name(stage)}: the tables (kept, protected, point-in-time recovery)",
            f"  2. stack {SERVICE}-{stage}: the HTTP and WebSocket APIs, functions, queues, alarms",
            "It is billed to that account. Removing the service later keeps the tables.",
        ]
    )


def storage_changes(client: CloudFormationClient, stage: str, wait: Callable[[float], None] = time.sleep) -> list[Any]:
    """Prepares the change of the storage stack; its changes, none when it is up to date."""
    name = storage_stack_name(stage)
    client.create_change_set(
        StackName=name,
        ChangeSetName=CHANGE_SET,
        ChangeSetType="UPDATE" if _stack_exists(client, name) else "CREATE",
        TemplateBody=STORAGE.read_text(encoding="utf-8"),
        Parameters=[{"ParameterKey": "Stage", "ParameterValue": stage}],
    )
    while True:
        described = client.describe_change_set(StackName=name, ChangeSetName=CHANGE_SET)
        if described["Status"].endswith("COMPLETE"):
            return list(described["Changes"])
        if described["Status"] == "FAILED":
            client.delete_change_set(StackName=name, ChangeSetName=CHANGE_SET)
            reason = described.get("StatusReason", "")
            if "didn't contain changes" in reason or "No updates" in reason:
                return []
            raise DeploymentRefused(f"The storage stack can't be changed: {reason}")
        wait(2)


def refuse_loss(changes: list[Any]) -> None:
    """Raises DeploymentRefused when a table would be replaced or removed."""
    for change in (entry["ResourceChange"] for entry in changes):
        is_table = change["ResourceType"] == "AWS::DynamoDB::Table"
        if is_table and (change["Action"] == "Remove" or change.get("Replacement") in {"True", "Conditional"}):
            raise DeploymentRefused(
                f"{change['LogicalResourceId']} would be replaced or removed, and its data lost to the service: "
                "restore the table's definition, or move its data first."
            )


def refuse_unreadable_config(path: Path = REPOSITORY / FILE_NAME, given: Mapping[str, str] = os.environ) -> None:
    """Raises DeploymentRefused when the deployed functions could not read the operator's file.

    They have only the variables of their environment, of which CloudFormation fills in some.
    """
    elsewhere = given.get("SIMPLETUNER_ENTERPRISE_CONFIG")
    if elsewhere and (REPOSITORY / elsewhere).resolve() != path.resolve():
        raise DeploymentRefused(
            f"Only {FILE_NAME} in the project's root is packed; move {elsewhere} there, and unset "
            "SIMPLETUNER_ENTERPRISE_CONFIG."
        )
    if not path.exists():
        return
    names = re.findall(r"^([A-Z_]+):", DEPLOYED_ENVIRONMENT.read_text(encoding="utf-8"), re.MULTILINE)
    environment = {"PUBLIC_BASE_URL": "https://deployed.example.com"}
    environment |= {name: given[name] for name in names if given.get(name)}
    try:
        load_enterprise_config(path, environment)
    except ConfigurationError as error:
        raise DeploymentRefused(
            f"{error.detail} The deployed functions know only the variables of {DEPLOYED_ENVIRONMENT.name}."
        ) from None


def deploy_storage(client: CloudFormationClient, stage: str) -> None:
    """Creates or changes the storage stack and protects it from deletion. Raises DeploymentRefused."""
    name = storage_stack_name(stage)
    changes = storage_changes(client, stage)
    if not changes:
        return
    refuse_loss(changes)
    is_new = client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "REVIEW_IN_PROGRESS"
    client.execute_change_set(StackName=name, ChangeSetName=CHANGE_SET)
    waiter = client.get_waiter("stack_create_complete" if is_new else "stack_update_complete")
    waiter.wait(StackName=name)
    client.update_termination_protection(StackName=name, EnableTerminationProtection=True)


def _stack_exists(client: CloudFormationClient, name: str) -> bool:
    try:
        status = client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return False
        raise
    return status != "REVIEW_IN_PROGRESS"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", default="dev")
    parser.add_argument("--region", default="us-east-1")
    options = parser.parse_args(arguments)
    try:
        refuse_unreadable_config()
        account = boto3.client("sts", region_name=options.region).get_caller_identity()["Account"]
        print(plan(options.stage, options.region, account))
        if input(f"Type {options.stage} to go on: ").strip() != options.stage:
            raise DeploymentRefused("Nothing was deployed.")
        if not layer.is_current():
            layer.build()
        deploy_storage(boto3.client("cloudformation", region_name=options.region), options.stage)
    except DeploymentRefused as refusal:
        print(refusal, file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError) as error:
        print(
            f"AWS could not be asked: {error}. Check your credentials (`aws sts get-caller-identity`).", file=sys.stderr
        )
        return 1
    command = [
        sys.executable,
        "-m",
        "infra.local.install.node_program",
        "osls",
        "deploy",
        "--stage",
        options.stage,
        "--region",
        options.region,
    ]
    return subprocess.run(command, cwd=REPOSITORY, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
