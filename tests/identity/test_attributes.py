"""Attributes: what else an event says of a person."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.attributes import attributes


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        ({"name": " Nguyễn  Thị LAN "}, {"name": "nguyễn thị lan"}),
        ({"firstName": "Lan", "lastName": "Nguyễn"}, {"name": "nguyễn lan"}),
        ({"firstName": "Lan", "lastName": "Nguyễn Thị"}, {"name": "nguyễn thị lan"}),
        ({"firstName": "John", "lastName": "Smith"}, {"name": "john smith"}),
        ({"name": "Chị Nguyễn Thị Hoà"}, {"name": "nguyễn thị hòa"}),
        ({"first_name": "Lan"}, {"name": "lan"}),
        ({"name": unicodedata.normalize("NFD", "Lễ")}, {"name": "lễ"}),
        ({"name": "Khách lẻ", "gender": "Nữ"}, {"gender": "female"}),
        ({"name": "..."}, {}),
        ({"name": "Anh"}, {}),
        ({"birthday": "1990-02-01"}, {"birthday": "1990-02-01"}),
        ({"date_of_birth": "01/02/1990"}, {"birthday": "1990-02-01"}),
        ({"dob": 1990}, {"birthday": "1990"}),
        ({"birthday": "01/02"}, {"birthday": "--02-01"}),
        ({"birthday": "1970-01-01"}, {}),
        ({"gender": "M"}, {"gender": "male"}),
        ({"gender": "other"}, {}),
        (
            {"address": {"street": "1 Lê Lợi", "city": "Quận 1", "postalCode": 700000, "country": "VN"}},
            {"street": "1 le loi", "city": "1", "postal_code": "700000", "country": "vn"},
        ),
        (
            {"address": {"street": "Số 1 đường Lê Lợi", "district": "Q.1", "city": "TP.HCM"}},
            {"street": "1 le loi", "city": "1", "province": "ho chi minh"},
        ),
        (
            {"address": {"line1": "5 Main St.", "city": "Austin", "state": "TX", "zip": "78701", "country": "US"}},
            {"street": "5 main st", "city": "austin", "province": "tx", "postal_code": "78701", "country": "us"},
        ),
        (
            {"address": "1 Lê Lợi, P. Bến Nghé, Quận 1, Sài Gòn"},
            {"street": "1 le loi", "ward": "ben nghe", "city": "1", "province": "ho chi minh"},
        ),
        ({"name": {"first": "Lan"}, "address": ["x"], "birthday": True}, {}),
        ({}, {}),
    ],
)
def test_attributes_are_written_in_one_form(traits: dict[str, Any], expected: dict[str, str]) -> None:
    """Text loses case and spare spaces, keeps its diacritics; what says nothing is left out."""
    assert attributes(traits) == expected


def test_the_region_decides_about_doubtful_dates() -> None:
    """The first of February in Vietnam is the second of January in the United States."""
    assert attributes({"dob": "01/02/1990"}, "US") == {"birthday": "1990-01-02"}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["name", "firstName", "birthday", "gender", "address", "dob"]), JSON))
def test_no_traits_raise(traits: dict[str, Any]) -> None:
    """Whatever the traits are, the attributes are text."""
    assert all(isinstance(value, str) and value for value in attributes(traits).values())
