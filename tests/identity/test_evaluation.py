"""Tests of the figures that say how right a clustering is."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.evaluation import evaluate

labelled = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=9)


@given(labelled)
def test_figures_are_what_counting_gives(records: list[tuple[int, int]]) -> None:
    """Pairs counted one by one, B-cubed record by record, clusters compared as sets."""
    found, truth = (dict(enumerate(side)) for side in zip(*records, strict=True))
    result = evaluate(found, truth)

    mine = {pair for pair in combinations(found, 2) if found[pair[0]] == found[pair[1]]}
    right = {pair for pair in combinations(found, 2) if truth[pair[0]] == truth[pair[1]]}
    assert result.pairwise.precision == (len(mine & right) / len(mine) if mine else 1)
    assert result.pairwise.recall == (len(mine & right) / len(right) if right else 1)

    def sharing(labels: dict[int, int], record: int) -> set[int]:
        return {other for other in labels if labels[other] == labels[record]}

    both = [(sharing(found, record), sharing(truth, record)) for record in found]
    assert result.b_cubed.precision == pytest.approx(sum(len(a & b) / len(a) for a, b in both) / len(both))
    assert result.b_cubed.recall == pytest.approx(sum(len(a & b) / len(b) for a, b in both) / len(both))

    clusters, people = ({frozenset(pair[side]) for pair in both} for side in (0, 1))
    assert result.exact == (len(clusters & people) / len(clusters), len(clusters & people) / len(people))
    assert result.largest == max(map(len, clusters))


def test_the_over_merge_list_names_who_was_mixed_up() -> None:
    """The cluster with most people first; of each how many records it holds."""
    found = dict.fromkeys("abcde", "x") | dict.fromkeys("fg", "y")
    truth = dict(zip("abcdefg", ["lan", "lan", "an", "binh", "lan", "an", "an"], strict=True))

    result = evaluate(found, truth)

    assert [(one.cluster, one.people) for one in result.over_merged] == [
        ("x", (("lan", 3), ("an", 1), ("binh", 1))),
    ]
    assert result.worst == 3
    assert result.mixed == 1.0


def test_records_without_truth_do_not_count() -> None:
    """Only what both sides know is judged; nothing to judge is nothing wrong."""
    result = evaluate({"a": 1, "b": 1}, {"a": "lan"})

    assert (result.records, result.pairwise.f1) == (1, 1.0)
    assert evaluate({}, {}).b_cubed.f1 == 0.0
