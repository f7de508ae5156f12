"""Dates and times written as text, read the same way by Python and (through PATTERN) by ClickHouse.

A date (`2026-11-21`) is its midnight in UTC; a time without a zone is in UTC; parts of a millisecond are cut off. Years
1900 to 2299. Anything else is just a text.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from cdp.clock import EPOCH

# RE2 and `re` read this pattern alike. Which days a month has is checked by reading the date.
PATTERN = (
    r"^(?:19|2[0-2])[0-9]{2}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?"
    r"(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?)?$"
)
_is_shaped = re.compile(PATTERN).fullmatch


def read(text: str) -> int | None:
    """The moment in milliseconds since the epoch, or None when the text is no date or time."""
    if not _is_shaped(text):
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return ((when if when.tzinfo else when.replace(tzinfo=UTC)) - EPOCH) // timedelta(milliseconds=1)
