"""What is no schema, or might cost too much, is refused when a plan is put, with the path of it."""

from __future__ import annotations

from typing import Any

import pytest

from cdp.errors import InvalidError
from ingest.plans.infer import Sample
from ingest.plans.plan import MOST_PROBLEMS, Plan, PlanBody
from ingest.plans.schemas import compiled
from ingest.plans.traffic import event_of


def nested(levels: int) -> dict[str, Any]:
    """A schema that deep."""
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


LAUGHS = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 9} for n in range(9)} | {"d9": {"type": "object"}}


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "strin"}, "type"),
        ({"properties": {"total": {"type": "numbr"}}}, "properties.total.type"),
        ({"properties": {"total": {"minimum": "0"}}}, "properties.total.minimum"),
        ({"properties": {"total": 5}}, "properties.total"),
        ({"required": "total"}, "required"),
        ({"properties": {"p": {"pattern": "("}}}, "properties.p.pattern"),
        ({"properties": {"p": {"pattern": "(?=a)b"}}}, "properties.p.pattern"),
        ({"properties": {"p": {"pattern": r"(a)\\1\1"}}}, "properties.p.pattern"),
        ({"properties": {"p": {"pattern": "((a{100}){100}){100}"}}}, "properties.p.pattern"),
        ({"properties": {"p": {"format": "nonsense"}}}, "properties.p.format"),
        ({"properties": {"p": {"$ref": "http://127.0.0.1:9/x"}}}, "properties.p.$ref"),
        ({"properties": {"p": {"$ref": "file:///etc/passwd"}}}, "properties.p.$ref"),
        ({"allOf": [{"$ref": "https://json-schema.org/draft/2020-12/schema"}]}, "allOf[0].$ref"),
        ({"properties": {"p": {"$ref": "#/$defs/none"}}}, "properties.p.$ref"),
        ({"$ref": "#"}, "$ref"),
        ({"properties": {"p": {"$ref": "#"}}}, "properties.p.$ref"),
        ({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}}, None),
        ({"$defs": LAUGHS, "$ref": "#/$defs/d0"}, None),
        ({"properties": {"p": {"$dynamicRef": "#x"}}}, "properties.p.$dynamicRef"),
        ({"properties": {"p": {"$id": "http://x/", "$ref": "#/a"}}}, "properties.p"),
        ({"$schema": "http://example.com/own"}, ""),
        (nested(40), None),
        (nested(2_000), None),
        ({"anyOf": [{"pattern": f"^{n}"} for n in range(101)]}, None),
        ({"anyOf": [{"minimum": n} for n in range(20_001)]}, None),
    ],
)
def test_what_is_refused(schema: dict[str, Any], path: str | None) -> None:
    """With the path that leads to it in the plan."""
    with pytest.raises(InvalidError) as refused:
        compiled(schema, "events.E")
    assert refused.value.code == "invalid_schema"
    assert refused.value.path.startswith("events.E")
    if path is not None:
        assert refused.value.path == f"events.E.{path}".rstrip(".")


def test_an_overlong_plan_is_refused() -> None:
    """However it is made up."""
    with pytest.raises(InvalidError):
        Plan(PlanBody(events={f"E{n}": {"description": "x" * 5_000} for n in range(250)}))


@pytest.mark.parametrize(
    "draft", ["http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"]
)
def test_references_stay_inside(draft: str) -> None:
    """A part of the schema can be used in several places; data that looks like a reference is data."""
    part = {"type": "string", "default": {"$ref": "http://x/"}}
    schema = {"$schema": draft, "definitions": {"a/b": part}, "properties": {"$ref": {"$ref": "#/definitions/a~1b"}}}
    validator = compiled(schema, "")
    assert validator.is_valid({"$ref": "x"})
    assert not validator.is_valid({"$ref": 5})


HOSTILE: list[tuple[dict[str, Any], Any, int]] = [
    ({"pattern": "^(a+)+$"}, "a" * 400_000 + "b", 1),
    ({"pattern": "^(a|a)*$"}, "a" * 400_000 + "b", 1),
    ({"uniqueItems": True}, [{"a": number} for number in range(40_000)], 0),
    ({"items": {"type": "string"}}, list(range(80_000)), 1),
    ({"items": {"type": "string"}}, list(range(100)), MOST_PROBLEMS),
    ({"additionalProperties": False}, {str(number): 1 for number in range(1_000)}, 1),
    ({"properties": {"a": {}}, "additionalProperties": False}, {str(n): 1 for n in range(1_000)}, MOST_PROBLEMS),
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("schema", "value", "problems"), HOSTILE)
def test_no_event_costs_much(schema: dict[str, Any], value: Any, problems: int) -> None:
    """An event made to be expensive comes to an end, and of very many problems only the first is looked for."""
    plan = Plan(PlanBody(events={"E": {"properties": {"p": schema}}}))
    assert len(plan.problems(event_of(Sample("track", "E", {"p": value})))) == problems
