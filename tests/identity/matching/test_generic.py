"""Tests of generic values."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from identity.matching.generic import Owners
from identity.matching.records import Values
from identity.matching.schema import Field, Schema

SCHEMA = Schema((Field("name", "name"), Field("user_id", "account")))
NAMES = ["olga ivanova", "petra kowalski", "nguyen quynh", "tran binh", "zoe", "nguyen binh", "olga kowalski", None]

records = st.dictionaries(st.integers(0, 20), st.sampled_from(NAMES).map(lambda name: (name, "u1")), max_size=10)


@settings(max_examples=120, deadline=None)
@given(st.data(), records, st.integers(0, 5))
def test_it_takes_so_many_who_have_no_word_in_common(data: st.DataObject, world: dict[int, Values], left: int) -> None:
    """In any order, and with some taken out again: generic means more than three names, no two of which can be one."""
    owners: Owners[int] = Owners(SCHEMA)
    for record in data.draw(st.permutations(list(world))):
        owners.add(record, world[record])
    for record in list(world)[:left]:
        owners.remove(record, world.pop(record))

    words = {frozenset(name.split()) - {"nguyen", "tran"} for name, _ in world.values() if name}
    clique = any(all(not a & b for a, b in combinations(some, 2)) for some in combinations(words, 4))
    assert bool(owners.generic) == clique


def test_a_slip_or_a_name_used_at_home_is_nobody_else() -> None:
    """One person, written in many ways, stays one."""
    owners: Owners[int] = Owners(SCHEMA)
    for number, name in enumerate(["elizabeth", "liz", "elizabteh", "bong", "elizabeth kowalski"]):
        owners.add(number, (name, "u1"))

    assert owners.people(1, "u1") == 1
    assert owners.generic == []


def test_those_whose_values_are_hidden_are_told() -> None:
    """When a value turns generic, all who hold it must be looked at again."""
    owners: Owners[int] = Owners(SCHEMA)
    told = [owners.add(number, (name, "u1")) for number, name in enumerate(["olga", "petra", "quynh", "kurt"])]

    assert told == [set(), set(), set(), {0, 1, 2, 3}]
    assert owners.visible(("olga", "u1")) == ("olga", None)
    assert owners.remove(3, ("kurt", "u1")) == {0, 1, 2}
