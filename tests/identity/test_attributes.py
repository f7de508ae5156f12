"""Attributes: what else an event says of a person."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.attributes import attributes, birthday


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        ({"name": " Nguyễn  Thị LAN "}, {"name": "nguyễn thị lan"}),
        ({"firstName": "Lan", "lastName": "Nguyễn"}, {"name": "lan nguyễn"}),
        ({"first_name": "Lan"}, {"name": "lan"}),
        ({"name": unicodedata.normalize("NFD", "Lễ")}, {"name": "lễ"}),
        ({"name": "Khách lẻ", "gender": "Nữ"}, {"gender": "female"}),
        ({"name": "..."}, {}),
        ({"name": "Anh"}, {}),
        ({"birthday": "1990-02-01"}, {"birthday": "1990-02-01"}),
        ({"date_of_birth": "01/02/1990"}, {"birthday": "1990-02-01"}),
        ({"gender": "M"}, {"gender": "male"}),
        ({"gender": "other"}, {}),
        (
            {"address": {"street": "1 Lê Lợi", "city": "Quận 1", "postalCode": 700000, "country": "VN"}},
            {"street": "1 lê lợi", "city": "quận 1", "postal_code": "700000", "country": "vn"},
        ),
        ({"address": "1 Lê Lợi"}, {"street": "1 lê lợi"}),
        ({"name": {"first": "Lan"}, "address": ["x"], "birthday": True}, {}),
        ({}, {}),
    ],
)
def test_attributes_are_written_in_one_form(traits: dict[str, Any], expected: dict[str, str]) -> None:
    """Text loses case and spare spaces, keeps its diacritics; what says nothing is left out."""
    assert attributes(traits) == expected


@pytest.mark.parametrize("raw", ["1990-13-01", "32/01/1990", "1850-01-01", "0", "", None, "tomorrow", "1990"])
def test_what_is_no_date_of_birth_is_left_out(raw: object) -> None:
    """Only a real day since 1900 is a birthday."""
    assert birthday(raw) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["name", "firstName", "birthday", "gender", "address", "dob"]), JSON))
def test_no_traits_raise(traits: dict[str, Any]) -> None:
    """Whatever the traits are, the attributes are text."""
    assert all(isinstance(value, str) and value for value in attributes(traits).values())
