"""Tests that clusters join the nearest first, however many there are."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from identity.matching.clustering import CERTAIN, Pairs, agglomerate, agglomerate_pairs, groups

bits = st.sampled_from([-30.0, -4.0, -0.7, 0.1, 0.3, 2.0, 9.9, 14.0, CERTAIN, -CERTAIN]) | st.floats(-12, 12)


@st.composite
def components(draw: st.DrawFn) -> dict[int, dict[int, float]]:
    """The weights of every pair of some records."""
    size = draw(st.integers(1, 9))
    weights: dict[int, dict[int, float]] = {number: {} for number in range(size)}
    for one, other in combinations(range(size), 2):
        weights[one][other] = weights[other][one] = draw(bits)
    return weights


@settings(max_examples=200, deadline=None)
@given(components(), st.sampled_from([0.0, 4.25]))
def test_matrices_make_the_same_joins(weights: dict[int, dict[int, float]], least: float) -> None:
    """Few records or many: the same clusters join in the same order, by the same bits."""
    members = sorted(weights)

    one_by_one = agglomerate(members, lambda left, right: Pairs.of(weights[left][right]), least)

    assert agglomerate_pairs(members, weights, least) == one_by_one


@given(components())
def test_a_stricter_view_is_a_beginning_of_the_list(weights: dict[int, dict[int, float]]) -> None:
    """So views nest."""
    members = sorted(weights)
    joins = agglomerate_pairs(members, weights, 0.0)

    strict = agglomerate_pairs(members, weights, 4.25)

    assert joins[: len(strict)] == strict
    for cluster in groups(members, joins, 4.25):
        assert any(set(cluster) <= set(wide) for wide in groups(members, joins, 0.0))
