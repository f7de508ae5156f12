"""Succession: who keeps which id when people merge and split."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from identity.succession import Heir, another_id, succeed

A, B, C, D = (bytes([n]) * 16 for n in range(1, 5))
OLD, NEW = b"o" * 16, b"n" * 16
SEEN = {A: 1, B: 2, C: 3, D: 4}
SINCE = {OLD: 1, NEW: 2}


def test_the_older_id_survives_a_merge() -> None:
    """Of two profiles that become one, the younger is absorbed."""
    assert succeed([[A, B]], {A: NEW, B: OLD}, SEEN, SINCE) == [Heir(OLD, (NEW,))]


def test_the_larger_part_keeps_the_id_of_a_split() -> None:
    """Where a profile falls apart, its id goes with most of its observations."""
    assert succeed([[A], [B, C]], dict.fromkeys((A, B, C), OLD), SEEN, SINCE) == [Heir(None, (), (OLD,)), Heir(OLD)]


def test_equal_parts_go_by_age() -> None:
    """Between equal parts the one that is known longer keeps the id."""
    assert succeed([[B], [A]], {A: OLD, B: OLD}, SEEN, SINCE) == [Heir(None, (), (OLD,)), Heir(OLD)]


def test_who_moves_takes_no_id_along() -> None:
    """An observation that moves from one profile to another leaves both ids where they are."""
    held = {A: OLD, B: OLD, C: NEW, D: OLD}
    assert succeed([[A, B], [C, D]], held, SEEN, SINCE) == [Heir(OLD), Heir(NEW, (), (OLD,))]


def test_the_new_have_none() -> None:
    """A group that nobody knew inherits nothing."""
    assert succeed([[A]], {}, SEEN, SINCE) == [Heir(None)]


def test_another_id_differs_each_time() -> None:
    """An id in place of one that is taken depends on the anchor and the version."""
    assert len({another_id(A, 1), another_id(A, 2), another_id(B, 1), A, B}) == 5


@given(
    st.dictionaries(st.sampled_from([A, B, C, D]), st.sampled_from([OLD, NEW, b"x" * 16])),
    st.lists(st.integers(0, 2), min_size=4, max_size=4),
)
def test_every_id_has_one_heir(held: dict[bytes, bytes], places: list[int]) -> None:
    """However things fall, each id is kept or absorbed exactly once."""
    groups = [[anchor for anchor, place in zip((A, B, C, D), places, strict=True) if place == n] for n in range(3)]
    heirs = succeed(groups, held, SEEN, SINCE)
    passed = [heir.kept for heir in heirs if heir.kept] + [gone for heir in heirs for gone in heir.absorbed]
    assert sorted(passed) == sorted(set(held.values()))
