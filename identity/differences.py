"""What leads from some people to others of the same observations: who become one, and who fall into several. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar

from identity.observations import Anchor

P = TypeVar("P", bytes, int)  # what a person is known by


class Moves(NamedTuple, Generic[P]):
    """`merges`: people who become one; `splits`: a person, and into how many they fall."""

    merges: list[list[P]]
    splits: list[tuple[P, int]]


def moves(people: Mapping[Anchor, P], groups: Iterable[Collection[Anchor]]) -> Moves[P]:
    """From people, by observation, to groups of observations. Whom nobody knew so far is neither merged nor split."""
    before = [sorted({people[anchor] for anchor in group if anchor in people}) for group in groups]
    parts = Counter(person for known in before for person in known)
    return Moves(
        [known for known in before if len(known) > 1],
        sorted((person, count) for person, count in parts.items() if count > 1),
    )
