"""Tests of the kinds of input that routes share."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from cdp.clock import EARLIEST, LATEST, from_datetime
from cdp.parameters import Moment
from cdp.testing import START

MOMENT = TypeAdapter(Moment)
ZONES = st.timezones() | st.none()


@pytest.mark.parametrize(
    "text", ["2026-11-21T08:30:00Z", "2026-11-21T08:30:00.000Z", "2026-11-21T15:30:00+07:00", "2026-11-21T08:30:00"]
)
def test_a_moment_is_text_in_any_zone(text: str) -> None:
    """Without a zone, UTC is meant."""
    assert MOMENT.validate_python(text) == START


@given(st.datetimes(timezones=ZONES))
def test_any_moment_fits_into_what_can_be_stored(when: datetime.datetime) -> None:
    """Whatever is a moment is taken, and moved into the range of the warehouse."""
    moment = MOMENT.validate_python(when.isoformat())

    assert EARLIEST <= moment <= LATEST
    assert moment == from_datetime(datetime.datetime.fromisoformat(when.isoformat()))


@pytest.mark.parametrize("given_", [0.5, 1_795_249_800, "0.5", "1795249800", "yesterday", "", None, True, "\0"])
def test_nothing_else_is_a_moment(given_: object) -> None:
    """Numbers are refused: nobody could tell seconds from milliseconds."""
    with pytest.raises(ValidationError, match="ISO 8601"):
        MOMENT.validate_python(given_)
