"""The trust model: a definition is hostile; it can choose among shapes of ours, and add values that are bound.

The SQL of a definition is parsed again here. It may hold only tables, functions and literals of ours, one statement,
and its text must be the same whatever the names, values and paths in the definition are.
"""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
import sqlglot
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from cdp.traits import Rules
from cdp.views import View
from cdp.warehouse.base import Warehouse
from segments.compile import compile_nodes, compile_preview
from segments.moments import PATTERN
from segments.parse import parse
from segments.testing import Stage
from tests.segments.strategies import NOW, definitions, rules
from tests.segments.test_compile import assert_same

TABLES = {"events", "trait_values", "statements", "identity_map", "sure_map", "anchors"}
LITERALS = {PATTERN, "^[-0-9]", '"', "[", "", "null", "UTC"}
FUNCTIONS = {
    *("JSONExtractRaw", "JSONExtractString", "JSONExtractFloat", "JSONExtractArrayRaw", "startsWith", "endsWith"),
    *(
        "position",
        "has",
        "notIn",
        "match",
        "toString",
        "toInt64",
        "toInt128",
        "toFloat64",
        "round",
        "least",
        "greatest",
    ),
    *("if", "ifNull", "arrayMap", "arrayFilter", "arrayExists", "arrayMin", "arrayPushBack", "arrayConcat", "minIf"),
    *("bitShiftLeft", "toUInt128", "indexOf", "tuple", "max", "maxIf"),
    *("countIf", "sumIf", "argMax", "argMaxIf", "count", "sumForEach", "groupArrayIf", "arrayElement"),
    *("toUnixTimestamp64Milli", "fromUnixTimestamp64Milli", "parseDateTime64BestEffortOrNull"),
}
HOSTILE = (
    "'",
    "\\'",
    "x'); DROP TABLE events; --",
    "' OR 1=1 --",
    "{p0:String}",
    "{profiles: Array(UUID)}",
    "`) FROM system.tables /*",
    "\"; SELECT file('/etc/passwd') --",
    "url('http://169.254.169.254/')",
    "%(now)s",
    "$1",
    "\x00\x01\n\r\t\b",
    "\\",
    "\\N",
    "’＇ʼ",
    "a.b\\.c",
)
# Digits would be places in lists, and words of ours would share their parameters.
words = st.sampled_from(HOSTILE) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(
    lambda text: not text.isdecimal() and text not in ("track", "page", "0")
)
patient = settings(deadline=None, max_examples=40)


def hostile(word: str, other: str) -> dict[str, Any]:
    """A definition with hostile words wherever one can stand."""
    path = [word, "0", other]
    tests: list[dict[str, Any]] = [
        {"is": "equals", "value": word},
        {"is": "not_equals", "value": other},
        {"is": "one_of", "value": [word, other, 1, True]},
        {"is": "contains", "value": word},
        {"is": "starts_with", "value": other},
        {"is": "ends_with", "value": word},
        {"is": "includes", "value": word},
        {"is": "is_set"},
    ]
    return {
        "all": [
            *({"trait": [word], **test} for test in tests),
            {"trait": path, "is": "equals", "value": word},
            {"event": word, "where": [{"property": path, **test} for test in tests], "within": "1h"},
            {"not": {"event": other, "type": "page", "sum": {"of": path, "at_least": 1}}},
        ]
    }


def assert_ours(sql: str) -> None:
    """One SELECT over our tables, with our functions and our literals."""
    [tree] = sqlglot.parse(sql, dialect="clickhouse")
    assert isinstance(tree, exp.Select)
    assert {table.name for table in tree.find_all(exp.Table)} <= TABLES
    assert {literal.this for literal in tree.find_all(exp.Literal) if literal.is_string} <= LITERALS
    named = {call.name for call in tree.find_all(exp.Anonymous)} | {
        call.this for call in tree.find_all(exp.CombinedAggFunc, exp.CombinedParameterizedAgg)
    }
    assert named <= FUNCTIONS, named - FUNCTIONS
    assert not list(tree.find_all(exp.Command, exp.Insert, exp.Drop, exp.Create, exp.Star, exp.Union))


@patient
@given(definitions, rules, st.sampled_from(get_args(View)))
def test_any_definition_compiles_to_what_is_ours(definition: Any, ruled: Rules, view: View) -> None:
    """Random definitions under random rules in either view: one SELECT, our tables, our functions, our literals."""
    for compiled in (compile_nodes, compile_preview):
        assert_ours(compiled([parse(definition)], ruled, view=view).sql)


@patient
@given(words, words)
def test_words_never_change_the_text_of_the_query(word: str, other: str) -> None:
    """The text of the query is the one that harmless words give; the words are all among the bound values."""
    assume(word != other)
    plan = compile_nodes([parse(hostile(word, other))])
    harmless = compile_nodes([parse(hostile("a", "b"))])

    assert plan.sql == harmless.sql
    assert_ours(plan.sql)
    assert word in plan.parameters.values()


@pytest.mark.parametrize("word", HOSTILE)
async def test_hostile_words_mean_themselves(warehouse: Warehouse, word: str) -> None:
    """Bound, each word is just a word: who has it is found, and the tables are still there."""
    stage = Stage(warehouse)
    match, other = stage.person(), stage.person()
    for profile_id, said in ((match, word), (other, "harmless")):
        properties = json.dumps({said: [{said: said}]})
        stage.event(
            stage.anchors(profile_id)[0], NOW, name=said, properties=properties, traits=json.dumps({said: said})
        )
    await stage.store()
    nodes = [
        parse({"event": word, "where": [{"property": [word, "0", word], "is": "equals", "value": word}]}),
        parse({"trait": [word], "is": "one_of", "value": [word, "x"]}),
        parse(hostile(word, word)),
    ]

    await assert_same(stage, warehouse, nodes, [match, other])
    assert await warehouse.value("SELECT count() FROM events") == 2
