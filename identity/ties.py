"""Ties: what people decided by hand. An assert joins two observations whatever the limits; a deny beats everything."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import Struct

from identity.identifiers import Value
from identity.observations import Anchor, anchor_of, from_text

OBSERVATION = "observation"  # the type of an end that is one observation; its value is the anchor as text


class Tie(Struct, frozen=True, array_like=True):
    """`left` and `right` are identifiers or observations; an assert's ends are observations."""

    rule: Literal["assert", "deny"]
    left: Value
    right: Value

    @property
    def value(self) -> str:
        """Both ends as JSON text, as the ledger keeps them."""
        return msgspec.json.encode((self.left, self.right)).decode()

    @property
    def anchors(self) -> tuple[Anchor, Anchor]:
        """Both ends as anchors; an identifier's is the hash of it alone."""
        return _anchor(self.left), _anchor(self.right)


def tie(rule: Literal["assert", "deny"], left: Value, right: Value) -> Tie:
    """A tie; which end is named first makes no difference."""
    return Tie(rule, *sorted((left, right)))


def read_tie(rule: str, value: str) -> Tie:
    """A tie from the ledger. Raises `msgspec.ValidationError` when it is none."""
    left, right = msgspec.json.decode(value, type=tuple[Value, Value])
    return msgspec.convert((rule, left, right), Tie)


class Ties:
    """All ties, ready to be asked."""

    def __init__(self, ties: Iterable[Tie] = ()) -> None:
        self.all = frozenset(ties)
        self.asserts = sorted(tie.anchors for tie in self.all if tie.rule == "assert")
        self.joined: dict[Anchor, set[Anchor]] = defaultdict(set)
        for left, right in self.asserts:
            self.joined[left].add(right)
            self.joined[right].add(left)
        self._denied: dict[Value, set[tuple[int, bool]]] = defaultdict(set)
        for number, denied in enumerate(sorted((tie.left, tie.right) for tie in self.all if tie.rule == "deny")):
            for side, end in enumerate(denied):
                self._denied[end].add((number, bool(side)))
        self._ends = {from_text(value) for name, value in self._denied if name == OBSERVATION}

    def marks(self, anchor: Anchor, identifiers: Iterable[Value]) -> set[tuple[int, bool]]:
        """Which denies the observation stands in, and on which side. Opposite sides of one deny never join."""
        if not self._denied:
            return set()
        marks = {mark for value in identifiers for mark in self._denied.get(value, ())}
        if anchor in self._ends:
            marks |= {
                mark
                for (name, value), found in self._denied.items()
                if name == OBSERVATION and from_text(value) == anchor
                for mark in found
            }
        return marks


def _anchor(end: Value) -> Anchor:
    return from_text(end[1]) if end[0] == OBSERVATION else anchor_of([end], {})


NO_TIES = Ties()
