"""What two clusters of records say of one person as wholes, field by field, scored as one pair would be."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from identity.matching.clustering import CERTAIN
from identity.matching.records import Values
from identity.matching.scoring import Scorer


class Said(NamedTuple):
    """What two clusters say in one field: its level, how frequent the values are that agree, by how many pairs."""

    level: float
    frequency: float
    pairs: int


class Profiles:
    """The evidence of two clusters, in all fields that both say something in."""

    __slots__ = ("_bits", "_decided", "_said", "_scorer")

    def __init__(self, scorer: Scorer, said: tuple[Said | None, ...], decided: float = 0.0) -> None:
        self._scorer = scorer
        self._said = said
        self._decided = decided
        self._bits: float | None = None

    @classmethod
    def of(cls, scorer: Scorer, left: Values, right: Values, decided: float) -> Profiles:
        """The evidence of one pair; `decided` is its weight if somebody asserted or denied it, else 0."""
        said: list[Said | None] = []
        for place, (mine, theirs) in enumerate(zip(left, right, strict=True)):
            if mine is None or theirs is None:
                said.append(None)
            elif mine == theirs:
                said.append(Said(0, scorer.frequency(place, mine), 1))
            else:
                said.append(Said(scorer.levels(place, mine, theirs), 1.0, 1))
        return cls(scorer, tuple(said), decided)

    @property
    def bits(self) -> float:
        """The weight of the pattern that both make, unless somebody has decided."""
        if self._decided:
            return CERTAIN if self._decided > 0 else -inf
        if self._bits is None:
            self._bits = self._scorer.weight_of(
                [None if said is None else round(said.level) for said in self._said],
                [said.frequency for said in self._said if said is not None and round(said.level) == 0],
            )
        return self._bits

    def also(self, other: Profiles) -> Profiles:
        """What both clusters say towards a third."""
        fields = self._scorer.model.schema.fields
        said = tuple(
            _both(mine, theirs, single=field.role.single)
            for field, mine, theirs in zip(fields, self._said, other._said, strict=True)
        )
        decided = min(self._decided, other._decided) or max(self._decided, other._decided)
        return Profiles(self._scorer, said, decided)


def _both(mine: Said | None, theirs: Said | None, *, single: bool) -> Said | None:
    """Of what a person has one of the mean, of what a person may have several of the best."""
    if mine is None or theirs is None:
        return mine or theirs
    pairs = mine.pairs + theirs.pairs
    if single:
        level = (mine.level * mine.pairs + theirs.level * theirs.pairs) / pairs
        return Said(level, min(mine.frequency, theirs.frequency), pairs)
    best = min(mine, theirs)
    return Said(best.level, best.frequency, pairs)
