"""Tests that people are a function of which records there are, and of what was decided by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.matching.limits import Limits
from identity.matching.linker import Linker
from identity.matching.records import Values
from identity.matching.schema import Field, Schema
from identity.matching.scoring import bits
from tests.identity.matching.oracle import partition
from tests.identity.matching.worlds import STREAM, TABLE, TIGHT, model_of, people, shuffled, worlds

Made = tuple[Schema, Limits]
Linkers: st.SearchStrategy[Made] = st.sampled_from(
    [(TABLE, TIGHT), (STREAM, TIGHT), (TABLE, Limits()), (STREAM, Limits())]
)


def linker_of(schema: Schema, limits: Limits) -> Linker[int]:
    """A linker with a frozen model."""
    return Linker(schema, model_of(schema), limits=limits)


@settings(max_examples=100, deadline=None)
@given(st.data(), worlds, Linkers)
def test_any_order_gives_what_the_oracle_says(data: st.DataObject, world: dict[int, Values], made: Made) -> None:
    """Records that come one by one, in any order, are the people that the rules make of all of them at once."""
    schema, limits = made
    linker = linker_of(schema, limits)
    for record, values in data.draw(shuffled(world)):
        linker.add(record, values)

    assert set(linker.clusters()) == partition(world, linker.model, limits, bits(0.5))
    assert set(linker.clusters(sure=True)) == partition(world, linker.model, limits, bits(0.95))


@settings(max_examples=75, deadline=None)
@given(st.data(), worlds, worlds, Linkers)
def test_what_was_removed_was_never_there(
    data: st.DataObject, world: dict[int, Values], others: dict[int, Values], made: Made
) -> None:
    """Adding in company, repeating, changing and removing again leaves exactly the people of what is left."""
    schema, limits = made
    linker = linker_of(schema, limits)
    guests = {100 + record: values for record, values in others.items()}
    linker.add_all([(record, data.draw(people)) for record in world if data.draw(st.booleans())])
    for record, values in data.draw(shuffled({**world, **guests})):
        linker.add(record, values)
    for record in data.draw(st.permutations(list(guests))):
        linker.remove(record)
        linker.remove(record)
    linker.add_all(world.items())

    assert set(linker.clusters()) == partition(world, linker.model, limits, bits(0.5))
    assert len(linker) == len(world)


@settings(max_examples=75, deadline=None)
@given(st.data(), worlds, Linkers)
def test_decisions_beat_the_evidence_in_any_order(data: st.DataObject, world: dict[int, Values], made: Made) -> None:
    """They may come before or after the records; a denial beats an assert; withdrawn, all is as before."""
    schema, limits = made
    linker = linker_of(schema, limits)
    pairs = st.tuples(st.integers(0, 13), st.integers(0, 13)).filter(lambda pair: pair[0] < pair[1])
    decisions = data.draw(st.dictionaries(pairs, st.booleans(), max_size=4))
    steps: list[Callable[[], object]] = [partial(linker.add, *one) for one in world.items()]
    steps += [partial(linker.assert_one if same else linker.deny_one, *pair) for pair, same in decisions.items()]
    for step in data.draw(st.permutations(steps)):
        step()

    asserted = frozenset(pair for pair, same in decisions.items() if same)
    denied = frozenset(pair for pair, same in decisions.items() if not same)
    expected = partition(world, linker.model, limits, bits(0.5), asserted=asserted, denied=denied)
    assert set(linker.clusters()) == expected
    for pair in decisions:
        linker.withdraw(*reversed(pair))
    assert set(linker.clusters()) == partition(world, linker.model, limits, bits(0.5))


@settings(max_examples=75, deadline=None)
@given(st.data(), worlds, Linkers)
def test_changes_tell_the_whole_story(data: st.DataObject, world: dict[int, Values], made: Made) -> None:
    """Who follows the changes, in either view, knows the people."""
    schema, limits = made
    linker = linker_of(schema, limits)
    followed: dict[bool, set[frozenset[int]]] = {False: set(), True: set()}
    steps = [*data.draw(shuffled(world)), *((record, None) for record in world if data.draw(st.booleans()))]
    for record, values in steps:
        changes = linker.remove(record) if values is None else linker.add(record, values)
        for sure, told in ((False, changes.likely), (True, changes.sure)):
            for change in told:
                assert followed[sure].issuperset(change.before)
                followed[sure] = followed[sure].difference(change.before).union(change.after)

    assert followed == {sure: set(linker.clusters(sure=sure)) for sure in (False, True)}


@settings(max_examples=50, deadline=None)
@given(worlds, Linkers)
def test_views_nest_and_doubts_lie_between(world: dict[int, Values], made: Made) -> None:
    """Who is surely one person is likely one; doubts are joins between clusters of the strict view."""
    schema, limits = made
    linker = linker_of(schema, limits)
    linker.add_all(world.items())

    for cluster in linker.clusters(sure=True):
        assert cluster <= linker.person_of(min(cluster))
    for doubt in linker.doubts():
        assert 0.5 <= doubt.probability < 0.95
        assert linker.person_of(min(doubt.left)) == linker.person_of(min(doubt.right))


def test_a_repetition_costs_and_changes_nothing() -> None:
    """The same record again is no change."""
    linker = linker_of(TABLE, Limits())
    linker.add(1, ("lan", "tran", None, None, None))

    changes = linker.add(1, ("lan", "tran", None, None, None))

    assert changes == ([], [])


def test_a_path_leads_through_the_strongest_steps() -> None:
    """Two records that share nothing are one person's through a third; strangers have no path."""
    schema = Schema((Field("phone", "phone"), Field("email", "email"), Field("crm_id", "account")), profiles=True)
    linker: Linker[str] = Linker(schema, model_of(schema))
    linker.add("till", ("+84905000001", None, "C1"))
    linker.add("shop", ("+84905000001", "lan@shop.vn", "C1"))
    linker.add("news", (None, "lan@shop.vn", "C1"))
    linker.add("other", ("+84905000009", None, None))

    assert linker.path("till", "news")[0] == "till"
    assert linker.path("till", "news")[-1] == "news"
    assert linker.path("till", "other") == []


def test_a_household_is_a_relation_not_an_error() -> None:
    """Who shares an address and a family name, and not the first name and the birthday, is family."""
    schema = Schema(
        (Field("given", "given"), Field("family", "family"), Field("birth", "birth"), Field("street", "street"))
    )
    linker: Linker[int] = Linker(schema, model_of(schema))
    linker.add(1, ("petra", "kowalski", "19600302", "12 hauptstrasse"))
    linker.add(2, ("zoe", "kowalski", "19921117", "12 hauptstrasse"))
    linker.add(3, ("olga", "ivanova", "19921117", "7 ringweg"))

    assert linker.household_of(1) == [2]
    assert len(list(linker.clusters())) == 3


def test_what_joins_too_much_rings_the_alarm() -> None:
    """A component above the limit is held together at a higher bar, and says so."""
    linker = linker_of(TABLE, TIGHT)
    for number in range(6):
        linker.add(number, ("lan", "tran", "19900101", "+84905000001", "hue"))

    assert linker.too_large
    assert max(map(len, linker.clusters())) == 6


def test_a_faithful_customer_is_no_hotline() -> None:
    """Many records of one name keep a number that a few incompatible names make generic."""
    linker = linker_of(STREAM, Limits())
    for number in range(40):
        linker.add(number, ("minh" if number % 2 else "mihn", "tran", None, "+84905000001", None))
    assert linker.generic_values == []

    for number, name in enumerate(["olga", "petra", "quynh", "kurt"], start=100):
        linker.add(number, (name, None, None, "+84905000001", None))

    assert linker.generic_values == [("phone", "+84905000001")]
    linker.remove(103)
    assert linker.generic_values == []


@pytest.mark.parametrize("schema", [TABLE, STREAM])
def test_the_estimate_counts_pairs_of_one_person(schema: Schema) -> None:
    """What follows from other pairs is counted as well."""
    linker = linker_of(schema, Limits())

    assert linker.estimated_matches() == linker.model.match.pairs
