"""The local tables are those of infra/storage.yml, keys, indexes, streams and expiry included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from infra.local.stack.tables import TableDiffersError, create_tables, local_table_name, table_definitions

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.local
PREFIX = "storage-test-"


@pytest.fixture(scope="module")
def client(dynamodb_url: str) -> DynamoDBClient:
    client = boto3.client("dynamodb", endpoint_url=dynamodb_url, region_name="us-east-1")
    create_tables(client, PREFIX)
    return client


@pytest.mark.parametrize("logical_id", table_definitions())
def test_table_is_as_the_template_says(client: DynamoDBClient, logical_id: str) -> None:
    wanted = table_definitions()[logical_id]
    name = local_table_name(logical_id, PREFIX)
    found: Any = client.describe_table(TableName=name)["Table"]
    assert found["KeySchema"] == wanted["KeySchema"]
    assert _by_name(found["AttributeDefinitions"], "AttributeName") == _by_name(
        wanted["AttributeDefinitions"], "AttributeName"
    )
    indexes = _by_name(found.get("GlobalSecondaryIndexes", []), "IndexName")
    assert indexes.keys() == _by_name(wanted.get("GlobalSecondaryIndexes", []), "IndexName").keys()
    for index in wanted.get("GlobalSecondaryIndexes", []):
        assert indexes[index["IndexName"]]["KeySchema"] == index["KeySchema"]
        assert _plain(indexes[index["IndexName"]]["Projection"]) == _plain(index["Projection"])
    stream = wanted.get("StreamSpecification")
    assert found.get("StreamSpecification", {}).get("StreamViewType") == (stream or {}).get("StreamViewType")
    expiry = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert expiry.get("AttributeName") == wanted.get("TimeToLiveSpecification", {}).get("AttributeName")


def test_existing_tables_are_kept_with_their_items(client: DynamoDBClient) -> None:
    name = local_table_name("StateTable", PREFIX)
    client.put_item(TableName=name, Item={"key": {"S": "kept"}})
    create_tables(client, PREFIX)
    assert "Item" in client.get_item(TableName=name, Key={"key": {"S": "kept"}})


def test_table_of_an_older_version_is_refused_with_advice(client: DynamoDBClient) -> None:
    prefix = "older-"
    client.create_table(
        TableName=local_table_name("JobsTable", prefix),
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    with pytest.raises(TableDiffersError, match="DATA_DIR"):
        create_tables(client, prefix)


def test_an_index_of_an_older_version_is_built_anew_over_the_kept_items(client: DynamoDBClient) -> None:
    name = local_table_name("JobsTable", "narrow-")
    wanted: Any = table_definitions()["JobsTable"]
    narrow: Any = [
        {key: index[key] for key in ("IndexName", "KeySchema")} | {"Projection": {"ProjectionType": "KEYS_ONLY"}}
        for index in wanted["GlobalSecondaryIndexes"]
    ]
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=wanted["AttributeDefinitions"],
        KeySchema=wanted["KeySchema"],
        GlobalSecondaryIndexes=narrow,
    )
    item: Any = {key: {"S": key} for key in ("job_id", "status", "created_key", "provider")}
    client.put_item(TableName=name, Item=item)
    create_tables(client, "narrow-")
    found = client.query(
        TableName=name,
        IndexName="by_status",
        KeyConditionExpression="#status = :status",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":status": {"S": "status"}},
    )
    assert found["Items"] == [item]


def _by_name(entries: list[Any], key: str) -> dict[str, Any]:
    return {entry[key]: entry for entry in entries}


def _plain(projection: Any) -> tuple[str, frozenset[str]]:
    return projection["ProjectionType"], frozenset(projection.get("NonKeyAttributes", []))
