"""The queues of `infra/resources/queues.yml`, under the static names that they have locally."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.names import ACCOUNT, local_name, words_of
from infra.templates import REPOSITORY, load_template, resources_of_type

QUEUES = REPOSITORY / "infra" / "resources" / "queues.yml"


@dataclass(frozen=True, slots=True)
class QueueRules:
    """What a queue does with its messages, in seconds."""

    delay: float
    retention: float
    visibility: float
    dead_letters: str | None = None
    """The name of the queue where a message goes that was received `most_receives` times."""
    most_receives: int = 0


def queue_definitions(path: Path = QUEUES) -> dict[str, dict[str, Any]]:
    """Logical id to the CloudFormation properties of every queue."""
    return resources_of_type(load_template(path), "AWS::SQS::Queue")


def queue_names() -> dict[str, str]:
    """Logical id to local name."""
    return {logical_id: local_name(logical_id) for logical_id in queue_definitions()}


def queue_rules() -> dict[str, QueueRules]:
    """By local name."""
    return {local_name(name): _rules_of(properties) for name, properties in queue_definitions().items()}


def _rules_of(properties: dict[str, Any]) -> QueueRules:
    """What is not set has SQS's own default."""
    redrive = properties.get("RedrivePolicy")
    return QueueRules(
        delay=float(properties.get("DelaySeconds", 0)),
        retention=float(properties.get("MessageRetentionPeriod", 345_600)),
        visibility=float(properties.get("VisibilityTimeout", 30)),
        dead_letters=local_name(redrive["deadLetterTargetArn"]["Fn::GetAtt"][0]) if redrive else None,
        most_receives=int(redrive["maxReceiveCount"]) if redrive else 0,
    )


def queue_environment(endpoint: str) -> dict[str, str]:
    """The variables that tell a function the queues: `FINAL_LOGS_QUEUE_URL` and so on."""
    return {
        "_".join(words_of(logical_id)).upper() + "_URL": f"{endpoint}/{ACCOUNT}/{name}"
        for logical_id, name in queue_names().items()
    }
