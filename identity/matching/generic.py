"""Generic values: what incompatible people use is nobody's own (a hotline, a cashier's number, an agent's login).

How often a value is seen is no test, for a faithful customer is seen often; what counts is how many people its records
speak of whose names cannot be one person's: so many of them, no two of which have a word in common. More records never
make a value less generic. A slip of the pen makes no new person, nor does a name used at home.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Generic

from rapidfuzz.distance import JaroWinkler

from cdp.forms import names
from cdp.forms.nicknames import alike
from identity.matching.records import K, Values
from identity.matching.schema import Schema

Words = frozenset[str]

SLIP = 0.86  # Jaro–Winkler similarity above which two words of names may be one, mistyped
NOTHING: Words = frozenset()


class Owners(Generic[K]):
    """Who uses which value, and which values too many use."""

    def __init__(self, schema: Schema) -> None:
        self._owned = [(place, field.role.owners) for place, field in enumerate(schema) if field.role.owners]
        self._names = schema.places("name")
        self._given = schema.places("given")
        self._records: dict[tuple[int, str], dict[K, Words]] = {}
        self._generic: set[tuple[int, str]] = set()

    def add(self, record: K, values: Values) -> set[K]:
        """Note whose values these are → the records that hold a value that has become generic by it."""
        words = self._words(values)
        changed: set[K] = set()
        for place, limit in self._owned:
            if (value := values[place]) is not None:
                holders = self._records.setdefault((place, value), {})
                known = (place, value) in self._generic or words in holders.values()
                holders[record] = words
                if not known and _clique(set(holders.values()), words, limit):
                    self._generic.add((place, value))
                    changed.update(holders)
        return changed

    def remove(self, record: K, values: Values) -> set[K]:
        """Forget whose values these were → the records that hold a value that is generic no more."""
        changed: set[K] = set()
        for place, limit in self._owned:
            if (value := values[place]) is not None:
                holders = self._records[place, value]
                words = holders.pop(record)
                if not holders:
                    del self._records[place, value]
                if (place, value) in self._generic and words not in holders.values():
                    names = set(holders.values())
                    if not any(_clique(names, one, limit) for one in names):
                        self._generic.remove((place, value))
                        changed.update(holders)
        return changed

    def visible(self, values: Values) -> Values:
        """A record's values without the generic ones."""
        if not self._generic:
            return values
        hidden = [place for place, _ in self._owned if (place, values[place]) in self._generic]
        if not hidden:
            return values
        return tuple(None if place in hidden else value for place, value in enumerate(values))

    def people(self, place: int, value: str) -> int:
        """How many people use a value of the field at `place`, as far as their names tell; at least one."""
        known: list[Words] = []
        for words in sorted(
            set(self._records.get((place, value), {}).values()), key=lambda one: (len(one), sorted(one))
        ):
            if words and all(_differ(words, other) for other in known):
                known.append(words)
        return max(len(known), 1)

    @property
    def generic(self) -> list[tuple[int, str]]:
        """The generic values, each with the place of its field."""
        return sorted(self._generic)

    def _words(self, values: Values) -> Words:
        """The words of a record's name that tell people apart."""
        for place in self._names:
            if name := values[place]:
                return telling(name)
        return frozenset(word for place in self._given for word in (values[place] or "").split() if len(word) > 1)


def telling(name: str) -> Words:
    """The words of a name that tell people apart; none of a name used at home."""
    found = names.read(name)
    return found.telling if found else NOTHING


def _clique(names: Iterable[Words], one: Words, others: int) -> bool:
    """Whether so many others of the names are incompatible with one and with each other."""
    if not one:
        return False
    return _incompatible([name for name in sorted(map(sorted, names)) if name and _differ(one, name)], others)


def _incompatible(names: Sequence[Sequence[str]], count: int) -> bool:
    if count <= 1:
        return len(names) >= count
    return any(
        _incompatible([later for later in names[place + 1 :] if _differ(name, later)], count - 1)
        for place, name in enumerate(names[: 1 - count])
    )


def _differ(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether two names have no word in common, not even a mistyped one."""
    return not any(_one_word(mine, theirs) for mine in one for theirs in other)


@lru_cache(1 << 16)
def _one_word(one: str, other: str) -> bool:
    return one == other or alike(one, other) or JaroWinkler.similarity(*sorted((one, other))) >= SLIP
