"""Edits do what they say at the place they name, and nothing anywhere else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ingest.edits import ITEMS, AnyEdit, edited, steps

EDIT: TypeAdapter[AnyEdit] = TypeAdapter(AnyEdit)

EVENT = {
    "properties": {"total": "5", "a.b": 1, "products": [{"price": "1"}, {"price": 2.0, "old": 3}], "tags": ["x", "y"]}
}


def one(event: dict[str, Any], **edit: Any) -> dict[str, Any]:
    """The event's properties after one edit."""
    result: dict[str, Any] = edited(event, [EDIT.validate_python(edit)])["properties"]
    return result


@pytest.mark.parametrize(
    ("edit", "changed"),
    [
        ({"op": "set", "path": "properties.total", "value": 7}, {"total": 7}),
        ({"op": "set", "path": "properties.new.deep", "value": [1]}, {"new": {"deep": [1]}}),
        ({"op": "set", "path": 'properties["a.b"]', "value": 2}, {"a.b": 2}),
        (
            {"op": "set", "path": "properties.products[].currency", "value": "VND"},
            {"products": [{"price": "1", "currency": "VND"}, {"price": 2.0, "old": 3, "currency": "VND"}]},
        ),
        ({"op": "set", "path": "properties.tags[1]", "value": "z"}, {"tags": ["x", "z"]}),
        ({"op": "set", "path": "properties.tags[7]", "value": "z"}, {}),
        ({"op": "set", "path": "properties.total.inside", "value": 1}, {}),
        ({"op": "remove", "path": "properties.products[].old"}, {"products": [{"price": "1"}, {"price": 2.0}]}),
        ({"op": "remove", "path": "properties.tags[]"}, {"tags": []}),
        ({"op": "remove", "path": "properties.tags[0]"}, {"tags": ["y"]}),
        (
            {"op": "rename", "path": "properties.products[].old", "to": "properties.products[].cost"},
            {"products": [{"price": "1"}, {"price": 2.0, "cost": 3}]},
        ),
        ({"op": "rename", "path": "properties.products[].old", "to": "properties.products[].price"}, {}),
        ({"op": "rename", "path": "properties.tags[]", "to": "properties.x[]"}, {}),
        ({"op": "convert", "path": "properties.total", "to": "number"}, {"total": 5}),
        (
            {"op": "convert", "path": "properties.products[].price", "to": "integer"},
            {"products": [{"price": 1}, {"price": 2, "old": 3}]},
        ),
        ({"op": "convert", "path": "properties.tags", "to": "number"}, {}),
        ({"op": "convert", "path": "properties.none", "to": "number"}, {}),
        (
            {"op": "merge", "value": {"properties": {"tags": None, "x": {"y": None, "z": 1}}}},
            {"x": {"z": 1}, "tags": None},
        ),
    ],
)
def test_each_edit(edit: dict[str, Any], changed: dict[str, Any]) -> None:
    """What it names changes, all else stays; None stands for gone here."""
    expected = {name: value for name, value in (EVENT["properties"] | changed).items() if value is not None}
    assert one(EVENT, **edit) == expected


def test_a_value_can_move_out_of_the_properties() -> None:
    """A rename may lead anywhere that is not another list."""
    event = {"properties": {"email": "a@b.vn"}}
    moved = edited(
        event, [EDIT.validate_python({"op": "rename", "path": "properties.email", "to": "context.traits.email"})]
    )
    assert moved == {"properties": {}, "context": {"traits": {"email": "a@b.vn"}}}


@pytest.mark.parametrize(
    ("given_", "to", "expected"),
    [
        ("1850000", "number", 1850000),
        (" 12.5 ", "number", 12.5),
        ("1.850.000", "number", "1.850.000"),
        ("1e400", "number", "1e400"),
        ("NaN", "number", "NaN"),
        ("007", "integer", "007"),
        ("12.5", "integer", "12.5"),
        ("12.0", "integer", 12),
        (True, "number", True),
        (5, "string", "5"),
        (True, "string", "true"),
        ("Yes", "boolean", True),
        (0, "boolean", False),
        ("maybe", "boolean", "maybe"),
        (None, "string", None),
        ([1], "string", [1]),
    ],
)
def test_only_what_loses_nothing_is_converted(given_: Any, to: str, expected: Any) -> None:
    """A text that is no number as JSON has it stays as it is: it waits for a decision by eye."""
    result = one({"properties": {"x": given_}}, op="convert", path="properties.x", to=to)["x"]
    assert (type(result), result) == (type(expected), expected)


@pytest.mark.parametrize("path", ["", ".a", "a..b", "[0]", "[]", "a[", "a[x]", 'a["', "a.", "x" * 2 + ".y" * 30])
def test_what_is_no_path_is_refused(path: str) -> None:
    """With a sentence that shows one."""
    with pytest.raises(ValidationError):
        EDIT.validate_python({"op": "remove", "path": path})


NAMES = st.sampled_from(["a", "b", "c.d"])
VALUES = st.recursive(
    st.integers() | st.text(max_size=3) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)
PATHS = st.lists(NAMES.map(lambda name: f'["{name}"]') | st.sampled_from(["[]", "[0]", "[2]"]), max_size=4).map(
    lambda parts: "properties" + "".join(parts)
)
EDITS = st.one_of(
    st.builds(lambda path, value: {"op": "set", "path": path, "value": value}, PATHS, VALUES),
    st.builds(lambda path: {"op": "remove", "path": path}, PATHS),
    st.builds(lambda path, to: {"op": "rename", "path": path, "to": to}, PATHS, PATHS),
    st.builds(lambda path: {"op": "convert", "path": path, "to": "number"}, PATHS),
    st.builds(lambda value: {"op": "merge", "value": {"properties": value}}, VALUES),
)


@settings(max_examples=150, deadline=None)
@given(VALUES, st.lists(EDITS, max_size=3))
def test_any_edit_of_any_event(value: Any, edits: list[dict[str, Any]]) -> None:
    """No edit fails, changes the event it was given, or does more when it is done again (a list's items apart)."""
    event = {"properties": value, "userId": "lan"}
    before = repr(event)
    parsed = [EDIT.validate_python(edit) for edit in edits]
    once = edited(event, parsed)
    assert repr(event) == before
    assert once["userId"] == "lan"
    if not any("]" in str(edit.get("path")) and "[" in str(edit) for edit in edits):
        assert len(parsed) > 1 or edited(once, parsed) == once
    assert steps("a[].b[3]") == ["a", ITEMS, "b", 3]
