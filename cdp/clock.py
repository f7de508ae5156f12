"""Time is given, not taken: whatever needs the time receives a `Clock`.

Inside the product a moment is an `int` of milliseconds since the Unix epoch, in UTC. Text is written as
`2026-11-21T08:30:00.000Z` at the edges only.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# ClickHouse's DateTime64(3) holds 1900 to 2299; a client's clock may say anything.
EARLIEST = 0
LATEST = int((datetime(2299, 12, 31, tzinfo=UTC) - EPOCH).total_seconds()) * SECOND


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> int:
        """The present moment in milliseconds since the epoch."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """The present moment in milliseconds since the epoch."""
        return time.time_ns() // 1_000_000


def to_datetime(moment: int) -> datetime:
    """Milliseconds since the epoch → an aware `datetime` in UTC."""
    return EPOCH + timedelta(milliseconds=moment)


def from_datetime(when: datetime) -> int:
    """A `datetime` (naive means UTC) → milliseconds since the epoch, clamped to what can be stored."""
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return clamp((when - EPOCH) // timedelta(milliseconds=1))


def clamp(moment: int) -> int:
    """The moment, moved into the range that the warehouse can store."""
    return min(max(moment, EARLIEST), LATEST)


def to_text(moment: int) -> str:
    """Milliseconds since the epoch → `2026-11-21T08:30:00.000Z`."""
    return to_datetime(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_text(text: str) -> int:
    """ISO 8601 text → milliseconds since the epoch. Raises `ValueError` for anything else."""
    return from_datetime(datetime.fromisoformat(text))


def to_decimal(moment: int) -> str:
    """Milliseconds since the epoch → decimal seconds, the one number that ClickHouse reads right for any moment."""
    return f"{moment // 1000}.{moment % 1000:03d}"
