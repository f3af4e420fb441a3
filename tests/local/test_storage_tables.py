"""The local tables are those of infra/storage.yml, keys, indexes, streams and expiry included."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from infra.local.names import local_name
from infra.local.stack.tables import SPARE, TableDiffersError, create_tables, table_definitions

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
    name = local_name(logical_id, PREFIX)
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
    name = local_name("StateTable", PREFIX)
    client.put_item(TableName=name, Item={"key": {"S": "kept"}})
    create_tables(client, PREFIX)
    assert "Item" in client.get_item(TableName=name, Key={"key": {"S": "kept"}})


def test_table_of_an_older_version_is_refused_with_advice(client: DynamoDBClient) -> None:
    prefix = "older-"
    client.create_table(
        TableName=local_name("JobsTable", prefix),
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    with pytest.raises(TableDiffersError, match="DATA_DIR"):
        create_tables(client, prefix)


def test_an_index_of_an_older_version_is_built_anew_over_the_kept_items(client: DynamoDBClient) -> None:
    make_older_jobs_table(client, "narrow-", "one", "two")
    create_tables(client, "narrow-")
    assert found_by_status(client, "narrow-") == [job("one"), job("two")]
    assert not [name for name in client.list_tables()["TableNames"] if name.endswith(SPARE)]


def test_a_start_that_is_broken_off_anywhere_loses_no_job(client: DynamoDBClient) -> None:
    """By a signal, or because DynamoDB Local fails; the next start goes on."""
    create_tables(client, "broken-")
    for calls in count():
        client.delete_table(TableName="broken-jobs")
        make_older_jobs_table(client, "broken-", "one", "two")
        broken = Failing(client, after=calls)
        try:
            create_tables(broken, "broken-")  # type: ignore[arg-type]
        except Break:
            create_tables(client, "broken-")
            assert found_by_status(client, "broken-") == [job("one"), job("two")], broken.made
        else:
            assert {"create_table", "batch_write_item", "delete_table"} <= set(broken.made)
            break


def test_an_index_whose_building_was_broken_off_is_built_anew(client: DynamoDBClient) -> None:
    """DynamoDB Local never goes on with it, changes it no more, and finds nothing by it."""
    create_tables(client, "halted-")
    client.put_item(TableName="halted-jobs", Item=job("one"))
    halted = Failing(client, after=None, index_status="CREATING")
    create_tables(halted, "halted-")  # type: ignore[arg-type]
    assert "delete_table" in halted.made
    assert found_by_status(client, "halted-") == [job("one")]


class Break(Exception):
    pass


class Failing:
    """A client that fails after so many calls (None: never), and may tell another state of every index."""

    def __init__(self, client: DynamoDBClient, *, after: int | None, index_status: str | None = None) -> None:
        self._client = client
        self._after = after
        self._index_status = index_status
        self.made: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any, **arguments: Any) -> Any:
            if len(self.made) == self._after:
                raise Break
            self.made.append(name)
            answer = getattr(self._client, name)(*given, **arguments)
            if name == "describe_table" and self._index_status:
                for index in answer["Table"].get("GlobalSecondaryIndexes", []):
                    index["IndexStatus"] = self._index_status
            return answer

        return call


def job(job_id: str) -> Any:
    return {"job_id": {"S": job_id}} | {key: {"S": key} for key in ("status", "created_key", "provider")}


def make_older_jobs_table(client: DynamoDBClient, prefix: str, *job_ids: str) -> None:
    name = local_name("JobsTable", prefix)
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
    for job_id in job_ids:
        client.put_item(TableName=name, Item=job(job_id))


def found_by_status(client: DynamoDBClient, prefix: str) -> list[Any]:
    found = client.query(
        TableName=local_name("JobsTable", prefix),
        IndexName="by_status",
        KeyConditionExpression="#status = :status",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":status": {"S": "status"}},
    )
    return sorted(found["Items"], key=lambda item: item["job_id"]["S"])


def _by_name(entries: list[Any], key: str) -> dict[str, Any]:
    return {entry[key]: entry for entry in entries}


def _plain(projection: Any) -> tuple[str, frozenset[str]]:
    return projection["ProjectionType"], frozenset(projection.get("NonKeyAttributes", []))
