"""Tests that components depend on the links alone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from identity.matching.components import Components
from identity.matching.limits import Limits

LIMITS = Limits(link=0.0, step=1.0, ceiling=3.0, component=3)
RECORDS = range(9)

weights = st.sampled_from([0.0, 1.0, 2.0, 3.0])
pairs = st.tuples(st.sampled_from(RECORDS), st.sampled_from(RECORDS)).filter(lambda pair: pair[0] < pair[1])
linked = st.dictionaries(pairs, weights, max_size=14)


def by_the_rules(
    records: set[int], links: dict[tuple[int, int], float], bar: float = 0.0
) -> set[tuple[frozenset[int], float]]:
    """The largest components that fit at the lowest bar; at the ceiling all fit."""
    found = set()
    left = set(records)
    while left:
        component = {min(left)}
        while more := {
            b if a in component else a
            for (a, b), weight in links.items()
            if weight >= bar and (a in component) != (b in component) and {a, b} <= records
        }:
            component |= more
        left -= component
        if len(component) <= LIMITS.component or bar >= LIMITS.ceiling:
            found.add((frozenset(component), bar))
        else:
            found |= by_the_rules(component, links, bar + LIMITS.step)
    return found


@settings(max_examples=200, deadline=None)
@given(st.data(), linked, linked)
def test_any_way_to_the_same_links_gives_the_same_components(
    data: st.DataObject, final: dict[tuple[int, int], float], early: dict[tuple[int, int], float]
) -> None:
    """Records and links that come, change and go in any order leave what the rules make of those that are left."""
    components: Components[int] = Components(LIMITS)
    for record in data.draw(st.permutations(RECORDS)):
        near = {
            other: weight
            for (a, b), weight in early.items()
            for other in (a, b)
            if record in (a, b) and other != record
        }
        components.add(record, {other: weight for other, weight in near.items() if other in components})
    components.unlink([pair for pair in early if pair not in final])
    components.link([(*pair, weight) for pair, weight in final.items() if early.get(pair) != weight])
    gone = set(data.draw(st.lists(st.sampled_from(RECORDS), unique=True, max_size=4)))
    for record in gone:
        components.remove(record)

    left = set(RECORDS) - gone
    assert {(frozenset(one.members), one.bar) for one in components} == by_the_rules(left, final)


def test_what_changed_is_told_once() -> None:
    """A newcomer changes the components that it is linked to, and no others."""
    components: Components[int] = Components(LIMITS)
    for record in range(4):
        components.add(record, {})
    components.changed.clear()

    components.add(4, {0: 1.0, 1: 1.0})

    assert [set(one.members) for one in components.changed] == [{0, 1, 4}]
    assert [one.members for one in components.gone] == [[1]]
