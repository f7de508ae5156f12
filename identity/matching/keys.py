"""Blocking keys: two records are compared when they have one in common, so that not every pair need be.

Each key forgives another slip. The table below is all there is: a recipe names roles, each perhaps cut to a part, and
makes one key for every choice of fields that have these roles. `given~family` is sorted: names are often exchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

from identity.matching.records import Values
from identity.matching.schema import Schema

RECIPES = (
    *("email", "phone", "document", "account", "card", "device"),
    *("email.mailbox", "email.front"),
    *("given~family", "given.three+family.three"),
    *("birth", "birth+origin"),
    *("given+birth.year", "family+birth.year", "given+birth.day", "family+birth.day"),
    *("house+street", "street+postcode"),
    *("street+given", "street+family", "town+given", "town+family", "postcode+given", "postcode+family"),
    *("postcode.district+given", "postcode.district+family"),
    *("name.words+birth", "name.words+street", "name.words+region", "name.words+town", "name.words+postcode"),
    *("name.words+phone.area", "name.words+phone.tail", "name.last+phone.head", "name.last+phone.tail"),
    *("name.ends", "name.first+birth.year", "name.last+birth.year", "name.first+postcode", "name.last+postcode"),
)
# Where no date of birth tells people apart, names need more help.
WITHOUT_BIRTH = (*("postcode+given.two", "postcode+family.two", "town+postcode+given.one", "town+postcode+family.one"),)
# Where no postcode says where somebody lives, a street alone is too many places.
WITHOUT_POSTCODE = ("street+region",)


def words(value: str) -> str | None:
    """The words of a name in one order; None for a single word, which too many people share."""
    found = sorted(value.split())
    return " ".join(found) if len(found) > 1 else None


def ends(value: str) -> str | None:
    """The first and the last word of a name, in one order; what stands between is often left out."""
    first, _, rest = value.partition(" ")
    return " ".join(sorted((first, rest.rpartition(" ")[2]))) if rest else None


def mailbox(value: str) -> str | None:
    """What stands before the @."""
    return value.rpartition("@")[0] or None


def district(value: str) -> str | None:
    """The first part of a postcode that has two."""
    first, _, second = value.partition(" ")
    return first if second else None


SEPARATOR = "\x1f"

Cut = Callable[[str], str | None]
CUTS: dict[str, Cut] = {
    "one": lambda value: value[:1],
    "two": lambda value: value[:2],
    "three": lambda value: value[:3],
    "front": lambda value: value[:5],
    "year": lambda value: value[:4],
    "day": lambda value: value[4:] if value[4:] != "0000" else None,
    "area": lambda value: value[3:7],
    "head": lambda value: value[:-4],
    "tail": lambda value: value[-4:],
    "words": words,
    "ends": ends,
    "first": lambda value: value.partition(" ")[0],
    "last": lambda value: value.rpartition(" ")[2],
    "mailbox": mailbox,
    "district": district,
}


class Part(NamedTuple):
    """A field, by its place in the schema, and the name of a cut; empty for the whole value."""

    place: int
    cut: str


class Key(NamedTuple):
    """A recipe applied to fields."""

    parts: tuple[Part, ...]
    exchangeable: bool = False

    @property
    def places(self) -> frozenset[int]:
        """The fields that it is made of."""
        return frozenset(part.place for part in self.parts)

    def owned(self, schema: Schema) -> bool:
        """Whether it is a whole value that one person owns."""
        role = schema.fields[self.parts[0].place].role
        return len(self.parts) == 1 and not self.parts[0].cut and bool(role.owners)

    def words(self, schema: Schema) -> str:
        """What two records with this key have in common."""
        return " and ".join(
            f"{schema.fields[part.place].name} ({part.cut})" if part.cut else schema.fields[part.place].name
            for part in self.parts
        )


def keys_of(schema: Schema) -> tuple[Key, ...]:
    """Every key that the schema's fields allow."""
    recipes: tuple[str, ...] = RECIPES
    for role, instead in (("birth", WITHOUT_BIRTH), ("postcode", WITHOUT_POSTCODE)):
        if not schema.places(role):
            recipes += instead
    return tuple(dict.fromkeys(key for recipe in recipes for key in _applied(recipe, schema)))


def _applied(recipe: str, schema: Schema) -> Iterator[Key]:
    exchangeable = "~" in recipe
    parts = [part.partition(".") for part in recipe.replace("~", "+").split("+")]
    for chosen in product(*(schema.places(role) for role, _, _ in parts)):
        yield Key(tuple(Part(place, cut) for place, (_, _, cut) in zip(chosen, parts, strict=True)), exchangeable)


class KeyMaker:
    """Makes the blocking keys of records. In `brief` they begin with a sign instead of the recipe's name."""

    def __init__(self, schema: Schema, keys: Sequence[Key], *, brief: bool = False) -> None:
        numbers: dict[Part, int] = {}
        for key in keys:
            for part in key.parts:
                numbers.setdefault(part, len(numbers))
        self._parts = [(part.place, CUTS.get(part.cut)) for part in numbers]
        named = [
            (
                chr(number) if brief else f"{key.words(schema)}{SEPARATOR}",
                [numbers[part] for part in key.parts],
                key,
            )
            for number, key in enumerate(keys, start=ord("!"))
        ]
        # Nearly all are made of two parts.
        self._twofold = [(name, parts[0], parts[1], key.exchangeable) for name, parts, key in named if len(parts) == 2]
        self._others = [(name, parts, key.exchangeable) for name, parts, key in named if len(parts) != 2]

    def __call__(self, values: Values) -> list[str]:
        """A record's values → its keys: the name of the recipe, and the values or parts of values."""
        pieces = []
        for place, cut in self._parts:
            value = values[place]
            pieces.append(value if value is None or cut is None else cut(value))
        made = []
        for name, one, other, exchangeable in self._twofold:
            if (mine := pieces[one]) and (theirs := pieces[other]):
                if exchangeable and theirs < mine:
                    mine, theirs = theirs, mine
                made.append(f"{name}{mine}{SEPARATOR}{theirs}")
        for name, parts, exchangeable in self._others:
            found = [piece for part in parts if (piece := pieces[part])]
            if len(found) == len(parts):
                made.append(name + SEPARATOR.join(sorted(found) if exchangeable else found))
        return made
