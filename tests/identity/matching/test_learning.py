"""Tests that what pairs are like is learnt without labels, on records whose truth is known because it was made here."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from identity.evaluation import Evaluation, evaluate
from identity.matching.linker import Linker
from identity.matching.records import Values
from identity.matching.schema import Field, Schema

SCHEMA = Schema((Field("given", "given"), Field("family", "family"), Field("birth", "birth"), Field("town", "town")))
World = tuple[list[Linker[int]], list[int]]  # resolved in several orders; and whose each record is
SYLLABLES = ["an", "bel", "cor", "dim", "eva", "fro", "gus", "hel", "ing", "jon", "kat", "lor", "mir", "nel", "osk"]


def made(seed: int, people: int = 350) -> tuple[list[Values], list[int]]:
    """Records of families in towns, half of the people twice or more with slips of the pen, and whose each is."""
    chance = random.Random(seed)

    def word(count: int) -> str:
        return "".join(chance.choice(SYLLABLES) for _ in range(count))

    towns = [word(3) for _ in range(12)]
    records: list[tuple[Values, int]] = []
    while len(records) < people * 1.6:
        family, town = word(2), chance.choice(towns)
        for _ in range(chance.choice([1, 1, 2, 4])):
            birth = f"{chance.randint(1940, 2005)}{chance.randint(1, 12):02d}{chance.randint(1, 28):02d}"
            one = [word(2), family, birth, town]
            person = len(records)
            for _ in range(chance.choice([1, 1, 2, 3])):
                copy = [slipped(value, chance) if chance.random() < 0.12 else value for value in one]
                records.append((tuple(value if chance.random() < 0.95 else None for value in copy), person))
    chance.shuffle(records)
    return [values for values, _ in records], [person for _, person in records]


def slipped(value: str, chance: random.Random) -> str:
    """A value with one sign exchanged."""
    place = chance.randrange(len(value))
    sign = chance.choice("0123456789" if value[place].isdigit() else "aeionrst")
    return value[:place] + sign + value[place + 1 :]


def resolved(records: list[Values], order: int) -> Linker[int]:
    """A linker that has seen the records in an order of its own, and learnt at the end."""
    linker: Linker[int] = Linker(SCHEMA)
    numbered = list(enumerate(records))
    random.Random(order).shuffle(numbered)
    for start in range(0, len(numbered), 50):
        linker.add_all(numbered[start : start + 50])
    linker.refit()
    return linker


@pytest.fixture(scope="module", params=[1, 2])
def world(request: pytest.FixtureRequest) -> World:
    """Two worlds, each resolved in three orders."""
    records, truth = made(request.param)
    return [resolved(records, order) for order in range(3)], truth


def judged(linker: Linker[int], truth: list[int]) -> Evaluation:
    """How right people are."""
    found = {record: min(cluster) for cluster in linker.clusters() for record in cluster}
    return evaluate(found, dict(enumerate(truth)))


def test_people_are_found_and_families_are_not_one(world: World) -> None:
    """Without a label or a threshold set by hand; the model knows how many pairs there are to find."""
    linker, truth = world[0][0], world[1]

    result = judged(linker, truth)

    assert result.pairwise.precision > 0.97
    assert result.pairwise.recall > 0.9
    assert 0.85 < linker.estimated_matches() / result.pairs < 1.15


def test_orders_hardly_matter_while_learning(world: World) -> None:
    """With refits on the way, three orders end within .002 of each other, or two pairs where there are few."""
    results = [judged(linker, world[1]) for linker in world[0]]

    scores = [result.pairwise.f1 for result in results]
    assert max(scores) - min(scores) <= max(0.002, 2 / results[0].pairs)


def test_what_was_learnt_is_sound(world: World) -> None:
    """Every class is a distribution, better levels never speak less for one person, and a model knows its age."""
    model = world[0][0].model

    assert model.version >= 2
    assert model.records == len(world[1])
    for kind in (model.match, *model.others):
        assert kind.pairs > 0
        assert all(sum(levels[:-1]) == pytest.approx(1) for levels in kind.levels)
    for match, chance in zip(model.match.levels, model.chance.levels, strict=True):
        ratios = [mine / theirs for mine, theirs in zip(match[:-1], chance[:-1], strict=True)]
        assert all(better >= worse * 0.999 for better, worse in pairwise(ratios))


def test_nothing_is_learnt_from_nothing() -> None:
    """A linker without records, or with a few, goes on with what was written down."""
    linker: Linker[int] = Linker(SCHEMA)
    linker.refit()
    linker.add(1, ("eva", None, None, None))
    linker.add(2, (None, "jon", None, None))
    linker.refit()

    assert linker.model.version == 0
