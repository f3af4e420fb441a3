"""Creates the tables of `infra/storage.yml` on DynamoDB Local, under static names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.local.names import LOCAL_PREFIX, local_name, words_of
from infra.templates import REPOSITORY, load_template, resources_of_type

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

STORAGE = REPOSITORY / "infra" / "storage.yml"
SPARE = "-spare"
WAITING: Any = {"Delay": 1, "MaxAttempts": 60}


class TableDiffersError(Exception):
    """A table of an earlier version lies in the data directory; the message says what to do."""


def table_definitions(storage: Path = STORAGE) -> dict[str, dict[str, Any]]:
    """Logical id to the CloudFormation properties of every table."""
    return resources_of_type(load_template(storage), "AWS::DynamoDB::Table")


def table_environment(prefix: str = LOCAL_PREFIX) -> dict[str, str]:
    """The variables that tell a function the tables' names: `JOB_TEXTS_TABLE` and so on."""
    return {"_".join(words_of(name)).upper(): local_name(name, prefix) for name in table_definitions()}


def table_names(prefix: str = LOCAL_PREFIX) -> dict[str, str]:
    """Logical id to name."""
    return {logical_id: local_name(logical_id, prefix) for logical_id in table_definitions()}


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


def _indexes_of(description: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {index["IndexName"]: index for index in description.get("GlobalSecondaryIndexes") or ()}


def _has_other_keys(description: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    """Whether the table's own keys differ, or those of an index that has kept its name."""
    stored, wanted = _indexes_of(description), _indexes_of(properties)
    pairs = [(description, properties), *((stored[name], wanted[name]) for name in stored.keys() & wanted.keys())]
    return any(one["KeySchema"] != other["KeySchema"] for one, other in pairs)


def _is_current(description: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    """Whether all indexes hold what they shall; one whose building was broken off stays empty for good."""
    stored, wanted = _indexes_of(description), _indexes_of(properties)
    return {name: _projection(index) for name, index in stored.items()} == {
        name: _projection(index) for name, index in wanted.items()
    } and all(index["IndexStatus"] == "ACTIVE" for index in stored.values())


def _projection(index: Mapping[str, Any]) -> tuple[str, frozenset[str]]:
    given = index["Projection"]
    return given["ProjectionType"], frozenset(given.get("NonKeyAttributes", ()))


def _create(client: DynamoDBClient, name: str, properties: Mapping[str, Any]) -> None:
    client.create_table(**_create_arguments(name, properties))
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig=WAITING)
    if expiry := properties.get("TimeToLiveSpecification"):
        client.update_time_to_live(TableName=name, TimeToLiveSpecification=expiry)


def _drop(client: DynamoDBClient, name: str) -> None:
    client.delete_table(TableName=name)
    client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig=WAITING)


def _copy(client: DynamoDBClient, source: str, target: str) -> None:
    for page in client.get_paginator("scan").paginate(TableName=source, ConsistentRead=True):
        for start in range(0, len(page["Items"]), 25):
            left: Any = {target: [{"PutRequest": {"Item": item}} for item in page["Items"][start : start + 25]]}
            while left:
                left = client.batch_write_item(RequestItems=left)["UnprocessedItems"]


def _set_aside(client: DynamoDBClient, name: str, spare: str, properties: Mapping[str, Any]) -> None:
    """Moves a table's items to a spare one without indexes; until all are there the table itself stays."""
    keys = {key["AttributeName"] for key in properties["KeySchema"]}
    attributes = [entry for entry in properties["AttributeDefinitions"] if entry["AttributeName"] in keys]
    _create(client, spare, {"KeySchema": properties["KeySchema"], "AttributeDefinitions": attributes})
    _copy(client, name, spare)
    _drop(client, name)


def create_tables(client: DynamoDBClient, prefix: str = LOCAL_PREFIX) -> dict[str, str]:
    """Creates what is missing; logical ids to names. Raises TableDiffersError when a kept table has other keys.

    A kept table whose indexes hold other attributes is built anew, with its items: DynamoDB Local fails at times while
    it changes an index, and never goes on with one that it has begun. Broken off anywhere, the next start goes on.
    """
    existing = set(client.list_tables()["TableNames"])
    names: dict[str, str] = {}
    for logical_id, properties in table_definitions().items():
        name = names[logical_id] = local_name(logical_id, prefix)
        spare = name + SPARE
        is_aside = spare in existing
        if name in existing:
            description = client.describe_table(TableName=name)["Table"]
            if _has_other_keys(description, properties):
                raise TableDiffersError(
                    f"The stored table {name} has other keys than infra/storage.yml: "
                    "move DATA_DIR away (or choose another one) and start again."
                )
            if not _is_current(description, properties):
                if is_aside:
                    _drop(client, spare)
                _set_aside(client, name, spare, properties)
                existing.remove(name)
                is_aside = True
        if name not in existing:
            _create(client, name, properties)
        if is_aside:
            _copy(client, spare, name)
            _drop(client, spare)
    return names
