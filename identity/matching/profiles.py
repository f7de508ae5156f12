"""What two clusters of records say of one person as wholes, field by field, scored as one pair would be."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from identity.matching.clustering import CERTAIN
from identity.matching.records import Values
from identity.matching.scoring import Scorer


class Said(NamedTuple):
    """What two clusters say in one field: how many of their pairs are at each level; the rarest value shared."""

    pairs: tuple[int, ...]
    frequency: float

    def level(self, share: float) -> int:
        """The level that at least this share of the pairs reach; of a share of 0 the best."""
        needed = max(share * sum(self.pairs), 1)
        reached = 0
        for level, count in enumerate(self.pairs):
            reached += count
            if reached >= needed:
                return level
        return len(self.pairs) - 1

    def also(self, other: Said) -> Said:
        """What both say."""
        both = tuple(mine + theirs for mine, theirs in zip(self.pairs, other.pairs, strict=True))
        return Said(both, min(self.frequency, other.frequency))


class Profiles:
    """The evidence of two clusters, in all fields that both say something in."""

    __slots__ = ("_bits", "_decided", "_said", "_scorer")

    def __init__(self, scorer: Scorer, said: dict[int, Said], decided: float = 0.0) -> None:
        self._scorer = scorer
        self._said = said
        self._decided = decided
        self._bits: float | None = None

    @classmethod
    def of(cls, scorer: Scorer, left: Values, right: Values, decided: float) -> Profiles:
        """The evidence of one pair; `decided` is its weight if somebody asserted or denied it, else 0."""
        said = {}
        for place, (field, mine, theirs) in enumerate(zip(scorer.model.schema, left, right, strict=True)):
            if mine is not None and theirs is not None:
                level = 0 if mine == theirs else scorer.levels(place, mine, theirs)
                frequency = scorer.frequency(place, mine) if level == 0 else inf
                said[place] = Said(ONE[len(field.comparison.words)][level], frequency)
        return cls(scorer, said, decided)

    @property
    def bits(self) -> float:
        """The weight of the pattern that both make, unless somebody has decided."""
        if self._decided:
            return CERTAIN if self._decided > 0 else -inf
        if self._bits is None:
            pattern = self.pattern
            agreeing = [said.frequency for place, said in self._said.items() if pattern[place] == 0]
            self._bits = self._scorer.weight_of(pattern, agreeing)
        return self._bits

    @property
    def pattern(self) -> list[int | None]:
        """The level of each field; None where either says nothing."""
        fields = self._scorer.model.schema.fields
        pattern: list[int | None] = [None] * len(fields)
        for place, said in self._said.items():
            pattern[place] = said.level(fields[place].role.typical)
        return pattern

    def also(self, other: Profiles) -> Profiles:
        """What both clusters say towards a third."""
        said = self._said | other._said
        for place in self._said.keys() & other._said.keys():
            said[place] = self._said[place].also(other._said[place])
        decided = min(self._decided, other._decided) or max(self._decided, other._decided)
        return Profiles(self._scorer, said, decided)


def _ones(count: int) -> Sequence[tuple[int, ...]]:
    return [tuple(int(level == place) for place in range(count)) for level in range(count)]


ONE = [_ones(count) for count in range(12)]  # one pair at a level, by how many levels there are
