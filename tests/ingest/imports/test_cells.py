"""Tests of what people write into cells."""
# ruff: noqa: DTZ001 - what stands in a cell has no zone

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp import clock
from cdp.errors import InvalidError
from ingest.imports.cells import amount, currency_of, day, decimal_of, moment, order_of, text, zone_of

VIETNAM = timezone(timedelta(hours=7))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1.850.000 ₫", 1_850_000),
        ("1.850.000đ", 1_850_000),
        ("1,850,000 VND", 1_850_000),
        ("1.850.000 đồng", 1_850_000),
        ("1.850,50", 1850.5),
        ("1,850.50", 1850.5),
        ("1850.5", 1850.5),
        ("1850,5", 1850.5),
        ("1.850", 1_850),
        ("12,345", 12_345),
        ("0.125", 0.125),
        ("1 850 000", 1_850_000),
        ("1\u00a0850\u00a0000", 1_850_000),
        ("1tr850", 1_850_000),
        ("1,5tr", 1_500_000),
        ("2 triệu", 2_000_000),
        ("850k", 850_000),
        ("850 nghìn", 850_000),
        ("1,2 tỷ", 1_200_000_000),
        ("-50.000đ", -50_000),
        ("(50.000)", -50_000),
        ("$12.50", 12.5),
        ("0", 0),
        (1850000.0, 1_850_000),
        (Decimal("12.5"), 12.5),
        (7, 7),
    ],
)
def test_an_amount_is_read_as_it_is_meant(written: Any, meant: float) -> None:
    """Dots and commas, marks of currencies, thousands by word: each has one meaning."""
    assert amount(written) == meant


@pytest.mark.parametrize(
    "written", ["1tr85", "1tr5", "1,2,3", "1.23.456", "abc", "", "12/3", "1e5", "=1+1", True, "--"]
)
def test_what_could_mean_two_things_is_no_amount(written: Any) -> None:
    """Nothing is guessed."""
    assert amount(written) is None


@given(
    st.integers(-(10**12), 10**12), st.sampled_from([".", ",", " ", "\u00a0"]), st.sampled_from(["", " ₫", "đ", " VND"])
)
def test_grouped_thousands_are_read_back(value: int, group: str, mark: str) -> None:
    """However a program groups the digits of a whole number."""
    assert amount(f"{value:,}".replace(",", group) + mark) == value


@given(st.decimals(0, 10**9, places=2), st.sampled_from([(",", "."), (".", ",")]))
def test_fractions_are_read_back_where_the_column_tells(value: Decimal, signs: tuple[str, str]) -> None:
    """With the column's sign known, two decimals never turn into thousands."""
    group, sign = signs
    written = f"{value:,.2f}".replace(",", "_").replace(".", sign).replace("_", group)

    assert amount(written, sign) == float(value)  # type: ignore[arg-type]


def test_a_value_tells_how_its_column_writes_fractions() -> None:
    """Two signs, a repeated one, or not three digits behind it: then it is told; else it is not."""
    assert [decimal_of(one) for one in ("1.850,50", "1.850.000", "12,5", "1,850.5", "1.850", "15")] == [
        *(",", ",", ",", "."),
        *(None, None),
    ]


def test_an_amount_names_its_currency() -> None:
    """By sign or by code."""
    assert [currency_of(one) for one in ("5 ₫", "5đ", "VND 5", "$5", "5 EUR", "5", "five")] == [
        *("VND", "VND", "VND", "USD", "EUR"),
        *("", ""),
    ]


@pytest.mark.parametrize(
    ("written", "order", "meant"),
    [
        ("25/12/2024", "dmy", "2024-12-25T00:00:00"),
        ("03/04/2024", "dmy", "2024-04-03T00:00:00"),
        ("03/04/2024", "mdy", "2024-03-04T00:00:00"),
        ("3-4-24", "dmy", "2024-04-03T00:00:00"),
        ("25.12.2024", "dmy", "2024-12-25T00:00:00"),
        ("01/02/85", "dmy", "1985-02-01T00:00:00"),
        ("2024/12/25", "dmy", "2024-12-25T00:00:00"),
        ("20241225", "dmy", "2024-12-25T00:00:00"),
        ("25/12/2024 14:05", "dmy", "2024-12-25T14:05:00"),
        ("14:05 25/12/2024", "dmy", "2024-12-25T14:05:00"),
        ("25/12/2024 14h05", "dmy", "2024-12-25T14:05:00"),
        ("25/12/2024 02:05 CH", "dmy", "2024-12-25T14:05:00"),
        ("12/25/2024 2:05:07 PM", "mdy", "2024-12-25T14:05:07"),
        ("12/25/2024 12:05 AM", "mdy", "2024-12-25T00:05:00"),
        ("Dec 25, 2024", "dmy", "2024-12-25T00:00:00"),
        ("25-Dec-24", "dmy", "2024-12-25T00:00:00"),
        ("25 thg 12 2024", "dmy", "2024-12-25T00:00:00"),
        ("ngày 25 tháng 12 năm 2024", "dmy", "2024-12-25T00:00:00"),
        (45651, "dmy", "2024-12-25T00:00:00"),
        ("45651.5", "dmy", "2024-12-25T12:00:00"),
        (date(2024, 12, 25), "dmy", "2024-12-25T00:00:00"),
        (datetime(2024, 12, 25, 8), "dmy", "2024-12-25T08:00:00"),
    ],
)
def test_a_time_is_read_as_it_is_meant(written: Any, order: Any, meant: str) -> None:
    """In the zone of the file, where it names none."""
    assert moment(written, order, VIETNAM) == clock.from_text(f"{meant}+07:00")


def test_a_time_with_a_zone_keeps_it() -> None:
    """And moments counted from the epoch have one."""
    expected = clock.from_text("2024-12-25T00:00:00Z")

    assert moment("2024-12-25T00:00:00Z", "dmy", VIETNAM) == expected
    assert moment(1735084800, "dmy", VIETNAM) == moment("1735084800000", "dmy", VIETNAM) == expected
    assert moment(datetime(2024, 12, 25, tzinfo=UTC), "dmy", VIETNAM) == expected


@pytest.mark.parametrize(
    "written", ["31/31/2024", "12/25/2024", "1990", "0912345678", "912345678", "30/02/2024", "soon", "", 3.5]
)
def test_what_is_no_date_is_none(written: Any) -> None:
    """A month that there is not, a bare year, a telephone number."""
    assert day(written, "dmy") is None


@given(
    st.datetimes(datetime(1921, 1, 1), datetime(2099, 12, 31)), st.sampled_from(["dmy", "mdy"]), st.sampled_from("/-. ")
)
def test_dates_are_read_back(when: datetime, order: Any, sign: str) -> None:
    """With the column's order known."""
    pattern = sign.join(("%d", "%m", "%Y") if order == "dmy" else ("%m", "%d", "%Y"))
    when = when.replace(microsecond=0)

    assert moment(when.strftime(f"{pattern} %H:%M:%S"), order, VIETNAM) == clock.from_datetime(
        when.replace(tzinfo=VIETNAM)
    )
    assert day(when.strftime(pattern), order) == when.date().isoformat()


def test_a_date_tells_the_order_of_its_column() -> None:
    """Beyond twelve only days count; 5/5 tells nothing and needs nothing."""
    assert [order_of(one) for one in ("25/12/2024", "12/25/2024", "01/02/2024", "05/05/2024", "2024-01-02", 45651)] == [
        *("dmy", "mdy", "either"),
        *(None, None, None),
    ]


@given(
    st.one_of(st.text(), st.integers(), st.floats(), st.decimals(), st.datetimes(), st.dates(), st.binary(), st.none())
)
def test_nothing_in_a_cell_raises(cell: Any) -> None:
    """Whatever stands there is read as something, or as nothing."""
    assert isinstance(text(cell), str)
    amount(cell), decimal_of(cell), order_of(cell), day(cell, "dmy"), moment(cell, "mdy", VIETNAM)


def test_a_zone_is_an_offset_or_a_name() -> None:
    """What is neither is told."""
    when = datetime(2024, 1, 1)

    assert zone_of("+07:00").utcoffset(when) == zone_of("UTC+7").utcoffset(when) == timedelta(hours=7)
    assert zone_of("-0530").utcoffset(when) == timedelta(hours=-5, minutes=-30)
    with pytest.raises(InvalidError, match="no time zone"):
        zone_of("Mars")
