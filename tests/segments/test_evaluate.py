"""The plain meaning, in examples that a marketer would give."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.clock import DAY, HOUR
from segments.evaluate import Happened, History, holds, next_change, read, value_at
from segments.parse import parse
from tests.segments.strategies import EVENT_NAMES, NOW, TYPES, definitions, documents, moments, traits

NOBODY = History({}, [])


def somebody(*events: tuple[str, int, Any], **traits: Any) -> History:
    """A history: (name, how long ago, properties), and traits."""
    return History(traits, [Happened("track", name, NOW - ago, properties) for name, ago, properties in events])


CASES: list[tuple[str, Any, History, bool]] = [
    ("none is zero", {"event": "Order", "count": {"at_most": 0}}, NOBODY, True),
    ("none is exactly zero", {"event": "Order", "count": {"exactly": 0}}, NOBODY, True),
    ("the sum of none is zero", {"event": "Order", "sum": {"of": "total", "at_least": 0}}, NOBODY, True),
    ("at least one, if not said", {"event": "Order"}, NOBODY, False),
    ("missing is not unequal", {"trait": "country", "is": "not_equals", "value": "VN"}, NOBODY, False),
    ("but not equal is so", {"not": {"trait": "country", "is": "equals", "value": "VN"}}, NOBODY, True),
    ("null is missing", {"trait": "country", "is": "is_set"}, somebody(country=None), False),
    ("null is not set", {"trait": "country", "is": "is_not_set"}, somebody(country=None), True),
    ("empty is set", {"trait": "country", "is": "is_set"}, somebody(country=""), True),
    ("text is no number", {"trait": "age", "is": "equals", "value": 5}, somebody(age="5"), False),
    ("text is not compared", {"trait": "age", "is": "at_least", "value": 5}, somebody(age="9"), False),
    ("true is not one", {"trait": "vip", "is": "equals", "value": 1}, somebody(vip=True), False),
    ("whole or not", {"trait": "age", "is": "equals", "value": 5}, somebody(age=5.0), True),
    ("letters count", {"trait": "name", "is": "contains", "value": "lan"}, somebody(name="Ngọc Lan"), False),
    ("within a list", {"trait": "tags", "is": "includes", "value": "vip"}, somebody(tags=["new", "vip"]), True),
    (
        "into objects",
        {"trait": "address.city", "is": "equals", "value": "Huế"},
        somebody(address={"city": "Huế"}),
        True,
    ),
    ("a list, not a dot", {"trait": ["a.b"], "is": "is_set"}, somebody(**{"a.b": 1}), True),
    ("the edge is out", {"event": "Order", "within": "1h"}, somebody(("Order", HOUR, {})), False),
    ("just inside", {"event": "Order", "within": "1h"}, somebody(("Order", HOUR - 1, {})), True),
    ("now is in", {"event": "Order", "within": "1h"}, somebody(("Order", 0, {})), True),
    ("not yet", {"event": "Order"}, somebody(("Order", -1, {})), False),
    (
        "exact sums",
        {"event": "Order", "sum": {"of": "total", "exactly": 0.3}},
        somebody(("Order", 1, {"total": 0.1}), ("Order", 2, {"total": 0.2})),
        True,
    ),
    (
        "only numbers add up",
        {"event": "Order", "sum": {"of": "total", "exactly": 1}},
        somebody(
            ("Order", 1, {"total": 1}), ("Order", 2, {"total": "9"}), ("Order", 3, {"total": True}), ("Order", 4, {})
        ),
        True,
    ),
    (
        "filters",
        {
            "event": "Order",
            "where": [{"property": "products.0.sku", "is": "equals", "value": "ao-dai"}],
            "count": {"between": [1, 2]},
        },
        somebody(("Order", 1, {"products": [{"sku": "ao-dai"}]}), ("Order", 2, {"products": []})),
        True,
    ),
]


@pytest.mark.parametrize(
    ("definition", "history", "answer"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_definitions_mean(definition: Any, history: History, answer: bool) -> None:
    """The cases above."""
    assert holds(parse(definition), history, NOW) == answer


happened = st.builds(Happened, st.sampled_from(TYPES), st.sampled_from(EVENT_NAMES), moments, documents)


@given(definitions, traits, st.lists(happened, max_size=5))
def test_nothing_changes_before_the_next_change(definition: Any, stated: Any, events: list[Happened]) -> None:
    """Until the moment that `next_change` names, time alone changes no answer; at none, it never does."""
    node, history = parse(definition), History(stated, events)
    due = next_change([node], history, NOW)
    ever = {event.at + width + edge for event in events for width in (0, HOUR, DAY, 30 * DAY) for edge in (-1, 0, 1)}
    until = [moment for moment in ever if moment >= NOW and (due is None or moment < due)]

    assert {holds(node, history, moment) for moment in [NOW, *until]} == {holds(node, history, NOW)}
    assert due is None or due > NOW


def test_json_is_read_as_clickhouse_reads_it() -> None:
    """What its reader refuses is nothing, its widest integer has 64 bits, and of two equal keys the first counts."""
    assert read("1e400") is None
    assert read('{"a": NaN}') is None
    assert read('"\\ud800"') is None
    assert read("18446744073709551615") == 2**64 - 1
    assert read("18446744073709551616") == "18446744073709551616"
    assert read('{"a": 1, "a": 2}') == {"a": 1}


def test_digits_are_a_place_in_a_list_and_a_name_in_an_object() -> None:
    """`0` finds the first item, or the key "0"."""
    assert value_at({"a": ["x"]}, ("a", "0")) == "x"
    assert value_at({"a": {"0": "x"}}, ("a", "0")) == "x"
    assert value_at({"a": ["x"]}, ("a", "1")) is None
    assert value_at({"a": "x"}, ("a", "0")) is None
