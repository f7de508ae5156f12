"""What leads from some people to others."""

from __future__ import annotations

import random
from itertools import combinations

from identity.differences import moves


def test_who_becomes_one_and_who_falls_into_several() -> None:
    """People who share a group merge, people in several groups split; whom nobody knew does neither."""
    people = {b"a": 1, b"b": 1, b"c": 2, b"d": 3}
    found = moves(people, [[b"a", b"c", b"x"], [b"b"], [b"d", b"y"], [b"z"]])

    assert found.merges == [[1, 2]]
    assert found.splits == [(1, 2)]


def test_as_counted_pair_by_pair() -> None:
    """Against counting every pair, on random partitions: two people merge, or one splits, just where a pair says so."""
    for seed in range(50):
        rng = random.Random(seed)
        before = {bytes([number]): rng.randrange(8) for number in range(20)}
        after = {bytes([number]): rng.randrange(8) for number in range(20)}
        groups = [[one for one in after if after[one] == number] for number in set(after.values())]
        found = moves(before, groups)
        pairs = list(combinations(before, 2))

        merged = {
            frozenset((before[a], before[b])) for a, b in pairs if after[a] == after[b] and before[a] != before[b]
        }
        split = {before[a] for a, b in pairs if before[a] == before[b] and after[a] != after[b]}
        assert {frozenset(pair) for group in found.merges for pair in combinations(group, 2)} == merged, seed
        assert {person for person, _ in found.splits} == split, seed
