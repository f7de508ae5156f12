"""A definition's conditions as JSON → the tree of `nodes`. `schema.py` says the same as JSON Schema.

{"all": [{"trait": "country", "is": "equals", "value": "VN"},
         {"event": "Order Completed", "where": [{"property": "total", "is": "greater_than", "value": 500000}],
          "within": "30d", "count": {"at_least": 3}},
         {"not": {"event": "Order Completed", "within": "1h"}}]}
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

from cdp.errors import InvalidError
from cdp.records import EventType
from segments import check
from segments.check import Json, a_choice, a_list, a_name, a_path, an_object
from segments.nodes import (
    All,
    AnyOf,
    Count,
    Events,
    Measured,
    Node,
    Not,
    Path,
    Predicate,
    PropertyIs,
    Scalar,
    Sum,
    TraitIs,
    weight,
)
from segments.operators import OPERATORS

ROOT = "conditions"
EVENT_TYPES: tuple[str, ...] = get_args(EventType)
BOUNDS = ("at_least", "at_most", "exactly", "between")

TEST_KEYS = ("is", "value")
TRAIT_KEYS = ("trait", *TEST_KEYS)
PROPERTY_KEYS = ("property", *TEST_KEYS)
EVENT_KEYS = ("event", "type", "where", "within", "count", "sum")

Bounds = tuple[int | None, int | None]


def parse(given: Json, path: str = ROOT) -> Node:
    """The tree. Raises `InvalidError` with the path of the first thing that is wrong."""
    node = _node(given, path, 1)
    if weight(node) > check.MOST_CONDITIONS:
        raise InvalidError(f"A segment can have {check.MOST_CONDITIONS} conditions and filters at most.", path=path)
    if len(json.dumps(given, ensure_ascii=False).encode()) > check.LARGEST_DEFINITION:
        raise InvalidError(f"A segment's conditions can have {check.LARGEST_DEFINITION} bytes at most.", path=path)
    return node


def _node(given: Json, path: str, depth: int) -> Node:
    if depth > check.DEEPEST:
        raise InvalidError(f"Conditions can be nested {check.DEEPEST} deep at most.", path=path)
    if not isinstance(given, dict):
        raise InvalidError(f"A condition is needed here: an object with one of {', '.join(KINDS)}.", path=path)
    kind = next((kind for kind in KINDS if kind in given), None)
    if kind is None:
        raise InvalidError(f"A condition needs one of the keys {', '.join(KINDS)}.", path=path)
    return KINDS[kind](given, path, depth)


def _all(given: Json, path: str, depth: int) -> Node:
    return All(_parts(an_object(given, path, allowed=("all",))["all"], f"{path}.all", depth))


def _any(given: Json, path: str, depth: int) -> Node:
    return AnyOf(_parts(an_object(given, path, allowed=("any",))["any"], f"{path}.any", depth))


def _not(given: Json, path: str, depth: int) -> Node:
    return Not(_node(an_object(given, path, allowed=("not",))["not"], f"{path}.not", depth + 1))


def _parts(given: Json, path: str, depth: int) -> tuple[Node, ...]:
    parts = a_list(given, path, most=check.MOST_CONDITIONS, of="conditions")
    return tuple(_node(part, f"{path}[{place}]", depth + 1) for place, part in enumerate(parts))


def _trait(given: Json, path: str, _: int) -> Node:
    an_object(given, path, allowed=TRAIT_KEYS)
    return TraitIs(a_path(given["trait"], f"{path}.trait"), _test(given, path))


def _test(given: dict[str, Json], path: str) -> Predicate:
    if "is" not in given:
        raise InvalidError(f"What is it to be? Say one of: {', '.join(OPERATORS)}.", path=f"{path}.is")
    operator = OPERATORS[a_choice(given["is"], f"{path}.is", allowed=OPERATORS)]
    return Predicate(operator.name, _value(given, f"{path}.value", operator.accepts))


def _value(given: dict[str, Json], path: str, accepts: check.Accepts) -> tuple[Scalar, ...]:
    if "value" in given:
        return accepts.read(given["value"], path)
    if accepts.schema is not None:
        raise InvalidError(f"`{given['is']}` needs {accepts.words} here.", path=path)
    return ()


def _event(given: Json, path: str, _: int) -> Node:
    an_object(given, path, allowed=EVENT_KEYS)
    events = Events(
        a_choice(given.get("type", "track"), f"{path}.type", allowed=EVENT_TYPES),
        a_name(given["event"], f"{path}.event") if "event" in given else None,
        _where(given["where"], f"{path}.where") if "where" in given else (),
        check.a_window(given["within"], f"{path}.within") if "within" in given else None,
    )
    if "count" in given and "sum" in given:
        raise InvalidError("A condition has either `count` or `sum`; join two with `all`.", path=f"{path}.sum")
    if "sum" in given:
        return _sum(given["sum"], f"{path}.sum", events)
    count = an_object(given.get("count", {"at_least": 1}), f"{path}.count", allowed=BOUNDS)
    return Measured(Count(events), *_bounds(count, f"{path}.count", check.a_count))


def _sum(given: Json, path: str, events: Events) -> Node:
    an_object(given, path, allowed=("of", *BOUNDS))
    if "of" not in given:
        raise InvalidError("The sum of which property? Name it here.", path=f"{path}.of")
    of: Path = a_path(given["of"], f"{path}.of")
    return Measured(Sum(events, of), *_bounds(given, path, check.an_amount))


def _where(given: Json, path: str) -> tuple[PropertyIs, ...]:
    filters = a_list(given, path, most=check.MOST_FILTERS, of="filters")
    return tuple(_property(one, f"{path}[{place}]") for place, one in enumerate(filters))


def _property(given: Json, path: str) -> PropertyIs:
    an_object(given, path, allowed=PROPERTY_KEYS)
    if "property" not in given:
        raise InvalidError("Which property? Name it here.", path=f"{path}.property")
    return PropertyIs(a_path(given["property"], f"{path}.property"), _test(given, path))


def _bounds(given: dict[str, Json], path: str, read: Callable[[Any, str], int]) -> Bounds:
    named = [key for key in BOUNDS if key in given]
    if len(named) != 1:
        raise InvalidError(f"Exactly one of {', '.join(BOUNDS)} is needed here.", path=path)
    [key] = named
    if key == "between":
        low, high = check.a_range(given[key], f"{path}.between", read)
        return low, high
    bound = read(given[key], f"{path}.{key}")
    return (bound if key != "at_most" else None), (bound if key != "at_least" else None)


# The key that tells which kind of condition an object is.
KINDS: dict[str, Callable[[Json, str, int], Node]] = {
    "all": _all,
    "any": _any,
    "not": _not,
    "trait": _trait,
    "event": _event,
    "type": _event,
}
