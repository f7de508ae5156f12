"""Generic values: what incompatible people use is nobody's own (a hotline, a cashier's number, an agent's login).

How often a value is seen is no test, for a faithful customer is seen often; what counts is how many people its records
speak of whose names cannot be one person's. A slip of the pen makes no new person, nor does a name used at home.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from functools import lru_cache
from typing import Generic, TypeVar

from rapidfuzz.distance import JaroWinkler

from cdp.forms import names
from cdp.forms.nicknames import alike
from identity.matching.schema import Schema, Values

K = TypeVar("K", bound=Hashable)
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
        self._generic: dict[tuple[int, str], bool] = {}

    def add(self, record: K, values: Values) -> set[K]:
        """Note whose values these are → the records that hold a value that has become generic by it."""
        words = self._words(values)
        changed: set[K] = set()
        for place, limit in self._owned:
            if (value := values[place]) is not None:
                holders = self._records.setdefault((place, value), {})
                new = words and words not in holders.values()
                holders[record] = words
                if new:
                    changed |= self._judge((place, value), limit)
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
                    changed |= self._judge((place, value), limit)
        return changed

    def visible(self, values: Values) -> Values:
        """A record's values without the generic ones."""
        if not self._generic:
            return values
        hidden = [place for place, _ in self._owned if (place, values[place]) in self._generic]
        if not hidden:
            return values
        return tuple(None if place in hidden else value for place, value in enumerate(values))

    @property
    def generic(self) -> list[tuple[int, str]]:
        """The generic values, each with the place of its field."""
        return sorted(self._generic)

    def _judge(self, value: tuple[int, str], limit: int) -> set[K]:
        """Decide anew whether a value is generic → its records if that has changed."""
        holders = self._records.get(value, {})
        generic = people(holders.values()) > limit
        if generic == (value in self._generic):
            return set()
        if generic:
            self._generic[value] = True
        else:
            del self._generic[value]
        return set(holders)

    def _words(self, values: Values) -> Words:
        """The words of a record's name that tell people apart."""
        for place in self._names:
            if name := values[place]:
                return telling(name)
        return frozenset(word for place in self._given for word in (values[place] or "").split() if len(word) > 1)


def people(found: Iterable[Words]) -> int:
    """How many people names speak of at least, given by the words that tell them apart; the order does not matter."""
    known: list[Words] = []
    for words in sorted({words for words in found if words}, key=lambda words: (len(words), sorted(words))):
        if not any(_compatible(words, other) for other in known):
            known.append(words)
    return len(known)


def telling(name: str) -> Words:
    """The words of a name that tell people apart; none of a name used at home."""
    found = names.read(name)
    return found.telling if found else NOTHING


def _compatible(one: Words, other: Words) -> bool:
    return any(_one_word(*sorted((mine, theirs))) for mine in one for theirs in other)


@lru_cache(1 << 16)
def _one_word(left: str, right: str) -> bool:
    return left == right or alike(left, right) or JaroWinkler.similarity(left, right) >= SLIP
