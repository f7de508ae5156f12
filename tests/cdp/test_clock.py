"""Moments: milliseconds inside, text and decimal seconds at the edges."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp import clock
from cdp.testing import START, FrozenClock

moments = st.integers(clock.EARLIEST, clock.LATEST)


@given(moments)
def test_text_keeps_the_millisecond(moment: int) -> None:
    """Every moment survives being written as text, and the text has one form."""
    text = clock.to_text(moment)

    assert clock.from_text(text) == moment
    assert len(text) == len("2026-11-21T08:30:00.000Z")
    assert text.endswith("Z")


@given(moments)
def test_a_datetime_keeps_the_millisecond(moment: int) -> None:
    """Every moment survives being a datetime, aware or (then in UTC) naive."""
    when = clock.to_datetime(moment)

    assert when.tzinfo is UTC
    assert clock.from_datetime(when) == clock.from_datetime(when.replace(tzinfo=None)) == moment


@given(moments)
def test_decimal_seconds_are_exact(moment: int) -> None:
    """Decimal seconds have three digits after the point; a float prints the same moment."""
    assert Decimal(clock.to_decimal(moment)) * 1000 == moment
    assert Decimal(str(moment / 1000)) * 1000 == moment


@given(moments, moments)
def test_text_sorts_like_time(one: int, two: int) -> None:
    """Comparing texts compares moments."""
    assert (clock.to_text(one) < clock.to_text(two)) == (one < two)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-21T08:30:00.000Z", START),
        ("2026-11-21T15:30:00+07:00", START),
        ("2026-11-21T08:30:00", START),
        ("2026-11-21", START - int(8.5 * clock.HOUR)),
        ("0001-01-01T00:00:00Z", clock.EARLIEST),
        ("9999-12-31T23:59:59.999Z", clock.LATEST),
    ],
)
def test_text_is_read_as_iso_8601(text: str, moment: int) -> None:
    """Any offset, no offset (UTC), a date alone; what cannot be stored is moved to the nearest that can."""
    assert clock.from_text(text) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "1732177800", "2026-11-21T25:00:00Z"])
def test_other_text_is_refused(text: str) -> None:
    """What is no date raises ValueError, so that the caller can say where it stood."""
    with pytest.raises(ValueError):
        clock.from_text(text)


def test_what_is_finer_than_a_millisecond_is_cut() -> None:
    """Microseconds are dropped, never rounded into the next millisecond, before and after the epoch."""
    when = datetime(2026, 11, 21, 8, 30, 0, 999, tzinfo=timezone(timedelta(hours=7)))

    assert clock.from_datetime(when) == START - 7 * clock.HOUR
    assert clock.from_datetime(datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)) == clock.EARLIEST


def test_the_system_clock_is_the_machines() -> None:
    """It tells milliseconds since the epoch."""
    before = time.time_ns() // 1_000_000
    now = clock.SystemClock().now()

    assert before <= now <= time.time_ns() // 1_000_000


def test_a_frozen_clock_moves_only_when_told(clock: FrozenClock) -> None:
    """It stands still, can be set, and advances by what it is told."""
    assert (clock.now(), clock.now()) == (START, START)
    assert clock.advance(5) == clock.now() == START + 5
    clock.moment = 7
    assert clock.now() == 7
