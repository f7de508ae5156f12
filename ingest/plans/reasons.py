"""What is wrong with an event, in words: errors of a validator → path, keyword and reason. Pure.

No reason repeats a value of the event: what people send may be personal, and violations are kept and shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from jsonschema_rs import ValidationError

from cdp import masking
from cdp.shapes import type_of

UNPLANNED = "unplanned"
NOTHING_KNOWN = "additionalProperties"
LONGEST_LISTED = 200


class Problem(NamedTuple):
    """One thing that is wrong. `path` leads to it in the event; `place` does so with `[]` for any item of a list."""

    path: str
    place: str
    keyword: str
    reason: str


def problems(errors: Iterable[ValidationError], root: str) -> Iterator[Problem]:
    """Each error as a problem; `root` is the part of the event that was validated, such as `properties`."""
    for error in errors:
        keyword, kind = error.kind.name, error.kind
        if keyword == "falseSchema" and error.schema_path[-1:] == ["additionalProperties"]:
            keyword = NOTHING_KNOWN  # of an object that may have no property at all, none is named
        for name in _names(keyword, kind):
            steps = [*error.instance_path, *name]
            yield Problem(_path(root, steps, "[{}]"), _path(root, steps, "[]"), keyword, _reason(keyword, error))


def _names(keyword: str, kind: Any) -> list[list[str]]:
    """What follows the path of an error: a property that is missing, or each one too many; else nothing."""
    if keyword == "required":
        return [[kind.property]]
    if hasattr(kind, "unexpected") and keyword != "unevaluatedItems":
        return [[name] for name in kind.unexpected]
    return [[]]


def _path(root: str, steps: Iterable[str | int], item: str) -> str:
    path = root
    for step in steps:
        path += item.format(step) if isinstance(step, int) else f".{masking.key(step)}"
    return path


def _reason(keyword: str, error: ValidationError) -> str:
    words = WORDS.get(keyword)
    return words(error.kind, error.instance) if words else f"It breaks the rule `{keyword}`."


def _listed(values: Iterable[Any]) -> str:
    text = ", ".join(map(str, values))
    return text if len(text) <= LONGEST_LISTED else f"{text[:LONGEST_LISTED]} …"


WORDS: Mapping[str, Callable[[Any, Any], str]] = {
    "required": lambda kind, value: "It is missing.",
    "type": lambda kind, value: f"It must be {' or '.join(kind.types)}, and is {type_of(value)}.",
    "enum": lambda kind, value: f"It must be one of: {_listed(kind.options)}.",
    "const": lambda kind, value: f"It must be {_listed([kind.expected_value])}.",
    "additionalProperties": lambda kind, value: "The plan does not know it.",
    "unevaluatedProperties": lambda kind, value: "The plan does not know it.",
    "format": lambda kind, value: f"It is not written as {kind.format}.",
    "pattern": lambda kind, value: f"It is not written as the pattern says: {_listed([kind.pattern])}",
    "minimum": lambda kind, value: f"It must be at least {kind.limit}.",
    "maximum": lambda kind, value: f"It must be at most {kind.limit}.",
    "exclusiveMinimum": lambda kind, value: f"It must be above {kind.limit}.",
    "exclusiveMaximum": lambda kind, value: f"It must be below {kind.limit}.",
    "multipleOf": lambda kind, value: f"It must be a multiple of {kind.multiple_of}.",
    "minLength": lambda kind, value: f"It must have at least {kind.limit} characters.",
    "maxLength": lambda kind, value: f"It must have at most {kind.limit} characters.",
    "minItems": lambda kind, value: f"It must have at least {kind.limit} items.",
    "maxItems": lambda kind, value: f"It must have at most {kind.limit} items.",
    "minProperties": lambda kind, value: f"It must have at least {kind.limit} properties.",
    "maxProperties": lambda kind, value: f"It must have at most {kind.limit} properties.",
    "uniqueItems": lambda kind, value: "Its items must differ.",
    "contains": lambda kind, value: "None of its items is as one must be.",
    "falseSchema": lambda kind, value: "It must not be there.",
    "anyOf": lambda kind, value: "It is none of what the plan allows.",
    "oneOf": lambda kind, value: "It is not exactly one of what the plan allows.",
    "not": lambda kind, value: "It is what the plan excludes.",
    "propertyNames": lambda kind, value: "The name of a property is not as the plan says.",
}
