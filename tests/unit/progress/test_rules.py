"""Each rule of the log reader says what its examples are for, and leaves alone what it leaves."""

from __future__ import annotations

import pytest

from shared.progress import rules
from shared.progress.rules import Rule

RULES = {name: rule for name, rule in vars(rules).items() if isinstance(rule, Rule)}
EXAMPLES = [pytest.param(rule, line, id=f"{name}: {line}") for name, rule in RULES.items() for line in rule.examples]
LEFT_ALONE = [pytest.param(rule, line, id=f"{name}: {line}") for name, rule in RULES.items() for line in rule.leaves]


@pytest.mark.parametrize(("rule", "line"), EXAMPLES)
def test_a_rule_says_what_it_is_for(rule: Rule, line: str) -> None:
    assert line == line.lower()
    assert rule.says(line)


@pytest.mark.parametrize(("rule", "line"), LEFT_ALONE)
def test_a_rule_leaves_alone_what_it_is_not_for(rule: Rule, line: str) -> None:
    assert line == line.lower()
    assert not rule.says(line)


@pytest.mark.parametrize("rule", [pytest.param(rule, id=name) for name, rule in RULES.items()])
def test_every_rule_has_examples_of_both_kinds(rule: Rule) -> None:
    assert rule.examples
    assert rule.leaves


def test_a_line_with_a_word_of_any_rule_is_worth_reading() -> None:
    lines = [line for rule in RULES.values() for line in rule.examples]

    assert [line for line in lines if not rules.MENTIONS.says(line)] == []
