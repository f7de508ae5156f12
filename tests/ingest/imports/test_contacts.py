"""Tests of telephone numbers and e-mail addresses in files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.forms import phones
from ingest.imports.contacts import masked, restored, telephone, trouble

DIGITS = st.text("0123456789", min_size=7, max_size=12)
WRITTEN = st.one_of(
    DIGITS,
    st.builds(
        "{}{}".format, st.sampled_from(["0", "+84", "84", "0084 "]), st.text("0123456789", min_size=8, max_size=10)
    ),
    st.builds("{}{:08d}".format, st.sampled_from(["090", "035", "0120", "0168", "028"]), st.integers(0, 99_999_999)),
)


@given(WRITTEN)
def test_a_good_number_is_what_identity_makes_of_it(written: str) -> None:
    """The report never promises a number that resolution will refuse, nor another one than it will make."""
    found = telephone(written, "VN")

    assert found is None or found == phones.canonical(written, "VN")


@given(st.sampled_from([*phones.MOBILE]), st.integers(0, 9_999_999))
def test_each_vietnamese_mobile_number_is_one(prefix: str, rest: int) -> None:
    """As identity resolution has them, those that are made up left out."""
    written = f"0{prefix}{rest:07d}"

    assert telephone(written, "VN") == phones.canonical(written, "VN")


@given(st.sampled_from([*phones.MIGRATED]), st.integers(0, 9_999_999))
def test_old_numbers_are_those_that_replaced_them(prefix: str, rest: int) -> None:
    """Files from before 2018 are still about."""
    written = f"0{prefix}{rest:07d}"

    assert telephone(written, "VN") == phones.canonical(written, "VN")


@pytest.mark.parametrize(
    "written", ["123", "9.12E+08", "abc", "0000000000", "1900 1234", "0905123457 / 0905123458", ""]
)
def test_a_bad_number_is_none(written: str) -> None:
    """Too short, cut by a spreadsheet, a placeholder, a hotline, two at once."""
    assert telephone(written, "VN") is None


def test_a_cut_number_says_what_to_do() -> None:
    """Spreadsheets write long numbers with an exponent."""
    assert "format the column as text" in trouble("9.12E+08")
    assert "no telephone number" in trouble("123")


def test_the_lost_zero_comes_back() -> None:
    """In front of a Vietnamese mobile number, and nowhere else."""
    assert restored("912345678", "VN") == "0912345678"
    assert restored("912345678", "US") == "912345678"
    assert restored("123456", "VN") == "123456"


@given(st.text(min_size=4))
def test_a_masked_value_is_not_the_value(written: str) -> None:
    """Of letters at most every word's first stays."""
    if any(len(word) > 1 for word in written.split()[:4]):
        assert masked(written) != written


def test_a_masked_value_can_be_found_again() -> None:
    """By those who have the file."""
    assert masked("0905123457") == "090•••••57"
    assert masked("lan.nguyen@example.com") == "l•••@e•••.com"
    assert masked("Nguyễn Thị Lan") == "N•••• T•• L••"
