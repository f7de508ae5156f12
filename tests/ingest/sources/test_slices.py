"""Tests of cutting a batch apart without a parser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.slices import CutError, TooManyError, elements, members

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@given(st.lists(values, max_size=5), st.sampled_from([None, 1, 4]))
def test_elements_are_those_of_the_parser(array: list[Any], indent: int | None) -> None:
    """Each piece of an array decodes to the element at its place."""
    pieces = elements(json.dumps(array, indent=indent).encode(), most=100)
    assert array == [json.loads(piece) for piece in pieces]


@given(st.dictionaries(st.text(), values, max_size=5), st.sampled_from([None, 1, 4]))
def test_members_are_those_of_the_parser(thing: dict[str, Any], indent: int | None) -> None:
    """Each piece of an object decodes to the member of its name."""
    pieces = members(json.dumps(thing, indent=indent).encode())
    assert thing == {name: json.loads(piece) for name, piece in pieces.items()}


@given(st.binary())
def test_any_bytes_are_cut_or_refused(text: bytes) -> None:
    """Nothing but `CutError` is raised."""
    for cut in (members, lambda raw: elements(raw, most=10)):
        try:
            cut(text)
        except CutError:
            continue


@pytest.mark.parametrize("text", [b"", b"[", b"]", b"[1", b"[1]]", b"[[1]", b"[1]x]", b"{1}", b"[}"])
def test_unmatched_structure_is_refused(text: bytes) -> None:
    """An array that has no clear end is not cut."""
    with pytest.raises(CutError):
        elements(text, most=10)


def test_no_more_elements_than_asked_for() -> None:
    """One element too many is told apart from what cannot be cut."""
    assert elements(b"[1, 2]", most=2) == [b"1", b"2"]
    with pytest.raises(TooManyError):
        elements(b"[1, 2, 3]", most=2)


def test_too_many_tokens_are_refused_before_they_cost() -> None:
    """A body of nothing but brackets is given up."""
    with pytest.raises(CutError):
        elements(b"[" + b"[]," * 1_000_000 + b"1]", most=10_000_000)
