"""`simpletuner-enterprise.yaml`: the operator's file, read with line numbers, so that a mistake is told where it is.

Only the keys of docs/settings.md are read; whatever else SimpleTuner keeps in the same file is left alone. Every value
may hold `${VAR}` or `${VAR:-default}`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from shared.domain.errors import ConfigurationError

FILE_NAME = "simpletuner-enterprise.yaml"
PROJECT_ROOT = Path(__file__).resolve().parents[1]

MIN_POLL_SECONDS, MAX_POLL_SECONDS = 5.0, 86400.0
MIN_RECONCILE_SECONDS, MAX_RECONCILE_SECONDS = 60.0, 86400.0
DEFAULT_RECONCILE_SECONDS = 300.0

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?", re.ASCII)
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NOTHING = {"", "~", "null"}
_URL = re.compile(r"(?:https://[^\s@/]+|http://(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?)(?:/[^\s]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterpriseConfig:
    """What the file says. Intervals are seconds; None: the file says nothing about it."""

    polling_enabled: bool | None = None
    polling_interval: float | None = None
    reconcile_interval: float = DEFAULT_RECONCILE_SECONDS
    provider_defaults: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def load_enterprise_config(given: Path | None, environment: Mapping[str, str] | None = None) -> EnterpriseConfig:
    """Read `given`, else the project's own file, else nothing at all.

    A relative path begins at the project's root. Raises ConfigurationError with file, line, key and what was expected.
    """
    path = PROJECT_ROOT / (given or FILE_NAME)
    if given is None and not path.exists():
        return EnterpriseConfig()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read as UTF-8 text ({type(error).__name__}).") from None
    return parse_enterprise_config(text, str(path), os.environ if environment is None else environment)


def parse_enterprise_config(text: str, file: str, environment: Mapping[str, str]) -> EnterpriseConfig:
    """The config in a file's text; `file` is its name for errors."""
    root = _Section(_composed(text, file), file, "", environment)
    background = root.section("background")
    polling = background.section("job_status_polling", only=("enabled", "interval_seconds", "job_polling_interval"))
    reconcile = background.section("reconcile", only=("interval_seconds",))
    return EnterpriseConfig(
        polling_enabled=polling.switch("enabled"),
        polling_interval=_polling_interval(root, background, polling),
        reconcile_interval=_or(
            reconcile.seconds("interval_seconds", MIN_RECONCILE_SECONDS, MAX_RECONCILE_SECONDS, or_zero=True),
            DEFAULT_RECONCILE_SECONDS,
        ),
        provider_defaults=_provider_defaults(root.section("providers")),
    )


def _polling_interval(root: _Section, background: _Section, polling: _Section) -> float | None:
    """`interval_seconds`, or its alias `job_polling_interval` at any of the three levels; both only if they agree."""
    given: dict[str, float] = {}
    for section, key in (
        (polling, "interval_seconds"),
        (polling, "job_polling_interval"),
        (background, "job_polling_interval"),
        (root, "job_polling_interval"),
    ):
        seconds = section.seconds(key, MIN_POLL_SECONDS, MAX_POLL_SECONDS)
        if seconds is not None:
            given[section.path_of(key)] = seconds
            if len(set(given.values())) > 1:
                first, *_, last = given
                raise section.error(key, f"{last} and {first} to agree, since they mean the same; keep one of them")
    return next(iter(given.values()), None)


def _provider_defaults(providers: _Section) -> Mapping[str, Mapping[str, object]]:
    urls = {name: providers.section(name).url("webhook_url") for name in providers.names_of_sections()}
    return {name: {"webhook_url": url} for name, url in urls.items() if url}


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _composed(text: str, file: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{file}, line {mark.line + 1}, column {mark.column + 1}" if mark else file
        raise ConfigurationError(f"{where}: this is not valid YAML: {error.problem}.") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigurationError(f"{file}: this is not valid YAML ({type(error).__name__}).") from None


class _Section:
    """A mapping of the file with its place. An absent one is empty."""

    def __init__(self, node: yaml.Node | None, file: str, path: str, environment: Mapping[str, str]) -> None:
        self._file = file
        self._path = path
        self._environment = environment
        self._children: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        if node is None or (isinstance(node, yaml.ScalarNode) and node.value.lower() in _NOTHING):
            return
        if not isinstance(node, yaml.MappingNode):
            where = f"key {path}" if path else "the file"
            raise ConfigurationError(f"{self._place(node)}: {where} must be a mapping of keys to values.")
        for key, value in node.value:
            name = str(key.value)
            if name in self._children:
                raise ConfigurationError(f"{self._place(key)}: key {self.path_of(name)} stands here a second time.")
            self._children[name] = (key, value)

    def path_of(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def section(self, key: str, only: tuple[str, ...] = ()) -> _Section:
        """The mapping under a key. `only`: its known keys; any other is a mistake that would go unnoticed."""
        _, node = self._children.get(key, (None, None))
        child = _Section(node, self._file, self.path_of(key), self._environment)
        for name in child._children if only else ():
            if name not in only:
                raise child.error(name, f"one of the keys {', '.join(only)}")
        return child

    def names_of_sections(self) -> list[str]:
        return [name for name, (_, node) in self._children.items() if isinstance(node, yaml.MappingNode)]

    def switch(self, key: str) -> bool | None:
        text = self._text(key)
        if text is None:
            return None
        if text.lower() not in _WORDS:
            raise self.error(key, "true or false")
        return _WORDS[text.lower()]

    def seconds(self, key: str, least: float, most: float, *, or_zero: bool = False) -> float | None:
        text = self._text(key)
        if text is None:
            return None
        number = float(text) if _NUMBER.fullmatch(text) else None
        if number is None or not (least <= number <= most or (or_zero and number == 0)):
            zero = "0 (off) or " if or_zero else ""
            raise self.error(key, f"{zero}a number of seconds from {least:g} to {most:g}")
        return number

    def url(self, key: str) -> str | None:
        text = self._text(key)
        if text is not None and _URL.fullmatch(text) is None:
            raise self.error(key, "an https:// address (http:// only on loopback)")
        return text

    def error(self, key: str, expected: str) -> ConfigurationError:
        node, _ = self._children[key]
        return ConfigurationError(f"{self._place(node)}: key {self.path_of(key)} is wrong; expected {expected}.")

    def _text(self, key: str) -> str | None:
        """A value as text, its variables replaced; None when it is absent or empty."""
        if key not in self._children:
            return None
        _, node = self._children[key]
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(key, "a single value")
        if "${" in _VARIABLE.sub("", str(node.value)):
            raise self.error(key, "a variable to be written as ${NAME} or ${NAME:-default}")
        text = _VARIABLE.sub(lambda match: self._variable(key, match[1], match[2]), str(node.value)).strip()
        return None if text.lower() in _NOTHING else text

    def _variable(self, key: str, name: str, default: str | None) -> str:
        value = self._environment.get(name) or default
        if value is None:
            raise self.error(key, f"the environment variable {name} to be set, or a default: ${{{name}:-…}}")
        return value

    def _place(self, node: yaml.Node) -> str:
        return f"{self._file}, line {node.start_mark.line + 1}"
