"""Dates of birth: whatever the order, the language and the separators, the same day reads the same."""

from __future__ import annotations

from calendar import month_name
from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cdp.forms.dates import LATEST, NO_DATE, SERIAL_EPOCH, Birth, agree, canonical, read, swapped

DAYS = st.dates(date(1930, 1, 1), date(2029, 12, 31)).filter(lambda day: (day.year, day.month, day.day) not in NO_DATE)


@given(DAYS)
def test_every_vietnamese_writing_of_a_day_is_one(day: date) -> None:
    """Day first, year last, in figures or in words, with two digits of the year or four, or as a spreadsheet counts."""
    d, m, y = day.day, day.month, day.year
    for written in (
        day.isoformat(),
        f"{day.isoformat()}T00:00:00.000Z",
        f"{y}/{m}/{d}",
        f"{d:02d}/{m:02d}/{y}",
        f"{d}-{m}-{y}",
        f"{d}.{m}.{y}",
        f" {d} / {m} / {y} ",
        f"{d}/{m}/{y % 100:02d}",
        f"{y}{m:02d}{d:02d}",
        f"ngày {d} tháng {m} năm {y}",
        f"Ngày {d:02d} Tháng {m:02d}, {y}",
        f"{d} thg {m}, {y}",
        f"Sinh ngày: {d}/{m}/{y}",
        f"{d} {month_name[m]} {y}",
        f"{month_name[m][:3]} {d}, {y}",
        f"{d}-{month_name[m][:3].upper()}-{y}",
        f"{d}/{m}/{y} 12:00:00 AM",
        str((day - SERIAL_EPOCH).days),
    ):
        if written.isdigit() and len(written) != 8 and (day - SERIAL_EPOCH).days < 10_000:
            continue
        assert canonical(written) == day.isoformat(), written


@given(DAYS)
def test_the_region_says_which_comes_first(day: date) -> None:
    """In the United States the month; where that is no date, the other order is taken. The two are seen as swapped."""
    written = f"{day.month}/{day.day}/{day.year}"
    assert canonical(written, "US") == day.isoformat()
    here = read(written, "VN")
    assert here is not None
    there = Birth(day.year, day.month, day.day)
    assert here == there or swapped(here, there)


@given(DAYS, DAYS)
def test_only_day_and_month_are_swapped(one: date, other: date) -> None:
    """A date is swapped with at most one other, and never with itself."""
    left, right = Birth(one.year, one.month, one.day), Birth(other.year, other.month, other.day)
    assert not swapped(left, left)
    assert swapped(left, right) == swapped(right, left)
    assume(one.day <= 12 and one.day != one.month)
    assert swapped(left, Birth(one.year, one.day, one.month))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("1990", "1990"),
        ("sinh năm 1990", "1990"),
        ("SN 1990", "1990"),
        ("02/1990", "1990-02"),
        ("1990-02", "1990-02"),
        ("tháng 2 năm 1990", "1990-02"),
        ("tháng Hai 1990", "1990-02"),
        ("Feb 1990", "1990-02"),
        ("01/02", "--02-01"),
        ("29/02", "--02-29"),
        ("1 tháng 2", "--02-01"),
        ("--0201", "--02-01"),
        ("1/2/29", "2029-02-01"),
        ("1/2/30", "1930-02-01"),
        ("32905", "1990-02-01"),
        ("32905.0", "1990-02-01"),
        ("01021990", "1990-02-01"),
    ],
)
def test_what_is_missing_stays_missing(raw: str, text: str) -> None:
    """A year, a month, a day without its year: what is known is kept."""
    assert canonical(raw) == text


@pytest.mark.parametrize(
    "raw",
    [
        *("", "0", "tomorrow", "1990-13-01", "32/01/1990", "29/02/1991", "1850-01-01", f"{LATEST + 1}-01-01"),
        *("1900-01-01", "1970-01-01", "01/01/1970", "0001-01-01", "1899-12-30", "00/00/0000", "99999", "1/2/3/4"),
        *("9" * 61, "ngày 40 tháng 2 năm 1990", "Foo 1, 1990", "0905123456"),
    ],
)
def test_what_is_no_date_of_birth(raw: str) -> None:
    """What is no day, and what systems write for none, is no date."""
    assert read(raw) is None


def test_parts_agree_with_the_whole() -> None:
    """A year agrees with a day in it; what shares no part neither agrees nor differs."""
    assert agree(Birth(1990), Birth(1990, 2, 1))
    assert agree(Birth(0, 2, 1), Birth(1990, 2, 1))
    assert not agree(Birth(1990), Birth(1991, 2, 1))
    assert not agree(Birth(1990), Birth(0, 2, 1))


@given(st.text(max_size=30) | st.text("0123456789/-. ", max_size=12), st.sampled_from(["VN", "US"]))
def test_a_written_form_is_its_own(raw: str, region: str) -> None:
    """No text raises, and reading what was read changes nothing, wherever it is read."""
    found = read(raw, region)
    if found:
        assert read(found.text, "VN") == read(found.text, "US") == found
