"""Phone numbers: however a Vietnamese number is written, it reads the same."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.forms.phones import COUNTED, MIGRATED, MOBILE, canonical

SUBSCRIBER = st.integers(0, 9_999_999).map(lambda n: f"{n:07d}").filter(lambda digits: len(set(digits)) > 1)
WRITTEN = (
    "0{}",
    "+84{}",
    "84{}",
    "0084{}",
    "+840{}",
    "{}",
    " 0{} ",
    "(+84) {}",
    "0{} ext. 12",
)


@given(st.sampled_from(sorted(MOBILE)), SUBSCRIBER)
def test_every_writing_of_a_mobile_number_is_one(prefix: str, rest: str) -> None:
    """A mobile number is the same with +84, 84, 0084, +840, 0 or nothing in front, and with any separators."""
    number = prefix + rest
    expected = canonical("0" + number, "VN")
    assert {canonical(form.format(number), "VN") for form in WRITTEN} == {expected}
    spaced = f"0{number[:2]} {number[2:5]}.{number[5:7]}-{number[7:]}"
    assert canonical(spaced, "VN") == expected
    assert expected in (f"+84{number}", None)


@given(st.sampled_from(sorted(MOBILE)), SUBSCRIBER)
def test_the_own_rules_agree_with_the_general_library(prefix: str, rest: str) -> None:
    """A mobile number that is valid to phonenumbers is read as there, unless it is a placeholder."""
    parsed = phonenumbers.parse(f"0{prefix}{rest}", "VN")
    found = canonical(f"0{prefix}{rest}", "VN")
    if phonenumbers.is_valid_number(parsed):
        assert found in (phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164), None)
    if found is None:
        assert len(set(rest)) == 1 or f"+84{prefix}{rest}" in COUNTED


@given(st.sampled_from(sorted(MIGRATED)), SUBSCRIBER)
def test_an_old_eleven_digit_number_is_the_new_one(old: str, rest: str) -> None:
    """Numbers from before September 2018 read as what they became."""
    new = canonical(f"0{MIGRATED[old]}{rest}", "VN")
    assert canonical(f"0{old}{rest}", "VN") == new
    assert canonical(f"+84{old}{rest}", "VN") == new
    assert canonical(f"{old}{rest}", "VN") == new


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("024 3825 1234", "+842438251234"),
        ("(028) 7300.1234", "+842873001234"),
        ("+84 24 3825 1234", "+842438251234"),
        ("+1 619 555 1000", "+16195551000"),
        ("0044 20 7123 4567", "+442071234567"),
        ("+1 (555) 123-4567", "+15551234567"),
    ],
)
def test_landlines_and_foreign_numbers(raw: str, expected: str) -> None:
    """Vietnamese landlines and numbers with another country code are read too."""
    assert canonical(raw, "VN") == expected


@pytest.mark.parametrize(
    "raw",
    [
        *("19001234", "1900 123 456", "1800 1234", "+84 1900 1234", "113", "1", "+", ""),
        *("0900000000", "0999999999", "0000000000", "+84000000000", "0123456789", "0987654321", "0912345678"),
        *("+1 800 555 0199", "0438251234", "lan@example.com", "không có", "09051234", "+84 905"),
    ],
)
def test_what_reaches_nobody_is_refused(raw: str) -> None:
    """Hotlines, toll-free numbers, short codes, placeholders and what is no number identify nobody."""
    assert canonical(raw, "VN") is None


@pytest.mark.parametrize(
    ("region", "expected", "writings"),
    [
        ("GB", "+442071234567", ("020 7123 4567", "20 7123 4567", "44 20 7123 4567", "+44 20 7123 4567")),
        ("US", "+16195551000", ("(619) 555-1000", "6195551000", "16195551000", "1-619-555-1000")),
        ("DE", "+49301234567", ("030 1234567", "30 1234567", "0049 30 1234567", "49301234567")),
        ("US", "+84905123456", ("+84905123456", "0084 905 123 456")),
    ],
)
def test_local_numbers_are_of_the_given_region(region: str, expected: str, writings: tuple[str, ...]) -> None:
    """A number without a country code belongs to the region of the installation, whatever stands in front of it."""
    assert {canonical(written, region) for written in writings} == {expected}


@given(st.text(max_size=40))
def test_no_text_raises(raw: str) -> None:
    """Any text is a number or None, and a number stays what it is."""
    found = canonical(raw, "VN")
    assert found is None or canonical(found, "VN") == found
