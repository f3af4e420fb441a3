"""Creates the queues of `infra/resources/queues.yml` on moto, under static names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.local.names import ACCOUNT
from infra.local.stack.tables import LOCAL_PREFIX, words_of
from infra.templates import REPOSITORY, load_template, resources_of_type

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

QUEUES = REPOSITORY / "infra" / "resources" / "queues.yml"
_ATTRIBUTES = ("DelaySeconds", "MessageRetentionPeriod", "VisibilityTimeout")


def local_queue_name(logical_id: str) -> str:
    """`FinalLogsQueue` to `simpletuner-local-final-logs`."""
    return LOCAL_PREFIX + "-".join(words_of(logical_id)[:-1])


def queue_definitions(path: Path = QUEUES) -> dict[str, dict[str, Any]]:
    """Logical id to the CloudFormation properties of every queue."""
    return resources_of_type(load_template(path), "AWS::SQS::Queue")


def queue_urls(endpoint: str) -> dict[str, str]:
    """Logical id to the address that the queue has on the emulator."""
    return {name: f"{endpoint}/{ACCOUNT}/{local_queue_name(name)}" for name in queue_definitions()}


def queue_environment(endpoint: str) -> dict[str, str]:
    """The variables that tell a function the queues: `FINAL_LOGS_QUEUE_URL` and so on."""
    return {"_".join(words_of(name)).upper() + "_URL": url for name, url in queue_urls(endpoint).items()}


def create_queues(client: SQSClient) -> dict[str, str]:
    """Creates every queue, dead-letter queues first; logical ids to URLs."""
    definitions = queue_definitions()
    urls: dict[str, str] = {}
    for logical_id in sorted(definitions, key=lambda name: "RedrivePolicy" in definitions[name]):
        properties = definitions[logical_id]
        attributes: dict[Any, str] = {key: str(properties[key]) for key in _ATTRIBUTES if key in properties}
        if redrive := properties.get("RedrivePolicy"):
            dead_letters = redrive["deadLetterTargetArn"]["Fn::GetAtt"][0]
            arn = client.get_queue_attributes(QueueUrl=urls[dead_letters], AttributeNames=["QueueArn"])
            attributes["RedrivePolicy"] = json.dumps(
                {"deadLetterTargetArn": arn["Attributes"]["QueueArn"], "maxReceiveCount": redrive["maxReceiveCount"]}
            )
        name = local_queue_name(logical_id)
        urls[logical_id] = client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return urls
