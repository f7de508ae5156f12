"""Tests of what is told about clusters that change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.matching.changes import changes_between

clusterings = st.lists(st.integers(0, 3), max_size=8).map(
    lambda labels: {frozenset(n for n, label in enumerate(labels) if label == one) for one in set(labels)}
)


@given(clusterings, clusterings)
def test_changes_lead_from_one_to_the_other(before: set[frozenset[int]], after: set[frozenset[int]]) -> None:
    """Taking what was and giving what is makes the new clustering; no record is in two changes."""
    changes = changes_between(before, after)
    followed = set(before)
    for change in changes:
        followed = followed.difference(change.before).union(change.after)
    touched = [{one for side in change for cluster in side for one in cluster} for change in changes]

    assert followed == after
    assert sum(map(len, touched)) == len(set().union(*touched))


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ([], [{1}], "new"),
        ([{1}], [], "gone"),
        ([{1}], [{1, 2}], "grown"),
        ([{1, 2}], [{1}], "shrunk"),
        ([{1}, {2}], [{1, 2}], "merged"),
        ([{1, 2}], [{1}, {2}], "split"),
        ([{1, 2}, {3}], [{1}, {2, 3}], "moved"),
    ],
)
def test_each_change_has_its_name(before: list[set[int]], after: list[set[int]], kind: str) -> None:
    """Words that people use for what happened to a profile."""
    (change,) = changes_between(map(frozenset, before), map(frozenset, after))

    assert change.kind == kind
