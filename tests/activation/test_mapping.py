"""What a sync lets out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activation.mapping import SyncMapping, follow

TRAITS: dict[str, Any] = {
    "name": "An",
    "address": {"city": "Huế"},
    "orders": [{"id": 1}, {"id": 2}],
    "a.b": 3,
    "no": None,
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "An"),
        ("address.city", "Huế"),
        ("address", {"city": "Huế"}),
        ("orders.0.id", 1),
        ("orders.-1.id", 2),
        ("orders.2.id", None),
        ("orders.x", None),
        ("orders.--1", None),
        ("name.first", None),
        ("a.b", None),
        (("a.b",), 3),
        ("", None),
        ("nothing.there", None),
    ],
)
def test_a_path_leads_to_a_value(path: Any, value: Any) -> None:
    """Keys and positions are followed; what is not there is None."""
    assert follow(TRAITS, path) == value


def test_everything_goes_out_by_default() -> None:
    """Without a choice, all identifiers and traits are sent."""
    mapping = SyncMapping()

    assert mapping.identifiers_of({"email": ["a@b.vn"]}) == {"email": ["a@b.vn"]}
    assert mapping.traits_of(TRAITS) == TRAITS


def test_only_what_was_chosen_goes_out() -> None:
    """Types that were not named stay inside; traits get the names of the payload, and missing ones are left out."""
    mapping = SyncMapping.model_validate({"identifiers": ["email"], "traits": {"town": "address.city", "age": "age"}})

    assert mapping.identifiers_of({"email": ["a@b.vn"], "phone": ["+84"]}) == {"email": ["a@b.vn"]}
    assert mapping.traits_of(TRAITS) == {"town": "Huế"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(json_values, st.text(alphabet="ab.-0１٣²", max_size=8))
def test_no_path_raises(value: Any, path: str) -> None:
    """Any path into anything gives a value or None."""
    follow(value, path)
