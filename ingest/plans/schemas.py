"""Schemas of tracking plans: JSON Schema within bounds, compiled. Pure.

Whoever knows a write key can send to a compiled schema, so nothing in one may cost much: patterns run in linear time,
references stay inside the schema and never lead back to themselves, and what they expand to is bounded. Nothing is
fetched, from nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
from jsonschema_rs import RegexOptions, Validator

from cdp.errors import InvalidError

Schema = Mapping[str, Any]
Steps = tuple[str | int, ...]

MOST_NODES = 20_000
MOST_PATTERNS = 100
DEEPEST = 32
# Bytes that one compiled pattern may take.
PATTERN_BYTES = 1_000_000

# Where schemas stand in schemas: one, a list of them, or a mapping of them by name.
ONE = frozenset(
    {"additionalProperties", "additionalItems", "items", "contains", "not", "if", "then", "else", "propertyNames"}
    | {"unevaluatedItems", "unevaluatedProperties", "contentSchema"}
)
LISTED = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
NAMED = frozenset({"properties", "patternProperties", "dependentSchemas", "dependencies"})
DEFINED = frozenset({"$defs", "definitions"})
REFUSED = {
    "$dynamicRef": "Use `$ref`.",
    "$recursiveRef": "A schema may not refer to itself.",
    "$dynamicAnchor": "Use `$ref` with a path, such as #/$defs/price.",
    "$recursiveAnchor": "A schema may not refer to itself.",
    "$anchor": "Refer to a part by its path, such as #/$defs/price.",
}


def compiled(schema: Schema, path: str) -> Validator:
    """The validator of a schema. `path` leads to the schema, for errors.

    Raises `InvalidError` with the path of what is wrong: against the meta-schema, a reference to elsewhere, too much.
    """
    Bounds(schema, path).check()
    try:
        return jsonschema_rs.validator_for(
            dict(schema),
            validate_formats=True,
            ignore_unknown_formats=False,
            pattern_options=RegexOptions(size_limit=PATTERN_BYTES),
            offline=True,
        )
    except jsonschema_rs.ValidationError as error:
        raise InvalidError(_said(error), path=joined(path, error.instance_path), code="invalid_schema") from None
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise InvalidError(f"This is no JSON Schema: {error}.", path=path, code="invalid_schema") from None


def joined(path: str, steps: Any) -> str:
    """A path, longer by some steps: names after a dot, numbers in brackets."""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path.removeprefix(".")


def _said(error: jsonschema_rs.ValidationError) -> str:
    last = str(error.instance_path[-1]) if error.instance_path else ""
    if last == "pattern" or "patternProperties" in error.instance_path:
        return "This pattern cannot be used: no look-around, no back-references, and nothing that grows large."
    if last == "type":
        return "Not a type: use string, number, integer, boolean, object, array or null."
    return f"{error.message[:300]}."


class Bounds:
    """Looks at a schema before it is compiled."""

    def __init__(self, schema: Schema, path: str) -> None:
        self._schema = schema
        self._path = path
        self._patterns = 0
        self._weights: dict[int, int] = {}
        self._open: set[int] = set()

    def check(self) -> None:
        """Raises `InvalidError` with the path of what is too much, or leads elsewhere."""
        self._weight(self._schema, ())

    def _weight(self, schema: Any, steps: Steps) -> int:
        """How many schemas there are when all references are followed."""
        if not isinstance(schema, Mapping):
            return 1
        known = self._weights.get(id(schema))
        if known is None:
            if id(schema) in self._open:
                raise self._wrong("A schema may not refer to itself.", steps)
            self._open.add(id(schema))
            known = self._weights[id(schema)] = self._sum(schema, steps)
            self._open.discard(id(schema))
        return known

    def _sum(self, schema: Schema, steps: Steps) -> int:
        if len(steps) > DEEPEST * 2:
            raise self._wrong(f"Nested deeper than {DEEPEST} levels.", steps)
        for keyword, remedy in REFUSED.items():
            if keyword in schema:
                raise self._wrong(f"`{keyword}` cannot be used here. {remedy}", (*steps, keyword))
        if steps and isinstance(schema.get("$id", schema.get("id")), str):
            raise self._wrong("Only the outermost schema can have an `$id`.", steps)
        self._count_patterns(schema, steps)
        weight = 1 + sum(self._weight(inner, (*steps, *more)) for more, inner in children(schema))
        if "$ref" in schema:
            weight += self._weight(self._target(schema["$ref"], (*steps, "$ref")), (*steps, "$ref"))
        if weight > MOST_NODES:
            raise self._wrong(f"Too large: with its references followed it has more than {MOST_NODES} parts.", steps)
        return weight

    def _count_patterns(self, schema: Schema, steps: Steps) -> None:
        listed = schema.get("patternProperties")
        self._patterns += ("pattern" in schema) + (len(listed) if isinstance(listed, Mapping) else 0)
        if self._patterns > MOST_PATTERNS:
            raise self._wrong(f"More than {MOST_PATTERNS} patterns in one schema.", steps)

    def _target(self, reference: Any, steps: Steps) -> Any:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise self._wrong("A reference stays inside its schema, such as #/$defs/price: nothing is fetched.", steps)
        found: Any = self._schema
        for part in reference.removeprefix("#").split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            found = _inner(found, name)
            if found is None:
                raise self._wrong("This reference leads nowhere.", steps)
        return found

    def _wrong(self, reason: str, steps: Steps) -> InvalidError:
        return InvalidError(reason, path=joined(self._path, steps), code="invalid_schema")


def _inner(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name)
    if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
        return value[int(name)]
    return None


def children(schema: Schema) -> Iterator[tuple[Steps, Any]]:
    """The schemas that stand in a schema, each with the steps that lead to it."""
    for keyword, value in schema.items():
        if keyword in ONE and isinstance(value, Mapping | bool):
            yield (keyword,), value
        elif keyword in LISTED and isinstance(value, list):
            yield from (((keyword, number), inner) for number, inner in enumerate(value))
        elif (keyword in NAMED or keyword in DEFINED) and isinstance(value, Mapping):
            yield from (((keyword, name), inner) for name, inner in value.items() if not isinstance(inner, list))
