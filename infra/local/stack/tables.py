"""Creates the tables of `infra/storage.yml` on DynamoDB Local, under static names."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.templates import REPOSITORY, load_template, resources_of_type

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

STORAGE = REPOSITORY / "infra" / "storage.yml"
LOCAL_PREFIX = "simpletuner-local-"
_WORD = re.compile(r"[A-Z][a-z0-9]*")


class TableDiffersError(Exception):
    """A table of an earlier version lies in the data directory; the message says what to do."""


def words_of(logical_id: str) -> list[str]:
    """`JobTextsTable` to `["job", "texts", "table"]`."""
    return [word.lower() for word in _WORD.findall(logical_id)]


def local_table_name(logical_id: str, prefix: str = LOCAL_PREFIX) -> str:
    """`JobTextsTable` to `simpletuner-local-job-texts`."""
    return prefix + "-".join(words_of(logical_id)[:-1])


def table_definitions(storage: Path = STORAGE) -> dict[str, dict[str, Any]]:
    """Logical id to the CloudFormation properties of every table."""
    return resources_of_type(load_template(storage), "AWS::DynamoDB::Table")


def table_environment(prefix: str = LOCAL_PREFIX) -> dict[str, str]:
    """The variables that tell a function the tables' names: `JOB_TEXTS_TABLE` and so on."""
    return {"_".join(words_of(name)).upper(): local_table_name(name, prefix) for name in table_definitions()}


def _create_arguments(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": properties["AttributeDefinitions"],
        "KeySchema": properties["KeySchema"],
    }
    if indexes := properties.get("GlobalSecondaryIndexes"):
        wanted = ("IndexName", "KeySchema", "Projection")
        arguments["GlobalSecondaryIndexes"] = [{key: index[key] for key in wanted} for index in indexes]
    if stream := properties.get("StreamSpecification"):
        arguments["StreamSpecification"] = {"StreamEnabled": True, **stream}
    return arguments


def _keys_of(description: Mapping[str, Any]) -> dict[str, Any]:
    indexes = description.get("GlobalSecondaryIndexes") or []
    return {"": description["KeySchema"], **{index["IndexName"]: index["KeySchema"] for index in indexes}}


def _projections(description: Mapping[str, Any]) -> dict[str, tuple[str, frozenset[str]]]:
    indexes = description.get("GlobalSecondaryIndexes") or []
    projections = {index["IndexName"]: index["Projection"] for index in indexes}
    return {
        name: (given["ProjectionType"], frozenset(given.get("NonKeyAttributes", ())))
        for name, given in projections.items()
    }


def _renew_indexes(client: DynamoDBClient, description: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    stored = _projections(description)
    for name, wanted in _projections(properties).items():
        if stored[name] == wanted:
            continue
        arguments = _create_arguments(description["TableName"], properties)
        index = next(one for one in arguments["GlobalSecondaryIndexes"] if one["IndexName"] == name)
        steps: tuple[Any, ...] = ({"Delete": {"IndexName": name}}, {"Create": index})
        for step in steps:
            client.update_table(
                TableName=description["TableName"],
                AttributeDefinitions=properties["AttributeDefinitions"],
                GlobalSecondaryIndexUpdates=[step],
            )
            _wait_for_indexes(client, description["TableName"])


def _wait_for_indexes(client: DynamoDBClient, table: str) -> None:
    while any(
        index["IndexStatus"] != "ACTIVE"
        for index in client.describe_table(TableName=table)["Table"].get("GlobalSecondaryIndexes", [])
    ):
        time.sleep(0.05)


def create_tables(client: DynamoDBClient, prefix: str = LOCAL_PREFIX) -> dict[str, str]:
    """Creates what is missing; logical ids to names. Raises TableDiffersError when a kept table has other keys.

    A kept index that holds other attributes is built anew.
    """
    existing = set(client.list_tables()["TableNames"])
    names: dict[str, str] = {}
    for logical_id, properties in table_definitions().items():
        name = names[logical_id] = local_table_name(logical_id, prefix)
        if name in existing:
            description = client.describe_table(TableName=name)["Table"]
            if _keys_of(description) != _keys_of(properties):
                raise TableDiffersError(
                    f"The stored table {name} has other keys than infra/storage.yml: "
                    "move DATA_DIR away (or choose another one) and start again."
                )
            _renew_indexes(client, description, properties)
            continue
        client.create_table(**_create_arguments(name, properties))
        if expiry := properties.get("TimeToLiveSpecification"):
            client.update_time_to_live(TableName=name, TimeToLiveSpecification=expiry)
    return names
