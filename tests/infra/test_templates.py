"""What CloudFormation is given: limits, rights, protection of the data; `make check` lints the same templates."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from infra.local.stack.tables import STORAGE, table_definitions, table_environment
from infra.templates import load_template, resources_of_type

pytestmark = pytest.mark.infra

MOST_RESOURCES = 450
MOST_OUTPUTS = 150


def test_template_stays_within_the_limits_of_a_stack(template: dict[str, Any]) -> None:
    assert len(template["Resources"]) <= MOST_RESOURCES
    assert len(template["Outputs"]) <= MOST_OUTPUTS


def test_template_makes_no_table(template: dict[str, Any]) -> None:
    assert not resources_of_type(template, "AWS::DynamoDB::Table")


def test_every_function_has_a_role_of_its_own(template: dict[str, Any]) -> None:
    functions = resources_of_type(template, "AWS::Lambda::Function")
    roles = [function["Role"]["Fn::GetAtt"][0] for function in functions.values()]
    assert "IamRoleLambdaExecution" not in roles
    assert len(set(roles)) == len(functions)


def test_shared_role_may_do_nothing(template: dict[str, Any]) -> None:
    shared = template["Resources"].get("IamRoleLambdaExecution")
    assert shared is None or shared["Properties"]["Policies"] == []


def test_no_role_reaches_every_resource_or_every_action(template: dict[str, Any]) -> None:
    for role in resources_of_type(template, "AWS::IAM::Role").values():
        assert not role.get("ManagedPolicyArns")
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                assert "*" not in _as_list(statement["Resource"]), statement
                assert not any(action.endswith("*") for action in _as_list(statement["Action"])), statement


def test_versions_are_not_kept_and_the_runtime_is_the_chosen_one(template: dict[str, Any]) -> None:
    assert not resources_of_type(template, "AWS::Lambda::Version")
    for function in resources_of_type(template, "AWS::Lambda::Function").values():
        assert function["Runtime"] == "python3.13"
        assert function["Architectures"] == ["arm64"]
        assert function["Layers"] == [{"Ref": "DependenciesLambdaLayer"}]


def test_both_gateways_are_throttled_and_neither_answers_foreign_origins(template: dict[str, Any]) -> None:
    for stage in resources_of_type(template, "AWS::ApiGatewayV2::Stage").values():
        assert stage["DefaultRouteSettings"]["ThrottlingRateLimit"] <= 100
    for api in resources_of_type(template, "AWS::ApiGatewayV2::Api").values():
        assert "CorsConfiguration" not in api


def test_a_socket_without_a_ticket_reaches_the_authorizer(template: dict[str, Any]) -> None:
    (authorizer,) = resources_of_type(template, "AWS::ApiGatewayV2::Authorizer").values()
    assert authorizer["IdentitySource"] == []


def test_functions_are_told_every_table(template: dict[str, Any]) -> None:
    for function in resources_of_type(template, "AWS::Lambda::Function").values():
        variables = function["Environment"]["Variables"]
        assert table_environment().keys() <= variables.keys()
        assert variables["STACK"] == "deployed"
        assert "REPLICATE_API_TOKEN" not in variables


def test_the_package_holds_our_code_only(packaged: Path) -> None:
    with zipfile.ZipFile(packaged / "simpletuner-cloud.zip") as archive:
        names = archive.namelist()
    assert "functions/http/read_health.py" in names
    assert {name.split("/")[0] for name in names} <= {"functions", "shared", "simpletuner-enterprise.yaml"}
    assert not [name for name in names if "__pycache__" in name]


@pytest.mark.parametrize("logical_id", ["JobsTable", "EventsTable", "JobTextsTable", "StateTable"])
def test_data_outlives_its_stack(logical_id: str) -> None:
    resource = load_template(STORAGE)["Resources"][logical_id]
    assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"
    assert resource["Properties"]["DeletionProtectionEnabled"] is True
    assert resource["Properties"]["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True


def test_tables_have_generated_names_so_that_one_can_be_replaced() -> None:
    for properties in table_definitions().values():
        assert "TableName" not in properties


def test_storage_writes_the_parameters_that_the_service_reads(template: dict[str, Any]) -> None:
    written = {
        parameter["Name"]["Fn::Sub"].replace("${Stage}", "dev")
        for parameter in resources_of_type(load_template(STORAGE), "AWS::SSM::Parameter").values()
    }
    read = {
        parameter["Default"]
        for parameter in template["Parameters"].values()
        if parameter["Type"] == "AWS::SSM::Parameter::Value<String>"
    }
    assert read == written


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
