"""Tests that a key brings records together by which there are, not by who came first."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from identity.matching.index import Index
from identity.matching.keys import KeyMaker, keys_of
from identity.matching.limits import Limits
from identity.matching.records import Values
from identity.matching.schema import Field, Schema

SCHEMA = Schema((Field("phone", "phone"), Field("birth", "birth")))
KEYS = keys_of(SCHEMA)
LIMITS = Limits(bucket=3, representatives=2)

records = st.dictionaries(
    st.integers(0, 20),
    st.tuples(st.none() | st.sampled_from(["1", "2"]), st.none() | st.sampled_from(["19900101", "19611231"])),
    max_size=12,
)


def meeting(world: dict[int, Values]) -> set[tuple[int, int]]:
    """Who meets, by the rules alone."""
    met = set()
    for key in KEYS:
        make = KeyMaker(SCHEMA, [key])
        for made in {one for values in world.values() for one in make(values)}:
            bucket = sorted(record for record, values in world.items() if made in make(values))
            if key.owned(SCHEMA):
                met |= {pair for pair in combinations(bucket, 2) if pair[0] in bucket[: LIMITS.representatives]}
            elif len(bucket) <= LIMITS.bucket:
                met |= set(combinations(bucket, 2))
    return met


@settings(max_examples=120, deadline=None)
@given(st.data(), records, records)
def test_who_meets_is_told_step_by_step(
    data: st.DataObject, world: dict[int, Values], guests: dict[int, Values]
) -> None:
    """Following what each coming and going tells gives those who meet by the rules, and the index agrees."""
    guests = {100 + record: values for record, values in guests.items()}
    everybody = {**world, **guests}
    index: Index[int] = Index(SCHEMA, KEYS, LIMITS)
    present: dict[int, Values] = {}
    told: set[tuple[int, int]] = set()
    for record in [*data.draw(st.permutations(list(everybody))), *data.draw(st.permutations(list(guests)))]:
        values = everybody[record]
        if record in present:
            del present[record]
            change = index.remove(record, values)
            told = {pair for pair in told if record not in pair}
        else:
            change = index.add(record, values)
            present[record] = values
            told |= {(min(record, other), max(record, other)) for other in change.partners}
        told |= {(min(pair), max(pair)) for pair in change.met}
        parted = {(min(pair), max(pair)) for pair in change.parted}
        told -= {(a, b) for a, b in parted if not index.meet(a, present[a], b, present[b])}

    assert told == meeting(world)
    for record, values in world.items():
        partners = {a if b == record else b for a, b in told if record in (a, b)}
        assert index.partners(record, values) == partners
