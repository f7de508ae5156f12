"""What is called harmless never refuses what was taken before; and each change is told in words."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ingest.plans.diff import Change, compare, diff, inlined
from ingest.plans.plan import PlanBody

NAMES = st.sampled_from("ab")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, "", "x", "long text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "object", "array", "null"])


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas with schemas inside."""
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
            "properties": st.dictionaries(NAMES, inner, max_size=2),
            "patternProperties": st.dictionaries(NAMES, inner, max_size=1),
            "additionalProperties": inner,
            "required": st.lists(NAMES, max_size=2, unique=True),
            "items": inner,
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
            "unevaluatedProperties": st.booleans(),
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "const": VALUES,
            "minimum": st.integers(-2, 2),
            "maximum": st.integers(-2, 2),
            "maxLength": st.integers(0, 4),
            "minItems": st.integers(0, 2),
            "multipleOf": st.integers(1, 2),
            "format": st.just("date"),
            "uniqueItems": st.booleans(),
            "title": st.just("t"),
        },
    )


SCHEMAS = st.recursive(st.booleans() | st.just({}), schemas, max_leaves=4)


def takes(schema: Any, value: Any) -> bool:
    """Whether a value is valid."""
    return jsonschema_rs.validator_for(schema, validate_formats=True).is_valid(value)


@settings(max_examples=150, deadline=None)
@given(SCHEMAS, SCHEMAS, st.lists(VALUES, min_size=1, max_size=8))
def test_what_is_not_breaking_takes_all_that_was_taken(old: Any, new: Any, values: list[Any]) -> None:
    """Each value that the old schema takes is taken by the new one too, unless a change is called breaking."""
    assume(not any(change.breaking for change in compare(inlined(old, {}), inlined(new, {}), "")))
    assert [value for value in values if takes(old, value) and not takes(new, value)] == []


@settings(max_examples=200, deadline=None)
@given(
    schemas(SCHEMAS), st.sampled_from(["required", "type", "enum", "maximum", "items"]), st.lists(VALUES, max_size=8)
)
def test_a_rule_that_goes_breaks_nothing(old: dict[str, Any], keyword: str, values: list[Any]) -> None:
    """As above, on pairs that are near each other."""
    new = {name: value for name, value in old.items() if name != keyword}
    assume(not any(change.breaking for change in compare(inlined(old, {}), inlined(new, {}), "")))
    assert [value for value in values if takes(old, value) and not takes(new, value)] == []


@settings(max_examples=50, deadline=None)
@given(SCHEMAS)
def test_nothing_differs_from_itself(schema: Any) -> None:
    """Also when what it says to people was changed."""
    assert list(compare(inlined(schema, {}), inlined(schema, {}), "")) == []
    if isinstance(schema, dict):
        assert list(compare(inlined(schema, {}), inlined(schema | {"description": "new"}, {}), "")) == []


def of(**events: Any) -> PlanBody:
    """A plan."""
    return PlanBody(events=events)


ORDER = {
    "type": "object",
    "properties": {"total": {"type": "integer"}, "currency": {"enum": ["VND"]}},
    "required": ["total"],
}


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (ORDER, []),
        (ORDER | {"required": ["total", "currency"]}, [("added", "E.required", "'currency' must be there now", True)]),
        (ORDER | {"required": []}, [("removed", "E.required", "'total' may be missing now", False)]),
        (
            {**ORDER, "properties": {**ORDER["properties"], "total": {"type": "number"}}},
            [("changed", "E.properties.total.type", "the type changes from integer to number", False)],
        ),
        (
            {**ORDER, "properties": {"total": {"type": "integer"}, "currency": {"enum": ["USD"]}}},
            [
                ("removed", "E.properties.currency.enum", "these values may not come any more: VND", True),
                ("added", "E.properties.currency.enum", "these values may come too: USD", False),
            ],
        ),
        (
            {**ORDER, "properties": {**ORDER["properties"], "coupon": {"type": "string"}}},
            [("added", "E.properties.coupon", "the property 'coupon' is described now: string", True)],
        ),
        (
            {**ORDER, "properties": {"total": {"type": "integer"}}},
            [("removed", "E.properties.currency", "the property 'currency' is not described any more", False)],
        ),
        (
            ORDER | {"additionalProperties": False},
            [
                (
                    "changed",
                    "E.additionalProperties",
                    "properties that are not described may not come any more",
                    True,
                )
            ],
        ),
        (
            {
                "$defs": {"n": {"type": "integer"}},
                **ORDER,
                "properties": {**ORDER["properties"], "total": {"$ref": "#/$defs/n"}},
            },
            [],
        ),
    ],
)
def test_words(new: Any, expected: list[tuple[str, str, str, bool]]) -> None:
    """Each change says where it is, what it is, and whether it breaks anything."""
    assert diff(of(E=ORDER), of(E=new)) == [Change(kind, f"events.{path}", *rest) for kind, path, *rest in expected]  # type: ignore[arg-type]


def test_events_and_rules() -> None:
    """An event that comes under a plan may break it; with what is unplanned it is the other way round."""
    empty, one = PlanBody(), of(E=ORDER)
    assert [(change.change, change.breaking) for change in diff(empty, one)] == [("added", True)]
    assert [(change.change, change.breaking) for change in diff(one, empty)] == [("removed", False)]
    closed = PlanBody(unplanned="violation")
    wide = PlanBody(unplanned="violation", events={"E": ORDER})
    assert [change.breaking for change in diff(closed, wide)] == [False]
    assert [change.breaking for change in diff(wide, closed)] == [True]
    assert [(change.path, change.breaking) for change in diff(empty, PlanBody(mode="block"))] == [("mode", True)]
    assert [(change.path, change.breaking) for change in diff(closed, empty)] == [("unplanned", False)]
