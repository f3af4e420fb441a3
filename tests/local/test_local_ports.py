"""No page of elsewhere commands the local stack (T28): every port, by every name that leads here, from every origin."""

from __future__ import annotations

import socket

import boto3
import httpx
import pytest
from botocore.config import Config

from infra.local.names import ACCOUNT, HOST, REGION
from tests.local.stack import RunningStack

pytestmark = pytest.mark.local

FOREIGN_HOSTS = ("0.0.0.0", "rebound.example", "localhost.rebound.example", "127.0.0.1.nip.example", 'a"<', "")
FOREIGN_ORIGINS = ("https://evil.example", "null", "http://0.0.0.0:8001", "http://127.0.0.1:1", "http://localhost")


def answer(port: int, head: str, body: str = "") -> tuple[int, str]:
    """Status and text of a request whose head is written by hand, as no client library would."""
    request = f"{head}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    with socket.create_connection((HOST, port), timeout=30) as line:
        line.sendall(request.encode())
        data = b""
        while part := line.recv(65536):
            data += part
    return int(data.split(b" ", 2)[1]), data.split(b"\r\n\r\n", 1)[-1].decode()


def ports(stack: RunningStack) -> dict[str, str]:
    """The variable of each port, and what a page would ask it for."""
    return {
        "HTTP_PORT": "GET /api/cloud/jobs?limit=1",
        "WS_PORT": "GET /",
        "LAMBDA_PORT": "POST /2015-03-31/functions/simpletuner-cloud-local-list_jobs/invocations",
        "SIMULATOR_PORT": "POST /_control/jobs",
    }


@pytest.mark.parametrize("variable", ["HTTP_PORT", "WS_PORT", "LAMBDA_PORT", "SIMULATOR_PORT"])
@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_name_that_is_not_this_machine_s_gets_nothing(running_stack: RunningStack, variable: str, host: str) -> None:
    port = running_stack.ports[variable]
    key = f"\r\nAuthorization: Bearer {running_stack.key}"
    line = f"{ports(running_stack)[variable]} HTTP/1.1\r\nHost: {host}:{port}{key}\r\nContent-Type: text/plain"
    status, text = answer(port, line, "{}")
    assert status in (400, 403), text
    assert "jobs" not in text


@pytest.mark.parametrize("variable", ["HTTP_PORT", "LAMBDA_PORT", "SIMULATOR_PORT"])
@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_a_page_of_another_origin_gets_nothing(running_stack: RunningStack, variable: str, origin: str) -> None:
    port = running_stack.ports[variable]
    key = f"\r\nAuthorization: Bearer {running_stack.key}"
    head = f"{ports(running_stack)[variable]} HTTP/1.1\r\nHost: {HOST}:{port}\r\nOrigin: {origin}{key}"
    status, text = answer(port, f"{head}\r\nContent-Type: text/plain", "{}")
    assert status == 403, text


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
def test_this_machine_s_own_names_are_served(running_stack: RunningStack, name: str) -> None:
    port = running_stack.ports["HTTP_PORT"]
    status, _ = answer(port, f"GET /api/cloud/jobs?limit=1 HTTP/1.1\r\nHost: {name}:{port}")
    assert status == 200


def test_a_refused_name_is_told_what_to_open(running_stack: RunningStack) -> None:
    port = running_stack.ports["HTTP_PORT"]
    refused = httpx.get(f"http://{HOST}:{port}/", headers={"Host": f"0.0.0.0:{port}"})
    assert refused.status_code == 403
    assert running_stack.http_url in refused.json()["detail"]


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Bearer ", "Basic x"])
@pytest.mark.parametrize("variable", ["LAMBDA_PORT", "SIMULATOR_PORT"])
def test_a_program_without_the_key_gets_nothing(
    running_stack: RunningStack, variable: str, authorization: str | None
) -> None:
    port = running_stack.ports[variable]
    given = f"\r\nAuthorization: {authorization}" if authorization is not None else ""
    head = f"{ports(running_stack)[variable]} HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: text/plain{given}"
    assert answer(port, head, "{}")[0] == 403


def test_programs_with_the_key_invoke_functions_and_ask_queues(running_stack: RunningStack) -> None:
    session = boto3.Session(aws_access_key_id=running_stack.key, aws_secret_access_key="any", region_name=REGION)
    config = Config(retries={"total_max_attempts": 1})
    functions = session.client("lambda", endpoint_url=running_stack.lambda_url, config=config)
    invoked = functions.invoke(FunctionName="simpletuner-cloud-local-trim_events", Payload=b"{}")
    assert invoked.get("FunctionError") is None
    assert invoked["StatusCode"] == 200

    queues = session.client("sqs", endpoint_url=running_stack.lambda_url, config=config)
    url = f"{running_stack.lambda_url}/{ACCOUNT}/simpletuner-local-stream-failures"
    assert url in queues.list_queues()["QueueUrls"]
    queues.send_message(QueueUrl=url, MessageBody="ünïcode")
    (message,) = queues.receive_message(QueueUrl=url, WaitTimeSeconds=2)["Messages"]
    assert message["Body"] == "ünïcode"
    queues.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    with pytest.raises(queues.exceptions.QueueDoesNotExist):
        queues.send_message(QueueUrl=url + "-not", MessageBody="x")


def test_a_function_that_fails_is_told_in_lambda_s_way(running_stack: RunningStack) -> None:
    session = boto3.Session(aws_access_key_id=running_stack.key, aws_secret_access_key="any", region_name=REGION)
    functions = session.client("lambda", endpoint_url=running_stack.lambda_url)
    failed = functions.invoke(FunctionName="simpletuner-cloud-local-route_ended_jobs", Payload=b'{"Records": [{}]}')
    assert failed["FunctionError"] == "Unhandled"
    assert b"errorType" in failed["Payload"].read()
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.invoke(FunctionName="nobody", Payload=b"{}")


def test_whoever_has_not_the_key_finds_an_empty_database(running_stack: RunningStack) -> None:
    """DynamoDB Local answers everybody, but keeps the tables of each access key apart."""

    def tables(key: str) -> list[str]:
        session = boto3.Session(aws_access_key_id=key, aws_secret_access_key="any", region_name=REGION)
        return session.client("dynamodb", endpoint_url=running_stack.dynamodb_url).list_tables()["TableNames"]

    assert "simpletuner-local-jobs" in tables(running_stack.key)
    assert tables("local") == []


def test_the_key_is_readable_by_its_owner_only(running_stack: RunningStack) -> None:
    assert (running_stack.data_dir / "access-key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("request_line", "header", "status"),
    [
        ("GET /api/cloud/jobs", "X-Long: " + "x" * 11_000, 431),
        ("GET /api/cloud/jobs HTTP/1.1\r\nHost: evil", "X: y", 403),
    ],
)
def test_the_gateway_s_own_refusals(running_stack: RunningStack, request_line: str, header: str, status: int) -> None:
    port = running_stack.ports["HTTP_PORT"]
    line = request_line if " HTTP/" in request_line else f"{request_line} HTTP/1.1"
    got, _ = answer(port, f"{line}\r\nHost: {HOST}:{port}\r\n{header}")
    assert got == status
