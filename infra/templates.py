"""Reads CloudFormation and serverless YAML as plain data: `!Ref X` becomes `{"Ref": "X"}`, `!GetAtt A.B` a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]


class _TemplateLoader(yaml.SafeLoader):
    """A SafeLoader that also knows CloudFormation's short forms."""


def _short_form(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    name = tag if tag in {"Ref", "Condition"} else f"Fn::{tag}"
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if tag == "GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        raise yaml.constructor.ConstructorError(None, None, f"cannot read !{tag}", node.start_mark)
    return {name: value}


_TemplateLoader.add_multi_constructor("!", _short_form)


def load_template(path: Path) -> dict[str, Any]:
    """The file's mapping. Raises ValueError when the file holds anything else."""
    with path.open(encoding="utf-8") as stream:
        data = yaml.load(stream, Loader=_TemplateLoader)  # noqa: S506 - derived from SafeLoader
    if not isinstance(data, dict):
        raise ValueError(f"{path.name} does not hold a mapping")
    return data


def resources_of_type(template: dict[str, Any], resource_type: str) -> dict[str, dict[str, Any]]:
    """Logical id to properties of every resource of the type, in the file's order."""
    return {
        logical_id: resource["Properties"]
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == resource_type
    }
