"""Definitions are read into trees; what is wrong is refused at its exact place, with what is allowed there."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.clock import DAY, HOUR
from cdp.errors import InvalidError
from segments.nodes import (
    All,
    AnyOf,
    Count,
    Events,
    Measured,
    Not,
    Predicate,
    PropertyIs,
    Scalar,
    Sum,
    TraitIs,
    conditions,
    walk,
)
from segments.operators import OPERATORS
from segments.parse import parse
from segments.schema import EXAMPLES, schema
from tests.segments.strategies import definitions

VALIDATOR = jsonschema.Draft202012Validator(schema())

ORDER = {"event": "Order Completed"}
WRONG: list[tuple[Any, str, str]] = [
    (None, "conditions", "A condition is needed here"),
    ([], "conditions", "an object with one of all, any, not, trait, event, type"),
    ({}, "conditions", "all, any, not, trait, event, type"),
    ({"all": []}, "conditions.all", "1 to 100 conditions"),
    ({"all": ORDER}, "conditions.all", "1 to 100 conditions"),
    ({"all": [ORDER], "any": [ORDER]}, "conditions.any", "allowed: all"),
    ({"all": [ORDER, {"any": [ORDER, {"not": 5}]}]}, "conditions.all[1].any[1].not", "A condition is needed here"),
    ({"all": [ORDER, ORDER | {"window": "1d"}]}, "conditions.all[1].window", "allowed: event, type, where, within"),
    (ORDER | {"withn": "1d"}, "conditions.withn", "did you mean `within`?"),
    (ORDER | {"within": "1y"}, "conditions.within", "like `90m`, `24h` or `30d`"),
    (ORDER | {"within": "0d"}, "conditions.within", "like `90m`"),
    (ORDER | {"within": "3661d"}, "conditions.within", "at most 3660d"),
    (ORDER | {"within": "٣d"}, "conditions.within", "like `90m`"),
    (ORDER | {"within": 30}, "conditions.within", "like `90m`"),
    (ORDER | {"type": "purchase"}, "conditions.type", "allowed: track"),
    ({"event": ""}, "conditions.event", "it is empty"),
    ({"event": "x" * 501}, "conditions.event", "up to 500 characters"),
    ({"event": "half \ud800"}, "conditions.event", "half a Unicode character"),
    ({"event": 5}, "conditions.event", "A text"),
    (ORDER | {"count": 3}, "conditions.count", "at_least, at_most, exactly, between"),
    (ORDER | {"count": {}}, "conditions.count", "Exactly one of"),
    (ORDER | {"count": {"at_least": 1, "at_most": 2}}, "conditions.count", "Exactly one of"),
    (ORDER | {"count": {"at_least": 1.5}}, "conditions.count.at_least", "A whole number"),
    (ORDER | {"count": {"at_least": True}}, "conditions.count.at_least", "A whole number"),
    (ORDER | {"count": {"at_least": -1}}, "conditions.count.at_least", "A whole number from 0"),
    (ORDER | {"count": {"between": [3, 1]}}, "conditions.count.between", "The smaller number comes first"),
    (ORDER | {"count": {"between": [3]}}, "conditions.count.between", "two numbers"),
    (ORDER | {"sum": {"at_least": 1}}, "conditions.sum.of", "which property"),
    (ORDER | {"sum": {"of": "total"}}, "conditions.sum", "Exactly one of"),
    (ORDER | {"sum": {"of": "total", "at_least": "5"}}, "conditions.sum.at_least", "A number is needed here, not `5`"),
    (ORDER | {"sum": {"of": "total", "at_least": 1e19}}, "conditions.sum.at_least", "cannot be larger than 1e+18"),
    (ORDER | {"sum": {"of": "total", "at_least": 1}, "count": {"at_least": 1}}, "conditions.sum", "either `count` or"),
    (ORDER | {"where": {}}, "conditions.where", "1 to 20 filters"),
    (ORDER | {"where": [{"is": "is_set"}]}, "conditions.where[0].property", "Which property"),
    (ORDER | {"where": [{"property": "a", "is": "is_set"}, {"property": "a"}]}, "conditions.where[1].is", "one of"),
    (ORDER | {"where": [{"property": ["a", ""], "is": "is_set"}]}, "conditions.where[0].property[1]", "empty"),
    ({"trait": "country"}, "conditions.is", "Say one of: equals"),
    ({"trait": "country", "is": "equal", "value": "VN"}, "conditions.is", "did you mean `equals`?"),
    ({"trait": "country", "is": ["equals"], "value": "VN"}, "conditions.is", "a list is not known here"),
    ({"trait": "country", "is": "equals"}, "conditions.value", "needs a text, a number, true or false"),
    ({"trait": "country", "is": "equals", "value": None}, "conditions.value", "not null"),
    ({"trait": "country", "is": "equals", "value": {}}, "conditions.value", "not an object"),
    ({"trait": "country", "is": "is_set", "value": "VN"}, "conditions.value", "takes no value"),
    ({"trait": "country", "is": "one_of", "value": []}, "conditions.value", "1 to 500 values"),
    ({"trait": "country", "is": "one_of", "value": ["VN", []]}, "conditions.value[1]", "not a list"),
    ({"trait": "age", "is": "at_least", "value": "5"}, "conditions.value", "A number is needed here, not `5`"),
    ({"trait": "age", "is": "at_least", "value": True}, "conditions.value", "not true or false"),
    ({"trait": "age", "is": "at_least", "value": float("nan")}, "conditions.value", "too large"),
    ({"trait": "age", "is": "at_least", "value": 10**400}, "conditions.value", "too large"),
    ({"trait": "age", "is": "between", "value": [2, 1]}, "conditions.value", "The smaller number comes first"),
    ({"trait": "age", "is": "between", "value": [1, "2"]}, "conditions.value[1]", "A number"),
    ({"trait": "born", "is": "before", "value": "21/11/2026"}, "conditions.value", "like `2026-11-21`"),
    ({"trait": "born", "is": "before", "value": "2026-02-29"}, "conditions.value", "A date or time"),
    ({"trait": "name", "is": "contains", "value": 5}, "conditions.value", "A text"),
    ({"trait": "a..b", "is": "is_set"}, "conditions.trait", "it is empty"),
    ({"trait": ".".join("abcdefghijk"), "is": "is_set"}, "conditions.trait", "up to 10 parts"),
    ({"trait": 5, "is": "is_set"}, "conditions.trait", "A name like"),
    ({"all": [ORDER] * 101}, "conditions.all", "1 to 100 conditions"),
    ({"all": [{"any": [ORDER] * 60}, {"any": [ORDER] * 60}]}, "conditions", "100 conditions and filters"),
    (
        {"all": [{"event": "a", "where": [{"property": "b", "is": "is_set"}] * 20}] * 5},
        "conditions",
        "100 conditions and",
    ),
    ({"trait": "a", "is": "one_of", "value": ["x" * 500] * 80}, "conditions", "30000 bytes at most"),
]


@pytest.mark.parametrize(("given", "path", "words"), WRONG, ids=lambda one: one if isinstance(one, str) else "")
def test_what_is_wrong_is_refused_at_its_place(given: Any, path: str, words: str) -> None:
    """The error's path leads to the fault, its message says what is allowed."""
    with pytest.raises(InvalidError) as caught:
        parse(given)

    assert (path, True) == (caught.value.path, words in caught.value.message), caught.value.message


def test_deep_nesting_is_refused() -> None:
    """A definition nested without end is refused, not followed."""
    deep: Any = ORDER
    for _ in range(2_000):
        deep = {"not": deep}

    with pytest.raises(InvalidError, match="20 deep"):
        parse(deep)


def test_a_definition_becomes_a_tree() -> None:
    """Every part of the language ends up in its node."""
    tree = parse(
        {
            "all": [
                {"trait": "address.city", "is": "one_of", "value": ["Huế", 1, True]},
                {
                    "event": "Order Completed",
                    "where": [{"property": ["a.b", "0"], "is": "is_set"}],
                    "within": "24h",
                    "sum": {"of": "total", "between": [0.1, 2]},
                },
                {"any": [{"type": "page"}, {"not": {"event": "X", "count": {"at_most": 0}, "within": "2w"}}]},
            ]
        }
    )

    assert tree == All(
        (
            TraitIs(
                ("address", "city"),
                Predicate("one_of", (Scalar("text", "Huế"), Scalar("number", 1.0), Scalar("truth", True))),
            ),
            Measured(
                Sum(
                    Events("track", "Order Completed", (PropertyIs(("a.b", "0"), Predicate("is_set")),), 24 * HOUR),
                    ("total",),
                ),
                100_000,
                2_000_000,
            ),
            AnyOf(
                (
                    Measured(Count(Events("page")), 1, None),
                    Not(Measured(Count(Events("track", "X", (), 14 * DAY)), None, 0)),
                )
            ),
        )
    )
    assert [path for path, _ in walk(tree, "conditions")] == [
        "conditions",
        "conditions.all[0]",
        "conditions.all[1]",
        "conditions.all[2]",
        "conditions.all[2].any[0]",
        "conditions.all[2].any[1]",
        "conditions.all[2].any[1].not",
    ]


def test_true_is_not_one() -> None:
    """Definitions that differ in a value's type only are different trees."""
    one, true = ({"trait": "vip", "is": "equals", "value": value} for value in (1, True))

    assert parse(one) != parse(true)


@given(definitions)
def test_the_schema_takes_what_the_parser_takes(definition: Any) -> None:
    """Whatever parses is valid by the JSON Schema."""
    assert list(conditions(parse(definition)))
    VALIDATOR.validate(definition)


# What JSON Schema cannot say: the order of two numbers, the number of all leaves, a calendar, depth, half characters.
UNSAID = (
    "smaller number",
    "100 conditions and",
    "bytes at most",
    "date or time",
    "up to 10 parts",
    "half a",
    "A length of time",
)


@pytest.mark.parametrize("given", [given for given, _, words in WRONG if not any(word in words for word in UNSAID)])
def test_the_schema_refuses_what_the_parser_refuses(given: Any) -> None:
    """What does not parse is not valid by the JSON Schema either, as far as JSON Schema can tell."""
    if "too large" not in str(refusal(given)) and "3660d" not in str(refusal(given)):
        assert not VALIDATOR.is_valid(given)


def refusal(given: Any) -> str:
    """Why it is refused."""
    with pytest.raises(InvalidError) as caught:
        parse(given)
    return caught.value.message


def test_the_schema_is_one_and_names_every_operator() -> None:
    """The schema is valid JSON Schema; each operator is in it with its meaning; its examples parse."""
    jsonschema.Draft202012Validator.check_schema(schema())
    text = str(schema())
    assert all(operator.name in text and operator.meaning in text for operator in OPERATORS.values())
    for example in EXAMPLES.values():
        parse(example["conditions"])
        VALIDATOR.validate(example["conditions"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    (
                        "all",
                        "any",
                        "not",
                        "trait",
                        "event",
                        "is",
                        "value",
                        "count",
                        "where",
                        "within",
                        "sum",
                        "of",
                        "property",
                        "x",
                    )
                ),
                inner,
            )
        ),
    )
)
def test_anything_at_all_parses_or_is_refused(given: Any) -> None:
    """No input makes the parser fail in another way than by refusing it, at a path below the root."""
    try:
        parse(given)
    except InvalidError as error:
        assert error.path.startswith("conditions")
