"""What differs between two plans, in words, and whether an event that the one takes may break the other. Pure.

A change counts as breaking unless it surely is not: a schema without `additionalProperties: false` takes any property,
so describing one more may break events that were fine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from ingest.plans.plan import PlanBody
from ingest.plans.schemas import NAMED

Schema = Mapping[str, Any] | bool
Kind = Literal["added", "removed", "changed"]

ANY: Schema = True
TYPES = frozenset({"string", "integer", "number", "boolean", "object", "array", "null"})
STRICTNESS = ("observe", "quarantine", "block")
# What says something to people only.
NOTES = frozenset(
    {"title", "description", "examples", "default", "deprecated", "readOnly", "writeOnly"}
    | {"$comment", "$schema", "$id", "$defs", "definitions"}
)
LEAST = {
    "minimum": "the least value",
    "exclusiveMinimum": "the value it must be above",
    "minLength": "the least number of characters",
    "minItems": "the least number of items",
    "minProperties": "the least number of properties",
}
MOST = {
    "maximum": "the largest value",
    "exclusiveMaximum": "the value it must be below",
    "maxLength": "the largest number of characters",
    "maxItems": "the largest number of items",
    "maxProperties": "the largest number of properties",
}
# Rules that only ever refuse: without them more is taken.
RULES = {"pattern": "the pattern", "format": "the format", "multipleOf": "the step", "uniqueItems": "differing items"}
# These mean something else whenever any rule beside them changes.
ENTANGLED = frozenset({"unevaluatedProperties", "unevaluatedItems"})
COMPARED = frozenset(
    {"type", "enum", "const", "properties", "required", "additionalProperties", "items", *LEAST, *MOST, *RULES}
)


class Change(NamedTuple):
    """One difference. `path` leads to it in the plan."""

    change: Kind
    path: str
    words: str
    breaking: bool


_sorted = msgspec.json.Encoder(order="sorted").encode


def diff(old: PlanBody, new: PlanBody) -> list[Change]:
    """What must be done to the old plan to get the new one."""
    return [*_rules(old, new), *_events(old, new)]


def _rules(old: PlanBody, new: PlanBody) -> Iterator[Change]:
    if old.mode != new.mode:
        stricter = STRICTNESS.index(new.mode) > STRICTNESS.index(old.mode)
        yield Change("changed", "mode", f"the mode changes from {old.mode} to {new.mode}", stricter)
    if old.unplanned != new.unplanned:
        words = "events that the plan does not name " + (
            "are violations now" if new.unplanned == "violation" else "may come now"
        )
        yield Change("changed", "unplanned", words, new.unplanned == "violation")


def _events(old: PlanBody, new: PlanBody) -> Iterator[Change]:
    before = {(kind, name): schema for kind, name, schema in old.schemas()}
    after = {(kind, name): schema for kind, name, schema in new.schemas()}
    for kind, name in sorted(before.keys() | after.keys()):
        path = f"events.{name}" if kind == "track" else kind
        what = f"the event {name!r}" if kind == "track" else f"{kind} events"
        known, wanted = before.get((kind, name)), after.get((kind, name))
        if known is None:
            free = kind != "track" or old.unplanned == "allow"
            yield Change("added", path, f"{what} came into the plan", free and not _takes_all(wanted))
        elif wanted is None:
            lost = kind == "track" and new.unplanned == "violation"
            yield Change("removed", path, f"{what} went out of the plan", lost)
        else:
            yield from compare(inlined(known, known), inlined(wanted, wanted), path)


def _takes_all(schema: Any) -> bool:
    """Whether it surely takes every object."""
    return not {*schema} - NOTES - {"type"} and "object" in _types(schema)


def inlined(schema: Any, root: Mapping[str, Any]) -> Schema:
    """The schema with what it refers to in place of each reference. Of a checked schema, where that has an end."""
    if not isinstance(schema, Mapping):
        return bool(schema)
    rest = {name: _inlined(name, value, root) for name, value in schema.items() if name not in (*NOTES, "$ref")}
    if "$ref" not in schema:
        return rest
    target: Any = root
    for part in str(schema["$ref"]).removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        target = target[int(name)] if isinstance(target, list) else target[name]
    found = inlined(target, root)
    return {"allOf": [found], **rest} if rest else found


def _inlined(keyword: str, value: Any, root: Mapping[str, Any]) -> Any:
    if keyword in NAMED and isinstance(value, Mapping):
        return {name: inner if isinstance(inner, list) else inlined(inner, root) for name, inner in value.items()}
    if isinstance(value, list):
        return [inlined(inner, root) if isinstance(inner, Mapping) else inner for inner in value]
    if isinstance(value, Mapping) and keyword not in ("enum", "const", "dependentRequired"):
        return inlined(value, root)
    return value


def compare(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    """What differs between two schemas without references."""
    if _same(old, new):
        return
    if new is False or old is False:
        words = "it must not be there any more" if new is False else "it may be there now"
        yield Change("changed", path, words, new is False)
        return
    before: Mapping[str, Any] = {} if isinstance(old, bool) else old
    after: Mapping[str, Any] = {} if isinstance(new, bool) else new
    if (before.keys() | after.keys()) & ENTANGLED:
        yield Change("changed", path, "what it may hold beside what is described changes", True)
        return
    yield from _compare_types(before, after, path)
    yield from _compare_values(before, after, path)
    yield from _compare_bounds(before, after, path)
    yield from _compare_required(before, after, path)
    yield from _compare_properties(before, after, path)
    yield from _compare_items(before.get("items", ANY), after.get("items", ANY), path)
    for keyword in sorted((before.keys() | after.keys()) - COMPARED - NOTES):
        if keyword not in before or keyword not in after or not _same(before[keyword], after[keyword]):
            kind: Kind = "added" if keyword not in before else "removed" if keyword not in after else "changed"
            yield Change(kind, f"{path}.{keyword}", f"the rule {keyword} is {kind}", True)


def _same(old: Any, new: Any) -> bool:
    """Whether both are the same JSON: for Python true is 1 as well."""
    return bool(old == new and _sorted(old) == _sorted(new))


def _types(schema: Mapping[str, Any]) -> set[str]:
    given = schema.get("type", sorted(TYPES))
    types = {given} if isinstance(given, str) else set(given)
    return types | {"integer"} if "number" in types else types


def _compare_types(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[Change]:
    before, after = _types(old), _types(new)
    if before == after:
        return
    words = f"the type changes from {_said(old)} to {_said(new)}"
    yield Change("changed", f"{path}.type", words, bool(before - after))


def _said(schema: Mapping[str, Any]) -> str:
    given = schema.get("type", "anything")
    return given if isinstance(given, str) else " or ".join(given)


def _compare_values(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[Change]:
    before, after = _values(old), _values(new)
    if before is None and after is not None:
        yield Change("added", f"{path}.enum", f"only these values may come now: {_listed(after)}", True)
    elif before is not None and after is None:
        yield Change("removed", f"{path}.enum", "any value may come now", False)
    elif before is not None and after is not None:
        if lost := [one for one in before if one not in after]:
            yield Change("removed", f"{path}.enum", f"these values may not come any more: {_listed(lost)}", True)
        if gained := [one for one in after if one not in before]:
            yield Change("added", f"{path}.enum", f"these values may come too: {_listed(gained)}", False)


def _values(schema: Mapping[str, Any]) -> list[Any] | None:
    """The values that `enum` and `const` leave, told apart as JSON does: true is not 1."""
    given = [schema["const"]] if "const" in schema else schema.get("enum")
    if given is None:
        return None
    allowed = schema.get("enum", given)
    marked = [(type(one) is bool, one) for one in allowed]
    return [(type(one) is bool, one) for one in given if (type(one) is bool, one) in marked]


def _listed(values: list[Any]) -> str:
    text = ", ".join(str(value) for _, value in values)
    return text if len(text) <= 200 else f"{text[:200]} …"


def _compare_bounds(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[Change]:
    for keyword, name in (LEAST | MOST | RULES).items():
        before, after = old.get(keyword), new.get(keyword)
        if before == after:
            continue
        place = f"{path}.{keyword}"
        if after is None:
            yield Change("removed", place, f"{name} ({before}) is gone", False)
        elif before is None:
            yield Change("added", place, f"{name} is {after} now", after is not False)
        else:
            wider = (keyword in LEAST and after < before) or (keyword in MOST and after > before) or after is False
            yield Change("changed", place, f"{name} changes from {before} to {after}", not wider)


def _compare_required(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[Change]:
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(after - before):
        yield Change("added", f"{path}.required", f"{name!r} must be there now", True)
    for name in sorted(before - after):
        yield Change("removed", f"{path}.required", f"{name!r} may be missing now", False)


def _compare_properties(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[Change]:
    before, after = old.get("properties", {}), new.get("properties", {})
    others, allowed = old.get("additionalProperties", ANY), new.get("additionalProperties", ANY)
    undescribed = ANY if "patternProperties" in old else others  # a pattern may have let it pass
    for name in sorted(before.keys() | after.keys()):
        place = f"{path}.properties.{name}"
        if name in before and name in after:
            yield from compare(before[name], after[name], place)
        elif name in after:
            breaking = any(one.breaking for one in compare(undescribed, after[name], place))
            yield Change("added", place, f"the property {name!r} is described now{_briefly(after[name])}", breaking)
        else:
            breaking = any(one.breaking for one in compare(before[name], allowed, place))
            yield Change("removed", place, f"the property {name!r} is not described any more", breaking)
    if not _same(others, allowed):
        yield from _compare_others(others, allowed, path)


def _briefly(schema: Schema) -> str:
    return f": {_said(schema)}" if isinstance(schema, Mapping) and "type" in schema else ""


def _compare_others(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    place = f"{path}.additionalProperties"
    if new is False:
        yield Change("changed", place, "properties that are not described may not come any more", True)
    elif old is False:
        yield Change("changed", place, "properties that are not described may come now", False)
    else:
        yield from compare(old, new, place)


def _compare_items(old: Any, new: Any, path: str) -> Iterator[Change]:
    if _same(old, new):
        return
    if isinstance(old, list) or isinstance(new, list):
        yield Change("changed", f"{path}.items", "the rule items is changed", True)
    else:
        yield from compare(old, new, f"{path}.items")
