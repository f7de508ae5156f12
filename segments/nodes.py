"""A segment definition as a tree: frozen nodes that can be compared, shared and counted.

    All, AnyOf, Not ─┬─ TraitIs(path, test)
                     └─ Measured(Count or Sum of Events, low, high)

Nodes are what `parse` makes; `compile` and `evaluate` give them their two equal meanings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Path = tuple[str, ...]

# Amounts are whole millionths, so that a sum is exact in whatever order it is taken.
MILLIONTHS = 1_000_000


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value that a definition gives. The kind is part of it, because in Python `True == 1`."""

    kind: Literal["text", "number", "truth", "moment"]
    value: str | float | bool | int


@dataclass(frozen=True, slots=True)
class Predicate:
    """An operator (a row of `operators.OPERATORS`) and the values given to it."""

    operator: str
    given: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True)
class TraitIs:
    """The profile's trait passes the test."""

    path: Path
    test: Predicate


@dataclass(frozen=True, slots=True)
class PropertyIs:
    """The event's property passes the test."""

    path: Path
    test: Predicate


@dataclass(frozen=True, slots=True)
class Events:
    """The profile's events of a type (of one name, if given) that pass every test and are at most `within` ms old."""

    type: str
    name: str | None = None
    where: tuple[PropertyIs, ...] = ()
    within: int | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """How many there are."""

    events: Events


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of their property, in millionths."""

    events: Events
    of: Path


@dataclass(frozen=True, slots=True)
class Measured:
    """The figure is at least `low` and at most `high`."""

    figure: Count | Sum
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Node


Condition = TraitIs | Measured
Node = All | AnyOf | Not | Condition


def place_in_list(part: str) -> int | None:
    """The place that a part of a path names in a list, counted from 0; None when it can only be a name."""
    return int(part) if part.isascii() and part.isdigit() and len(part) < 10 else None


def walk(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    """The node and all nodes below it, each with its place in the definition: `conditions.all[1].not`."""
    yield path, node
    match node:
        case All(parts):
            for place, part in enumerate(parts):
                yield from walk(part, f"{path}.all[{place}]")
        case AnyOf(parts):
            for place, part in enumerate(parts):
                yield from walk(part, f"{path}.any[{place}]")
        case Not(part):
            yield from walk(part, f"{path}.not")


def conditions(node: Node) -> Iterator[Condition]:
    """The leaves of the tree."""
    return (leaf for _, leaf in walk(node, "") if isinstance(leaf, Condition))


def weight(node: Node) -> int:
    """How many things are tested: conditions, and the filters within them."""
    return sum(1 + (len(leaf.figure.events.where) if isinstance(leaf, Measured) else 0) for leaf in conditions(node))
