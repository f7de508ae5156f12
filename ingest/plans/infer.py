"""A plan learnt from events: types, what is always there, few values, formats. Pure.

The plan accepts every event it was learnt from. What looks personal is described, never repeated: no name of a property
and no value that `cdp.masking` would mask gets into a plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import jsonschema_rs
from jsonschema_rs import Validator

from cdp import masking
from cdp.records import EventType, PlanMode
from cdp.shapes import format_of, type_of
from ingest.plans.plan import MOST_EVENTS, JsonSchema, PlanBody

# Few values: so many at most, each seen several times on average, in a number that shows something.
MOST_VALUES = 12
TIMES_EACH = 3
LEAST_SEEN = 10
LONGEST_VALUE = 40
# Words in the name of a field whose values are as many as there are things.
OPEN = re.compile(
    r"(?i:(?:^|[_\s-])(?:ids?|sku|name|title|slug|number|no|url)$)|[a-z](?:Ids?|Sku|Name|Title|Number|Url)$"
)
# An object with more properties than these is a table of things, not a thing.
MOST_FIELDS = 100
DEEPEST = 8


class Sample(NamedTuple):
    """What one event said: a track event's `name`, and its properties or traits."""

    type: EventType
    name: str
    said: Mapping[str, Any]


class Inferred(NamedTuple):
    """A plan, and how many events of each type and name it was learnt from."""

    body: PlanBody
    events: dict[tuple[str, str], int]


def inferred(samples: Iterable[Sample], *, strict: bool = False, mode: PlanMode = "observe") -> Inferred:
    """The plan of these events; of more than MOST_EVENTS names, only of those. `strict`: anything else breaks it."""
    shapes: dict[tuple[str, str], Shape] = {}
    for sample in samples:
        place = (sample.type, sample.name if sample.type == "track" else "")
        if place not in shapes:
            if len(shapes) >= MOST_EVENTS:
                continue
            shapes[place] = Shape()
        shapes[place].see(sample.said, ())
    parts: dict[str, Any] = {"events": {}}
    for (kind, name), shape in sorted(shapes.items()):
        schema = shape.schema(strict=strict)
        if kind == "track":
            parts["events"][name] = schema
        else:
            parts[kind] = schema
    full = len(shapes) >= MOST_EVENTS
    body = PlanBody(mode=mode, unplanned="violation" if strict and not full else "allow", **parts)
    return Inferred(body, {place: shape.seen for place, shape in shapes.items()})


class Shape:
    """What was seen at one place."""

    def __init__(self) -> None:
        self.seen = 0
        self._types: set[str] = set()
        self._objects = 0
        self._fields: dict[str, Shape] | None = {}
        self._items: Shape | None = None
        self._texts = 0
        self._values: set[str] | None = set()
        self._format: str | None = None

    def see(self, value: Any, path: tuple[str, ...]) -> None:
        """Learn from a value; `path`: the names that lead to it."""
        self.seen += 1
        self._types.add(type_of(value))
        if isinstance(value, str):
            self._see_text(value, path)
        elif isinstance(value, Mapping):
            self._see_object(value, path)
        elif isinstance(value, list) and len(path) < DEEPEST:
            self._items = self._items or Shape()
            for inner in value:
                self._items.see(inner, (*path, "[]"))

    def _see_text(self, text: str, path: tuple[str, ...]) -> None:
        self._texts += 1
        found = _format_of(text)
        self._format = found if self._format in (None, found) else ""
        if self._values is not None:
            self._values.add(text)
            if len(self._values) > MOST_VALUES or len(text) > LONGEST_VALUE or _is_open(text, path):
                self._values = None

    def _see_object(self, value: Mapping[str, Any], path: tuple[str, ...]) -> None:
        self._objects += 1
        if self._fields is None or len(path) >= DEEPEST:
            self._fields = None
            return
        for name, inner in value.items():
            self._fields.setdefault(name, Shape()).see(inner, (*path, name))
        if len(self._fields) > MOST_FIELDS or any(masking.key(name) == masking.ANY_KEY for name in value):
            self._fields = None

    def schema(self, *, strict: bool) -> JsonSchema:
        """The schema of what was seen."""
        if not self._types:
            return {}
        types = sorted(self._types - {"integer"} if "number" in self._types else self._types)
        schema: JsonSchema = {"type": types[0] if len(types) == 1 else types}
        if "string" in types:
            schema |= self._text_schema(types)
        if "object" in types and self._fields is not None:
            schema |= _object_schema(self._fields, self._objects, strict=strict)
        if self._items is not None and self._items.seen:
            schema["items"] = self._items.schema(strict=strict)
        return schema

    def _text_schema(self, types: list[str]) -> JsonSchema:
        if self._format:
            return {"format": self._format}
        few = self._values is not None and self._texts >= max(LEAST_SEEN, TIMES_EACH * len(self._values))
        if few and self._values and set(types) <= {"string", "null"}:
            return {"enum": [*sorted(self._values), *([None] if "null" in types else [])]}
        return {}


def _object_schema(fields: Mapping[str, Shape], objects: int, *, strict: bool) -> JsonSchema:
    schema: JsonSchema = {"properties": {name: shape.schema(strict=strict) for name, shape in sorted(fields.items())}}
    if required := sorted(name for name, shape in fields.items() if shape.seen == objects):
        schema["required"] = required
    return schema | ({"additionalProperties": False} if strict else {})


def _format_of(text: str) -> str:
    """The format of a text, if the validator agrees; empty for none."""
    name = format_of(text)
    return name if name and _checks(name).is_valid(text) else ""


@cache
def _checks(name: str) -> Validator:
    return jsonschema_rs.validator_for({"format": name}, validate_formats=True, offline=True)


def _is_open(text: str, path: tuple[str, ...]) -> bool:
    """Whether a value must not, or hardly can, be one of few."""
    if OPEN.search(path[-1] if path[-1] != "[]" else ""):
        return True
    return masking.is_personal(path) or masking.looks_personal(text) or masking.looks_like_a_name(text)
