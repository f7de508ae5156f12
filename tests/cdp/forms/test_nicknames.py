"""What people are called for short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.forms.letters import fold
from cdp.forms.nicknames import FULL, HOME, alike, full


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("bill", "william"),
        ("bob", "rob"),
        ("kate", "katherine"),
        ("kathy", "catherine"),
        ("liz", "beth"),
        ("lan", "lan"),
    ],
)
def test_names_that_may_be_one(one: str, other: str) -> None:
    """A short form is like the long one and like others of it."""
    assert alike(one, other)


@pytest.mark.parametrize(("one", "other"), [("bill", "bob"), ("lan", "hung"), ("anna", "lan"), ("alice", "alex")])
def test_names_that_are_two(one: str, other: str) -> None:
    """Other names are other names."""
    assert not alike(one, other)


@given(st.sampled_from(sorted(FULL)), st.sampled_from(sorted(FULL)))
def test_likeness_is_mutual(one: str, other: str) -> None:
    """Who is asked first makes no difference, and each name stands for itself."""
    assert alike(one, other) == alike(other, one)
    assert one in full(one)
    assert alike(one, next(iter(full(one))))


def test_the_tables_are_folded() -> None:
    """Words are looked up folded."""
    assert all(fold(word) == word for word in (*FULL, *HOME))
