"""Two records' values → how likely they are one person.

The weight of a pair is the log2 of the odds for one person against everything else, so 0 is p = .5 and 4.25 is p = .95:

    weight = log2( M·m(g) / ( H·h(g) + (Σ N·n(g) + R·r(g)) · f ) )

over the classes of `identity.matching.model`. Capitals are how many pairs there are of a class, small letters how
likely the pattern of levels g is in it; f is how much more frequent the values on which the two agree are than values
on average. Three caches make it cheap: levels by pair of values, odds by pattern, rarity by value. Of most pairs little
need be known to say that they are strangers' (`Scorer.near`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from math import exp, log, log2, prod
from operator import mul
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from identity.matching.model import Model
from identity.matching.records import K, Values
from identity.matching.schema import Schema

MEMORY = 1 << 20  # pairs of values remembered per field; when there are more, all are forgotten
TINY, MOST = 1e-300, 600.0  # keep logarithms and powers finite
RAREST_TOGETHER = 5e-6  # no words together are believed to be rarer
ROUNDED = 1 + 1e-9  # more than all that rounding adds to odds


class Levels:
    """The level of any two values of a field; of those that are costly to compare it is remembered.

    It does not depend on a model.
    """

    def __init__(self, schema: Schema) -> None:
        comparisons = [field.comparison for field in schema]
        self.known = [_Known(one.level).level if one.costly else one.level for one in comparisons]
        self._levels = [one.level for one in comparisons]

    def __call__(self, place: int, left: str, right: str) -> int:
        """The level of two different values of the field at `place`."""
        return self.known[place](left, right) if left < right else self.known[place](right, left)

    def afresh(self, place: int, left: str, right: str) -> int:
        """The same, without looking it up or remembering it."""
        return self._levels[place](left, right) if left < right else self._levels[place](right, left)


class _Known:
    """The levels of pairs of values, the lesser one first, remembered."""

    def __init__(self, level: Callable[[str, str], int]) -> None:
        self._level = level
        self._known: dict[tuple[str, str], int] = {}

    def level(self, left: str, right: str) -> int:
        level = self._known.get((left, right))
        if level is None:
            if len(self._known) >= MEMORY:
                self._known.clear()
            level = self._known[left, right] = self._level(left, right)
        return level


class _Worded:
    """How much more frequent than on average values are, by the share of people who have each of their words."""

    def __init__(self, shares: Mapping[str, float], rarest: float, average: float) -> None:
        self._shares, self._rarest, self._average = shares, rarest, average
        self._known: dict[str, float] = {}

    def get(self, value: str, _: float) -> float:
        known = self._known.get(value)
        if known is None:
            if len(self._known) >= MEMORY:
                self._known.clear()
            known = self._known[value] = together(value, self._shares, self._rarest) / self._average
        return known


def together(value: str, shares: Mapping[str, float], rarest: float) -> float:
    """The share of people who have all words of a value, were they independent."""
    return max(prod(shares.get(word, rarest) for word in value.split()), RAREST_TOGETHER)


class Odds(NamedTuple):
    """Against a match: pairs of a household for each match, and pairs that agree by chance, on average values."""

    household: float
    chance: float


class Step(NamedTuple):
    """What speaks at least against a match in a pattern in which some fields that differ have not been compared.

    `place` is that of the one to compare next; negative when all have been, and then the odds are exact.
    """

    household: float
    chance: float
    place: int


class Scorer:
    """Scores pairs under a model."""

    def __init__(self, model: Model, levels: Levels | None = None) -> None:
        self.model = model
        self.levels = levels or Levels(model.schema)
        self._counts = [len(field.comparison.words) for field in model.schema]
        kinds = (model.match, *model.others)
        self._weighed = [kind.weighed for kind in model.others]
        # Logarithms, of every class at once: how many pairs there are; of each field how likely each level is, and,
        # last, what speaks least against a match when two values differ, however they compare.
        self._pairs = np.asarray([log(kind.pairs) for kind in kinds])
        self._logs: list[list[NDArray[np.float64]]] = []
        # How much more speaks for a class when two values prove to be different than when all that is known is that
        # they are not equal.
        self._telling: list[list[float]] = []
        for place, count in enumerate(self._counts):
            logs = [np.asarray([log(kind.levels[place][level]) for kind in kinds]) for level in range(count + 1)]
            against = [one - one[0] for one in logs[1:count]]
            self._logs.append([*logs, np.min(against, axis=0)])
            self._telling.append((against[-1] - self._logs[place][-1]).tolist())
        self._steps: dict[int, Step] = {}
        averages = model.average or (0.0,) * len(model.schema)
        self._rarity = [
            _Worded(words, rarest, average) if average else words
            for words, rarest, average in zip(model.rarity, model.rarest, averages, strict=True)
        ]
        # A pattern is written as one number, each field to a base of its own: its level, or, above the last, that a
        # value is missing, or that the two differ and have not been compared.
        self._bases = [*accumulate((count + 2 for count in self._counts), mul, initial=1)][:-1]
        self._fields = [
            (base, base * count, level, rarity, rarest)
            for base, count, level, rarity, rarest in zip(
                self._bases, self._counts, self.levels.known, self._rarity, model.rarest, strict=True
            )
        ]

    def weigh(self, left: Values, right: Values) -> float:
        """The weight of a pair, in bits."""
        code, frequency = 0, 1.0
        for mine, theirs, (base, absent, level, rarity, rarest) in zip(left, right, self._fields, strict=True):
            if mine is None or theirs is None:
                code += absent
            elif mine == theirs:
                frequency *= rarity.get(mine, rarest)
            else:
                code += base * (level(mine, theirs) if mine < theirs else level(theirs, mine))
        household, chance, _ = self._steps.get(code) or self._step_of(code)
        return -log2(household + chance * frequency + TINY)

    def near(self, values: Values, others: Iterable[K], values_of: Mapping[K, Values], least: float) -> dict[K, float]:
        """Those among others whose weight beside these values is at least so many bits, and that weight.

        Where values differ they are compared one after the other, those first by which a difference tells the most,
        until nothing that the rest could be is enough: most who meet are strangers.
        """
        most = 2.0**-least * ROUNDED
        steps, fields = self._steps, self._fields
        nothing, said = 0, []
        for place, (value, (base, absent, _, rarity, rarest)) in enumerate(zip(values, fields, strict=True)):
            if value is None:
                nothing += absent
            else:
                said.append((place, value, absent, absent + base, rarity.get(value, rarest)))
        found = {}
        for other in others:
            theirs = values_of[other]
            code, frequency = nothing, 1.0
            for place, value, absent, differs, often in said:
                its = theirs[place]
                if its == value:
                    frequency *= often
                else:
                    code += absent if its is None else differs
            while True:
                household, chance, place = steps.get(code) or self._step_of(code)
                if household + chance * frequency > most:
                    break
                if place < 0:
                    if (weight := -log2(household + chance * frequency + TINY)) >= least:
                        found[other] = weight
                    break
                left: Any = values[place]  # neither is missing, for they differ
                right: Any = theirs[place]
                base, absent, level, _, _ = fields[place]
                code += base * ((level(left, right) if left < right else level(right, left)) - 1) - absent
        return found

    def pattern(self, left: Values, right: Values) -> list[int | None]:
        """The level of each field; None where a value is missing."""
        return [
            None if mine is None or theirs is None else 0 if mine == theirs else self.levels(place, mine, theirs)
            for place, (mine, theirs) in enumerate(zip(left, right, strict=True))
        ]

    def frequency(self, place: int, value: str) -> float:
        """How much more frequent a value is than values of its field are on average."""
        return self._rarity[place].get(value, self.model.rarest[place])

    def weight_of(self, pattern: Sequence[int | None], frequencies: Iterable[float] = ()) -> float:
        """The weight of a pattern, in bits: the level of each field, None where a value is missing.

        `frequencies` are those of the values that agree, see `frequency`.
        """
        household, chance, _ = self._step_of(self._code(pattern))
        return -log2(household + chance * prod(frequencies) + TINY)

    def odds(self, left: Values, right: Values) -> Odds:
        """What speaks against a match of two records."""
        household, chance, _ = self._step_of(self._code(self.pattern(left, right)))
        agreed = enumerate(zip(left, right, strict=True))
        frequencies = (self.frequency(place, one) for place, (one, other) in agreed if one is not None and one == other)
        return Odds(household, chance * prod(frequencies))

    def _code(self, pattern: Sequence[int | None]) -> int:
        """A pattern, written as one number."""
        levels = zip(pattern, self._counts, self._bases, strict=True)
        return sum(base * (count if level is None else level) for level, count, base in levels)

    def _step_of(self, code: int) -> Step:
        """What speaks against a match in a pattern, written as one number."""
        if found := self._steps.get(code):
            return found
        rest, total, differing = code, np.zeros(len(self._pairs)), []
        for place, (count, logs) in enumerate(zip(self._counts, self._logs, strict=True)):
            rest, level = divmod(rest, count + 2)
            total += logs[level]
            if level > count:
                differing.append(place)
        match, *others = (self._pairs + total).tolist()
        household = chance = 0.0
        for other, weighed in zip(others, self._weighed, strict=True):
            ratio = exp(other - match if other - match < MOST else MOST)
            if weighed:
                chance += ratio
            else:
                household += ratio
        place = -1
        if differing:
            likeliest = 1 + others.index(max(others))
            place = max(differing, key=lambda one: self._telling[one][likeliest])
        found = self._steps[code] = Step(household, chance, place)
        return found


def probability(weight: float) -> float:
    """Bits → probability."""
    return float(1.0 / (1.0 + 2.0 ** min(-weight, 1000.0)))


def bits(probability: float) -> float:
    """A probability, neither 0 nor 1 → bits."""
    return log2(probability / (1.0 - probability))
