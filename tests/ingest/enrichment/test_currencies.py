"""Currencies as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.enrichment.currencies import CODES, NAMES, code_of


@pytest.mark.parametrize(
    ("written", "code"),
    [
        *(("đ", "VND"), ("Đ", "VND"), ("₫", "VND"), ("vnđ", "VND"), ("VNĐ", "VND"), (" vnd ", "VND"), ("Đồng", "VND")),
        *(("usd", "USD"), ("€", "EUR"), ("$", None), ("¥", None), ("", None), ("ABC", None), ("điểm", None)),
    ],
)
def test_written(written: str, code: str | None) -> None:
    """The dong in all its spellings; what could be several currencies is none."""
    assert code_of(written) == code


@given(st.sampled_from(sorted(CODES)))
def test_codes_stay(code: str) -> None:
    """A code is its own code, in small letters too."""
    assert code_of(code) == code_of(code.lower()) == code
    assert set(NAMES.values()) <= CODES
