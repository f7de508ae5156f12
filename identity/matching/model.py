"""What has been learnt: how likely each level of each field is among pairs of different kinds. Frozen, and a value.

A pair of records is of one of these classes, as Fellegi and Sunter's two are of one latent variable, with more values:

- *match*: one person.
- *household*: two people of a family or a house; what they share agrees as one person's does, the rest as by chance.
- *coincidence*, one class for each blocking key: two strangers whom the key has brought together.
- *chance*: any two records.

Without the household class relatives are taken for one person; without the rigid coincidences the household's learns
them and takes matches along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from identity.matching.keys import CUTS, Key, keys_of
from identity.matching.schema import Schema

Levels = tuple[float, ...]  # a probability for each level of a field, and the factor for a missing value

# The chance that a value which one person owns belongs to a second one as well.
SECOND_OWNER = 0.2
# What nothing has been learnt of: how often the two records of one person agree.
ASSUMED_MATCH = 0.85
ASSUMED_DIFFERENCE = 0.03
ASSUMED_CHANCE = 0.01


@dataclass(frozen=True)
class Kind:
    """A class of pairs: how many there are, and how likely each level of each field is among them.

    Behind the levels of a field stands the factor for a missing value, 1 where that says nothing. In a `weighed` class
    agreement is by chance, so it is the likelier the more frequent the value is.
    """

    pairs: float
    levels: tuple[Levels, ...]
    weighed: bool = True


@dataclass(frozen=True)
class Model:
    """What pairs are like.

    `rarity` holds for each weighed field how much more often than on average by chance two people agree on a value;
    what is not in it is as rare as `rarest` says. Where `average` is not 0 both are of single words instead: the share
    of people who have them. A value is as frequent as its words are together, against that average.
    """

    schema: Schema
    keys: tuple[Key, ...]
    match: Kind
    household: Kind | None
    coincidences: tuple[Kind, ...]
    chance: Kind
    rarity: tuple[Mapping[str, float], ...]
    rarest: tuple[float, ...]
    version: int = 0
    records: int = 0
    average: tuple[float, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether it was learnt of comparisons and keys that there still are: another release may have had others."""
        counts = [len(field.comparison.words) + 1 for field in self.schema]
        kinds = (self.match, *self.others)
        return all([len(levels) for levels in kind.levels] == counts for kind in kinds) and all(
            not part.cut or part.cut in CUTS for key in self.keys for part in key.parts
        )

    @property
    def others(self) -> tuple[Kind, ...]:
        """Every class of pairs that are not one person."""
        return (*((self.household,) if self.household else ()), *self.coincidences, self.chance)


def assumed_match(count: int) -> tuple[float, ...]:
    """How one person's values agree on `count` levels, before anything is known."""
    if count == 2:
        return (1 - ASSUMED_DIFFERENCE, ASSUMED_DIFFERENCE)
    between = (1 - ASSUMED_MATCH - ASSUMED_DIFFERENCE) / (count - 2)
    return (ASSUMED_MATCH, *[between] * (count - 2), ASSUMED_DIFFERENCE)


def assumed_model(schema: Schema, records: int = 1_000) -> Model:
    """What a linker begins with: written down, not learnt. `records` is how many it is right for."""
    counts = [len(field.comparison.words) for field in schema]
    chance = [(*[ASSUMED_CHANCE] * (count - 1), 1 - ASSUMED_CHANCE * (count - 1), 1.0) for count in counts]
    match = [(*assumed_match(count), 1.0) for count in counts]
    household = tuple(
        one if field.role.shared else other for field, one, other in zip(schema, match, chance, strict=True)
    )
    return Model(
        schema,
        keys_of(schema),
        Kind(records / 4, tuple(match), weighed=False),
        Kind(records / 4, household, weighed=False) if any(field.role.shared for field in schema) else None,
        (),
        Kind(records * (records - 1) / 2, tuple(chance)),
        tuple({} for _ in schema),
        tuple(1.0 for _ in schema),
    )
